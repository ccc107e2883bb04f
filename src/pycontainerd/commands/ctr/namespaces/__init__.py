"""`ctr namespaces`."""
