"""The LEAN projects below one folder; nothing outside it can be named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from server.core.errors import ConfigurationError
from server.project import PARAMETERS_FILE, read_project_parameters

_MAIN_FILES = ("main.py", "Main.cs")
_MOST = 200


def list_projects(root: Path) -> list[dict[str, Any]]:
    """The projects directly below the folder, or one level deeper, with what their parameters say."""
    found = []
    for pattern in ("*", "*/*"):
        for folder in sorted(root.glob(pattern)):
            with suppress(OSError):  # a folder that may not be looked into is none of ours
                if any((folder / name).is_file() for name in _MAIN_FILES) and _inside(root, folder):
                    found.append(_described(root, folder))
    return found[:_MOST]


def find_project(root: Path, name: str) -> Path:
    """The project of this name, as `list_projects` gives it.

    Raises:
        ConfigurationError: There is none, or it lies outside the folder (symbolic links are followed first).
    """
    folder = root / name
    plain = "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts
    try:
        good = plain and folder.is_dir() and _inside(root, folder)
    except OSError:
        good = False
    if not good:
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise ConfigurationError(f"there is no project {shown!r} in the projects folder")
    return folder.resolve()


def name_of(root: Path, project: Path) -> str:
    """The name of a project's folder below the root."""
    try:
        return project.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return project.name


def _inside(root: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve()) and folder.resolve() != root.resolve()


def _described(root: Path, folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = {"name": folder.relative_to(root).as_posix(), "problem": None}
    answer |= dict.fromkeys(("symbols", "resolution", "start", "end"))
    if not (folder / PARAMETERS_FILE).is_file():
        return {**answer, "problem": f"it has no {PARAMETERS_FILE.as_posix()}; give symbols and days yourself"}
    try:
        parameters = read_project_parameters(folder)
    except ConfigurationError as error:
        return {**answer, "problem": str(error)}
    answer["symbols"] = list(parameters.symbols) if parameters.symbols else None
    answer["resolution"] = parameters.resolution.value if parameters.resolution else None
    answer["start"] = parameters.start.isoformat() if parameters.start else None
    answer["end"] = parameters.end.isoformat() if parameters.end else None
    return answer
