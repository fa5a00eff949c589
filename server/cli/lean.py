"""The command `lean`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from server.cli.common import PLACE, cancel_on_signals, folder_options, open_workspace

if TYPE_CHECKING:
    from server.engines.status import EngineProbes

_GRACE_SECONDS = 30.0


@click.group()
def lean() -> None:
    """Get LEAN for the engine lean-native."""


@lean.command()
@click.option("--image", metavar="IMAGE", help="LEAN's Docker image; by default that of the settings.")
@click.option("--to", "target", type=PLACE, metavar="FOLDER", help="The folder to install into.")
@folder_options
def install(
    image: str | None, target: Path | None, data_folder: Path | None, lean_config: Path | None, debug: bool
) -> int:
    """Copy LEAN's launcher, market hours, symbol properties and interest rates out of its Docker image.

    Docker is needed for this command only. An installation that exists is replaced once the new one is complete.
    """
    from server.core.errors import ConfigurationError
    from server.engines.choose import engine_probes
    from server.engines.launcher import install_folder
    from server.engines.lean_install import install_lean

    usual = install_folder(os.environ)
    folder = target or usual
    if folder is None:
        raise ConfigurationError("there is no home folder to install into; name a folder with --to")
    with (
        open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, read_only=True) as workspace,
        cancel_on_signals(_GRACE_SECONDS) as cancel,
    ):
        probes = engine_probes(workspace.settings, os.environ, workspace.secrets(), None)
        launcher = install_lean(
            folder,
            image or workspace.settings.lean_engine_image,
            probes.environ,
            cancel=cancel,
            on_line=lambda line: print(line, file=sys.stderr, flush=True),
        )
        print(f"LEAN's launcher is in {launcher}")
        _print_next_steps(probes, launcher, named=folder.absolute() != usual)
    return 0


def _print_next_steps(probes: EngineProbes, launcher: Path, *, named: bool) -> None:
    """Print what the engine lean-native still needs."""
    from attrs import evolve

    if named:
        print(f"to use it, set lean-launcher in lean.json, or: export LEAN_LAUNCHER={shlex.quote(str(launcher))}")
    status = evolve(probes, settings=evolve(probes.settings, lean_launcher=launcher)).status("lean-native")
    for lack in status.lacks:
        print(f"still needed: {lack.what}\n  fix: {lack.fix}")
    if status.ready:
        print(f"lean-native can run: {status.found}")
