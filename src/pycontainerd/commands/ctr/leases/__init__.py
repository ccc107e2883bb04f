"""`ctr leases`."""
