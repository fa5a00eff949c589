"""Starts a program of the stand-in; the installed scripts call `main`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def main(name: str, folder: Path, argv: Sequence[str]) -> int:
    """Run a program; returns its exit code.

    Args:
        name: ``dotnet``, ``docker``, ``docker-monitor`` or ``lean``.
        folder: Of the installation.
        argv: Its arguments.
    """
    if name == "dotnet":
        from tests.support.stand_in_lean import dotnet

        return dotnet.main(folder, argv)
    if name == "lean":
        from tests.support.stand_in_lean import lean_cli

        return lean_cli.main(folder, argv)
    if name == "docker-monitor":
        from tests.support.stand_in_lean import docker_container

        return docker_container.monitor(folder, argv)
    from tests.support.stand_in_lean import docker

    return docker.main(folder, argv)
