"""Arguments and calls of the program docker."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

CALL_SECONDS = 5.0
"""Seconds within which Docker must carry out a short command."""


@frozen(kw_only=True)
class Mount:
    """A folder of this machine in a container.

    Attributes:
        source: The folder here, absolute; Docker would create one that does not exist, as root.
        target: Its path in the container.
        read_only: Whether the container may only read it.
    """

    source: Path
    target: str
    read_only: bool = True

    @property
    def arguments(self) -> tuple[str, str]:
        """The option of ``docker run``."""
        source = str(self.source)
        if ":" not in source:
            return ("-v", f"{source}:{self.target}{':ro' if self.read_only else ''}")
        # A colon separates the parts of -v; the parts of --mount are separated by commas, as in CSV.
        quoted = f'"source={source.replace(chr(34), chr(34) * 2)}"'
        return ("--mount", f"type=bind,{quoted},target={self.target}{',readonly' if self.read_only else ''}")


def container_path(mounts: Sequence[Mount], path: Path) -> str:
    """Return the path in the container of a file or folder that one of the mounts holds.

    Raises:
        ValueError: None of them holds it.
    """
    for mount in mounts:
        if path.is_relative_to(mount.source):
            relative = path.relative_to(mount.source).as_posix()
            return mount.target if relative == "." else f"{mount.target}/{relative}"
    raise ValueError(f"{path} is not mounted")


def call_docker(
    docker: Path | str, *arguments: str, environ: Mapping[str, str], seconds: float = CALL_SECONDS
) -> str | None:
    """Call docker and return its output; None if it did not succeed in time.

    Args:
        docker: The program.
        arguments: Its arguments.
        environ: Its environment.
        seconds: The time limit.
    """
    try:
        answer = subprocess.run(
            [str(docker), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            env=dict(environ),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", "replace").strip() if answer.returncode == 0 else None
