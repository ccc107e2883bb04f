"""Looking a root over without its daemon: what is recorded against what lies on the disk, both ways; and mending it."""
