"""What a daemon tells of itself: its plugins, its identity, its health, its version and what it warns of.

Called by every client first. On disk: `<root>/io.containerd.grpc.v1.introspection/uuid`, made on the first question.
"""
