"""The plugin graph: what a plugin declares, the order in which plugins start, and how they stop.

Words: a plugin is a *type* and an *id*, its *URI* is `<type>.<id>`; its *registration* is data (needs, config, start
function), so that the graph can be shown without starting it; a started plugin is an *instance* with a *status*: ok,
skip or error. Built-in plugins are listed in `builtin`, others come by the entry point group `pycontainerd.plugins`.
"""
