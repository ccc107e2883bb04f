"""The two protocols of the API, gRPC over HTTP/2 and ttrpc: cores without I/O, their drivers, the table of services.

Words: a *driver* is an event loop seen from here; a *connection* turns bytes into calls; a *service* answers them.
"""
