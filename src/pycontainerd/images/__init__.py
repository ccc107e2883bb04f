"""Images: names for what can be unpacked. An image points at a descriptor; the content need not be there yet."""
