"""`ctr images`."""
