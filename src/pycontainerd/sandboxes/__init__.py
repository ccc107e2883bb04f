"""Sandboxes: the records of what groups containers, as pods do; and the controllers that run them.

A record is never collected, and what its labels refer to lives by it. A controller is a plugin that runs sandboxes of
one kind; the service finds it by its name.
"""
