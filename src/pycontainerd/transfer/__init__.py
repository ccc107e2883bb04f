"""Transfers of images: from where they are to where they shall be.

A call of the Transfer service names a *source* and a *destination*; each pair that is known is one operation. Built
so far: an archive that comes over a stream into the image store (*import*, with unpacking), an image of the store under
further names (*tag*), a stream onto another (*echo*).

Archives come from anybody: a worker inflates and parses them, and the daemon gets names and bytes.

What an operation makes is held by a lease of its own until it is done, unless the caller brought one.
"""
