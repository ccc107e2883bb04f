"""The collector, asked by clients: `pycontainerd.services.gc.v1`, an API of this daemon beside those of the original.

It has no plugin of its own, so that the list of plugins is the one that clients of the original know.
"""
