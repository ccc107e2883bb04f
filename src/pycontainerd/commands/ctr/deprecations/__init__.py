"""`ctr deprecations`."""
