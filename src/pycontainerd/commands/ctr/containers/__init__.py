"""`ctr containers`."""
