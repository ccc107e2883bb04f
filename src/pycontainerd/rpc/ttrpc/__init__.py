"""ttrpc, the small RPC protocol between daemon and shims: frames, server side and client side of a connection.

A *frame* is a header of ten bytes and its data. A *stream* is one call, named by an odd number that the client
counts up. `frames` is bytes in, frames out; `server` and `client` are the two ends of a connection over a
`rpc.driver.Driver`. There is no flow control, no reset and no ping: who stops waiting says nothing, and what comes
late is dropped. Callers: the daemon (client of shims, server for their events) and the shim (the other way round).
"""
