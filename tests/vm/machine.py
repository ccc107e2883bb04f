"""A virtual machine that a test boots, gives commands and turns off, in software emulation: no KVM is needed.

    with Machine.boot(image, directory) as machine:
        machine.run("uname", "-r")

Its only cgroups are those of version 2. Commands go over a virtio serial port to the agent inside; a second port brings
lines of programs inside that must have left the machine before the program goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.harness import peers
from tests.harness.daemon import Result
from tests.harness.machine import MARK, SESSION
from tests.vm.image import CHECKOUT, PLAIN, Image

READY_S: Final = 600
"""How long a boot may take, and an answer beyond the time that its program has: other tests may have the processors."""

COMMAND_S: Final = 300
MODULES: Final = f"{CHECKOUT}:{CHECKOUT}/src"
MEMORY_MB: Final = 1024
PORTS: Final = ("agent", "told")
PATH: Final = peers.path_with(Path(sys.prefix) / "bin")
QEMU: Final = ("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max")
"""A machine goes with the process that has started it, however that ends."""

KERNEL_LINE: Final = "console=ttyS0 loglevel=4 panic=-1 mitigations=off cgroup_no_v1=all random.trust_cpu=on"


class Machine:
    """One machine while it is on."""

    def __init__(self, image: Image, directory: Path, disks: Sequence[str], cpus: int, init: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.console = directory / "console"
        self.environment: dict[str, str] = {
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{CHECKOUT}/src",
            "PYCONTAINERD_CACHE": str(peers.CACHE),
            "PYCONTAINERD_TEST_PATIENCE": "5",
        }
        listeners = {name: _listener(directory / name) for name in PORTS}
        try:
            with self.console.open("ab") as console:
                self.process = subprocess.Popen(
                    self._command(image, disks, cpus, init),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env=os.environ | {MARK: SESSION},
                )
            self._agent, self.told = (self._accepted(listeners[name]) for name in PORTS)
        finally:
            for listener in listeners.values():
                listener.close()
        self._lines = self._agent.makefile("rb")

    def _command(self, image: Image, disks: Sequence[str], cpus: int, init: str) -> list[str]:
        command = [*QEMU, "-smp", str(cpus)]
        command += ["-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-serial", f"file:{self.console}", "-device", "virtio-serial"]
        command += [
            "-kernel",
            str(image.kernel),
            "-initrd",
            str(image.initramfs),
            "-append",
            f"{KERNEL_LINE} init={init}",
        ]
        for disk in (f"file={image.system},format=raw,if=virtio,readonly=on,file.locking=off", *disks):
            command += ["-drive", disk]
        for name in PORTS:
            command += ["-chardev", f"socket,id={name},path={self.directory / name}"]
            command += ["-device", f"virtserialport,chardev={name},name={name}"]
        return command

    @classmethod
    @contextmanager
    def boot(
        cls, image: Image, directory: Path, *, disks: Sequence[str] = (), cpus: int = 1, init: str = PLAIN
    ) -> Iterator[Machine]:
        """A machine that has booted, with *init* as its first program. *disks* are values of QEMU's `-drive`.

        At the end it is off.
        """
        machine = cls(image, directory, disks, cpus, init)
        try:
            machine._agent.settimeout(READY_S)
            machine._read()
            yield machine
        finally:
            machine._close()
            shutil.rmtree(directory, ignore_errors=True)

    def power_off(self) -> None:
        """Takes the power away. What the machine has told until then can still be read."""
        self.process.kill()
        self.process.wait()

    def _close(self) -> None:
        self.power_off()
        for end in (self._lines, self._agent, self.told):
            end.close()

    def ask(self, *argv: str | Path, stdin: str = "", timeout_s: float = COMMAND_S, **environment: str) -> Result:
        """Runs a program inside and returns how it ended."""
        reply = self._call(
            argv=[str(argument) for argument in argv],
            env=self.environment | environment,
            stdin=stdin,
            timeout_s=timeout_s,
            background=False,
        )
        return Result(reply["code"], reply["out"], reply["err"])

    def run(self, *argv: str | Path, stdin: str = "", timeout_s: float = COMMAND_S, **environment: str) -> str:
        """Runs a program inside that must succeed, and returns its output."""
        result = self.ask(*argv, stdin=stdin, timeout_s=timeout_s, **environment)
        if result.code != 0:
            command = " ".join(map(str, argv))
            raise AssertionError(f"{command}: exit {result.code}\n{result.out}{result.err}\n{self.tail()}")
        return result.out

    def start(self, *argv: str | Path, **environment: str) -> int:
        """Starts a program inside and leaves it running; its output goes to the console. Returns its pid there."""
        reply = self._call(
            argv=[str(argument) for argument in argv], env=self.environment | environment, background=True
        )
        if reply["err"]:
            raise AssertionError(f"{argv[0]}: {reply['err']}")
        return int(reply["code"])

    def start_module(self, module: str, *arguments: str | int) -> int:
        """Starts a module of this checkout inside, and leaves it running."""
        return self.start(sys.executable, "-m", module, *map(str, arguments), PYTHONPATH=MODULES)

    def run_module(self, module: str, *arguments: str | int, timeout_s: float = 10 * COMMAND_S) -> str:
        """Runs a module of this checkout inside, which must succeed, and returns its output."""
        command = (sys.executable, "-m", module, *map(str, arguments))
        return self.run(*command, timeout_s=timeout_s, PYTHONPATH=MODULES)

    def write(self, path: str, text: str) -> None:
        """Writes a file inside."""
        self.run("sh", "-c", f"cat > {path}", stdin=text)

    def tail(self, lines: int = 40) -> str:
        """The end of what the console has shown."""
        return "--- console\n" + "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])

    def _call(self, **request: Any) -> Any:
        self._agent.settimeout(request.get("timeout_s", COMMAND_S) + READY_S)
        self._agent.sendall(json.dumps(request).encode() + b"\n")
        return self._read()

    def _read(self) -> Any:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise AssertionError(f"the machine does not answer: {error}\n{self.tail()}") from error
        if not line:
            raise AssertionError(f"the machine went off\n{self.tail()}")
        return json.loads(line)

    def _accepted(self, listener: socket.socket) -> socket.socket:
        """QEMU's end of a port; it connects before it starts the machine."""
        listener.settimeout(1)
        while self.process.poll() is None:
            with suppress(TimeoutError):
                return listener.accept()[0]
        raise AssertionError(f"QEMU did not start: exit {self.process.returncode}\n{self.tail()}")


def _listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    return listener
