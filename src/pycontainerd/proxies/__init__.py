"""Plugins that another process serves, `[proxy_plugins.<id>]`: snapshotters, content stores, differs.

A *proxy* is such a plugin as the daemon sees it; its *remote* is the server behind the socket, which many may share.
Nothing is connected before it is needed, so a proxy is healthy whatever becomes of its remote. Each call carries the
namespace that it is made for.
"""
