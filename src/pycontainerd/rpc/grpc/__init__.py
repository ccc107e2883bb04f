"""gRPC over HTTP/2, without I/O: `server` answers calls by a table of services, `client` makes them.

A *message* is a request or a reply; a *call* is one stream; an *inbox* holds what came for a call and was not yet
read. What grpc-go does where gRPC leaves the choice, we do: texts, codes, order of checks.
"""
