"""Streams: calls that stay open under a name, so that other calls can use them for bytes, progress or questions.

A client opens one by the Streaming service and names it; Transfer, say, then finds it by namespace and name. Messages
are `google.protobuf.Any`s both ways. The stream ends when the side that found it closes it, or when its client goes.
"""
