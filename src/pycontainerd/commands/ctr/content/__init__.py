"""`ctr content`."""
