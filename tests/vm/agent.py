"""Runs in the virtual machine, and does what the host asks over a virtio serial port.

A request is a line of JSON: `{"argv": [...], "env": {...}, "stdin": "...", "timeout_s": 60, "background": false}`. The
answer is one too: `{"code": 0, "out": "...", "err": "..."}`; a program in the background is answered with its pid as
the code, and its output goes to the console.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def port(name: str) -> str:
    """The device of the port that the host calls *name*."""
    for place in Path("/sys/class/virtio-ports").iterdir():
        if (place / "name").read_text().strip() == name:
            return f"/dev/{place.name}"
    raise FileNotFoundError(name)


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Starts a program and leaves it running."""
    process = subprocess.Popen(request["argv"], env=request["env"], stdin=subprocess.DEVNULL, start_new_session=True)
    running.append(process)
    return {"code": process.pid, "out": "", "err": ""}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs a program to its end."""
    done = subprocess.run(
        request["argv"],
        env=request["env"],
        input=request["stdin"].encode(),
        capture_output=True,
        timeout=request["timeout_s"],
        check=False,
    )
    return {
        "code": done.returncode,
        "out": done.stdout.decode(errors="replace"),
        "err": done.stderr.decode(errors="replace"),
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Does what is asked; what can't be done is told as a shell tells it."""
    try:
        return start(request) if request["background"] else run(request)
    except subprocess.TimeoutExpired as late:
        return {"code": 124, "out": (late.stdout or b"").decode(errors="replace"), "err": "timed out"}
    except OSError as error:
        return {"code": 127, "out": "", "err": str(error)}


def main() -> None:
    """Serves until the machine ends."""
    with open(port("agent"), "r+b", buffering=0) as channel:
        channel.write(b'{"ready": true}\n')
        pending = b""
        while True:
            pending += channel.read(65536) or b""
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                reply = json.dumps(answer(json.loads(line))).encode() + b"\n"
                while reply:
                    reply = reply[channel.write(reply) :]


running: list[subprocess.Popen[bytes]] = []

if __name__ == "__main__":
    main()
