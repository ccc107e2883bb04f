"""`ctr plugins`."""
