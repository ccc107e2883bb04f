"""The restart monitor: brings tasks to where the labels of their containers want them.

A container *wants* to run or to be stopped by the label `containerd.io/restart.status`; its *policy* says whether a
task that has ended is started anew. Clients write the labels, the monitor reads them, and counts in one of them. It
keeps nothing on disk.
"""
