"""HTTP/2 (RFC 9113) without I/O: bytes in, events out, bytes to send.

Words: a *block* is a compressed list of header fields; a *window* is what a side may still send of a stream or of the
connection; the *outbox* of a stream is what waits for its window. `connection` is the whole of one connection; it
serves both sides, and only what gRPC needs of the protocol: no push, no priorities.
"""
