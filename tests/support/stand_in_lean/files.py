"""The files that a process sees: the machine's own, or those of a container through its volumes."""

from __future__ import annotations

import errno
import json
import os
import posixpath
from pathlib import Path
from typing import NamedTuple

CONTAINER = "STAND_IN_CONTAINER"
"""The environment variable with the path of a container's description."""


class Mount(NamedTuple):
    """A folder or file of the host in a container."""

    host: str
    inside: str
    read_only: bool = False


class Files:
    """Finds the files of paths. This one is that of a process outside a container."""

    port_map: dict[int, int] | None = None
    """The published ports of a container; None outside one."""

    def host(self, path: str, *, write: bool = False) -> Path:
        """The path on the host.

        Raises:
            OSError: The path must not be written.
        """
        return Path(path)


class ContainerFiles(Files):
    """The files of a container: volumes, and the image's own files, which are read only."""

    def __init__(self, mounts: list[Mount], image: Path, cwd: str, ports: dict[int, int]) -> None:
        self.mounts = sorted(mounts, key=lambda mount: -len(mount.inside))
        self.image = image
        self.cwd = cwd
        self.port_map = ports

    def host(self, path: str, *, write: bool = False) -> Path:
        inside = posixpath.normpath(posixpath.join(self.cwd, path))
        for mount in self.mounts:
            if inside == mount.inside or inside.startswith(mount.inside.rstrip("/") + "/"):
                if write and mount.read_only:
                    raise OSError(errno.EROFS, "Read-only file system", inside)
                return Path(mount.host + inside[len(mount.inside.rstrip("/")) :])
        if write:
            raise PermissionError(errno.EACCES, "stand-in: not below a volume, so it would be lost", inside)
        return self.image / inside.lstrip("/")


def files_of(environ: dict[str, str]) -> Files:
    """The files of this process; takes the container's description out of the environment."""
    described = environ.pop(CONTAINER, "")
    os.environ.pop(CONTAINER, None)
    if not described:
        return Files()
    facts = json.loads(Path(described).read_text("utf-8"))
    mounts = [Mount(*mount) for mount in facts["mounts"]]
    ports = {int(inside): outside for inside, outside in facts["ports"].items()}
    return ContainerFiles(mounts, Path(facts["image_root"]), facts["cwd"], ports)
