"""Where the streams of a container's processes come from and go to.

A *plan* (`uri`) is what a client's three strings mean. A *stream set* is a plan made real for one process: descriptors
that runc hands to it, and pumps that move what it writes. Destinations: fifos of a client (`pipes`), files (`pipes`),
a logging program (`logger`), and a terminal (`terminal`) whose output goes to one of those. Whoever reads may come and
go, be slow, or never come: the shim never waits for it with anything but the pump itself.
"""
