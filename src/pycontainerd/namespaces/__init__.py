"""Namespaces: what keeps the objects of one user of the daemon apart from those of others.

One comes into being with its first object, or by being made; its labels tell clients their defaults.
"""
