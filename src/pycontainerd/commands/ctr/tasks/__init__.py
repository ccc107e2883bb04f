"""`ctr tasks`."""
