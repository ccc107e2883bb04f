"""Leases: what a client is still working with, so that the collector leaves it alone.

A lease names resources (a kind and a name, which need not exist), and lives until it is deleted or its label
`containerd.io/gc.expire` is past. Stores add what a call makes to the lease that the call names.
"""
