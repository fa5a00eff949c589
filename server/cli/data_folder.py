"""Prints which data folder a command uses, and why where it is not the obvious one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.core.events import Event, EventListener
    from server.settings import Settings


_FIRST_EVENTS = ("notice", "started", "finished")


def data_folder_listener(settings: Settings, *, quiet: bool, project: Path | None = None) -> EventListener:
    """Return a listener that prints one line on stdout before the first event of a download.

    Invalid use fails before that, and prints nothing.

    Args:
        settings: The settings of the command.
        quiet: Print nothing.
        project: The LEAN project that the command runs, if it runs one.
    """
    pending = [] if quiet else [data_folder_line(settings, Path.cwd(), _lean_json_of(project))]

    def listen(event: Event, /) -> None:
        if pending and event.kind in _FIRST_EVENTS:
            print(pending.pop(), flush=True)

    return listen


def data_folder_line(settings: Settings, cwd: Path, project_lean_json: Path | None) -> str:
    """Return the data folder, with the reason where it is neither named by a flag nor the working directory's ``data``.

    Args:
        settings: The settings of the command.
        cwd: The working directory.
        project_lean_json: The lean.json of the workspace of the command's project, if it has both.
    """
    reasons = []
    source = settings.sources["data-folder"]
    if source.kind == "environment":
        reasons = [f"set by the environment variable {source.name}"]
    elif source.kind != "flag":
        elsewhere = project_lean_json is not None and project_lean_json != settings.lean_config
        if settings.lean_config and (elsewhere or settings.data_folder != Path(os.path.realpath(cwd / "data"))):
            reasons = [f"set in {source.name}" if source.kind == "lean.json" else f"next to {source.name}"]
        if elsewhere:
            where = "" if reasons else "of the working directory; "
            reasons.append(
                f"{where}the project is in another workspace, whose data folder is used with --lean-config "
                f"{project_lean_json}"
            )
    return f"data folder: {settings.data_folder}" + (f" ({'; '.join(reasons)})" if reasons else "")


def _lean_json_of(project: Path | None) -> Path | None:
    from server.settings.lean_json import find_lean_json

    if project is None:
        return None
    folder = Path(os.path.realpath(project))
    return find_lean_json(folder if folder.is_dir() else folder.parent)
