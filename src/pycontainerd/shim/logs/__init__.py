"""Logs that we write ourselves: the destination `cri-log://` of a container's output.

A *record* is one line of the file, in the format that Kubernetes reads (`record`). A *log* (`log`) makes records of
what a process writes, puts them into a file (`file`) that it begins anew by size or when asked, and passes the raw
bytes to *followers* (`followers`), who read along at their own risk: one that falls behind is left behind. Nothing here
waits: neither a full disk nor a slow follower holds up the process. Used in the shim, and in the logging program
(`program`) that does the same for shims that are not ours. The calls (`service`) stand in
`api/pycontainerd/services/logs/v1.proto`.

    cri-log:///var/log/c.log?max-line=16384&max-size=10485760&max-files=5
"""
