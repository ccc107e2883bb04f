"""The daemon's sockets: gRPC, gRPC over TCP, ttrpc, debug and metrics, each a plugin of type `server.v1`.

A server collects its services when it starts, listens once all plugins have started, and removes its socket when it
stops. On disk: the sockets, with owner and mode from the configuration.
"""
