"""`ctr snapshots`."""
