"""Containers of the stand-in for Docker: a process of its own that outlives the command that started it.

Their state is in the installation's folder ``docker``. A process (`monitor`) takes the part of Docker's daemon: it
starts the container's program, waits for it, and removes the container where ``--rm`` asks for that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.stand_in_lean.docker_options import DockerError, Options, mounts_of, ports_of
from tests.support.stand_in_lean.files import CONTAINER, ContainerFiles, Mount

WORKDIR = "/Lean/Launcher/bin/Debug"
ENTRYPOINT = ["dotnet", "QuantConnect.Lean.Launcher.dll"]
IMAGE_ENV = {"PATH": "/usr/bin:/bin", "PYTHONNET_PYDLL": "/opt/miniconda3/lib/libpython3.11.so"}
_PAUSE = 0.01
_PID_TIME = 5.0


class Container:
    """A container, running or not."""

    def __init__(self, root: Path, name: str) -> None:
        self._root, self.name = root, name
        self.facts: dict[str, Any] = json.loads((self.folder / "container.json").read_text("utf-8"))
        self.identifier: str = self.facts["id"]

    @property
    def folder(self) -> Path:
        return self._root / "docker" / "containers" / self.name

    @property
    def _output(self) -> Path:
        return self._root / "docker" / "output" / self.identifier

    @classmethod
    def create(cls, root: Path, options: Options) -> Container:
        """Create a container.

        Raises:
            DockerError: Its name is taken, or its options are wrong.
        """
        identifier = os.urandom(32).hex()
        name = (options.named["name"] or [f"quirky_{identifier[:8]}"])[-1]
        entrypoint = options.named["entrypoint"]
        facts = {
            "id": identifier,
            "image": options.rest[0],
            "image_root": str(root / "image"),
            "command": [*(entrypoint[-1:] or ENTRYPOINT), *options.rest[1:]],
            "mounts": mounts_of(options),
            "ports": ports_of(options),
            "cwd": (options.named["workdir"] or [WORKDIR])[-1],
            "user": (options.named["user"] or [""])[-1],
            "environ": {**IMAGE_ENV, **_environ(options)},
            "remove": "--rm" in options.flags,
        }
        folder = root / "docker" / "containers" / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise DockerError(
                f'Error response from daemon: Conflict. The container name "/{name}" is already in use by container '
                f'"{identifier}". You have to remove (or rename) that container to be able to reuse that name.'
            ) from None
        temporary = folder / "container.json.new"
        temporary.write_text(json.dumps(facts), "utf-8")
        temporary.replace(folder / "container.json")
        container = cls(root, name)
        container._output.mkdir(parents=True)
        return container

    @classmethod
    def all(cls, root: Path) -> Iterator[Container]:
        """All containers, running or not."""
        for path in sorted((root / "docker" / "containers").glob("*")):
            with suppress(FileNotFoundError):  # it was just removed
                yield cls(root, path.name)

    @classmethod
    def find(cls, root: Path, name: str) -> Container:
        """The container of a name or of the start of an id.

        Raises:
            DockerError: No container has it.
        """
        for container in cls.all(root):
            if container.name == name or (len(name) >= 4 and container.identifier.startswith(name)):
                return container
        raise DockerError(f"Error response from daemon: No such container: {name}")

    @property
    def exit_code(self) -> int | None:
        path = self._output / "exit"
        return int(path.read_text()) if path.exists() else None

    @property
    def running(self) -> bool:
        return (self.folder / "started").exists() and self.exit_code is None

    def files(self) -> ContainerFiles:
        """Its files."""
        mounts = [Mount(*mount) for mount in self.facts["mounts"]]
        return ContainerFiles(mounts, Path(self.facts["image_root"]), self.facts["cwd"], self.facts["ports"])

    def summary(self) -> dict[str, str]:
        """The fields of ``docker ps``."""
        state = "running" if self.running else "exited" if self.exit_code is not None else "created"
        return {"ID": self.identifier[:12], "Names": self.name, "Image": self.facts["image"], "State": state}

    def inspected(self) -> dict[str, Any]:
        """The fields of ``docker inspect``."""
        state = {"Status": self.summary()["State"], "Running": self.running, "ExitCode": self.exit_code or 0}
        return {"Id": self.identifier, "Name": f"/{self.name}", "State": state}

    def run(self, *, detached: bool) -> int:
        """Start it; unless detached, pass its output and signals on and return its exit code."""
        (self.folder / "started").touch()
        for name in ("stdout", "stderr"):
            (self._output / name).touch()
        subprocess.Popen(
            [sys.executable, "-SE", str(self._root / "stand_in.py"), "docker-monitor", self.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if detached:
            print(self.identifier)
            return 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)
        self.relay(follow=True)
        return self.exit_code or 0

    def relay(self, *, follow: bool) -> None:
        """Print what it printed, and until its end what it prints."""
        consoles = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
        sources = {name: (self._output / name).open("rb") for name in consoles}
        while True:
            ended = self.exit_code is not None or not follow
            for name, source in sources.items():
                consoles[name].write(source.read())
                consoles[name].flush()
            if ended:
                break
            time.sleep(_PAUSE)
        for source in sources.values():
            source.close()

    def kill(self, number: int) -> None:
        """Send a signal to its program."""
        until = time.monotonic() + _PID_TIME
        while not (self._output / "pid").exists() and time.monotonic() < until:
            time.sleep(_PAUSE)
        with suppress(ProcessLookupError):
            os.kill(int((self._output / "pid").read_text()), number)

    def wait(self, limit: float) -> bool:
        """Wait for its end; returns whether it came in time."""
        until = time.monotonic() + limit
        while self.exit_code is None and time.monotonic() < until:
            time.sleep(_PAUSE)
        return self.exit_code is not None

    def remove(self) -> None:
        """Remove it, with its output."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.kill(number)

    def supervise(self) -> None:
        """Start its program, wait for it, and note its exit code."""
        command = self.facts["command"]
        with (self._output / "stdout").open("ab") as out, (self._output / "stderr").open("ab") as err:
            if command[0] != "dotnet":
                err.write(f'exec: "{command[0]}": stand-in: only dotnet runs in this container\n'.encode())
                code = 127
            else:
                process = subprocess.Popen(
                    [str(self._root / "bin" / "dotnet"), *command[1:]],
                    env={**self.facts["environ"], CONTAINER: str(self.folder / "container.json")},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                )
                _write(self._output / "pid", str(process.pid))
                code = process.wait()
        if self.facts["remove"]:
            self.remove()
        _write(self._output / "exit", str(code if code >= 0 else 128 - code))


def monitor(root: Path, argv: Sequence[str]) -> int:
    """Take the part of Docker's daemon for one container."""
    Container(root, argv[0]).supervise()
    return 0


def _environ(options: Options) -> dict[str, str]:
    """The variables of ``-e NAME=VALUE``, and of ``-e NAME`` with this process's value."""
    found = {}
    for text in options.named["env"]:
        name, equals, value = text.partition("=")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return found


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)
