"""Containers: the records of what can run. A record holds the snapshot that it names, and nothing else lives by it."""
