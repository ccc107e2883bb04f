"""The kernel, as far as Python's standard library leaves it out: one file a mechanism, thin, typed, without opinion.

Constants carry the kernel's names, failures are `OSError` with the path, docstrings name the man page. Policy (what to
retry, what to allow) lives in the callers. Nothing here keeps state, starts a thread or imports an event loop.
"""
