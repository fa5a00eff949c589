"""Lists the LEAN projects below one folder; names cannot lead outside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from server.core.errors import ConfigurationError
from server.project import PARAMETERS_FILE, read_project_parameters
from server.web import models

_MAIN_FILES = ("main.py", "Main.cs")
_MOST = 200


def list_projects(root: Path) -> list[models.Project]:
    """List at most 200 projects below a folder or one level deeper, with their parameters."""
    return list(islice(_projects(root), _MOST))


def _projects(root: Path) -> Iterator[models.Project]:
    for pattern in ("*", "*/*"):
        for folder in sorted(root.glob(pattern)):
            with suppress(OSError):  # a folder that cannot be read is skipped
                if any((folder / name).is_file() for name in _MAIN_FILES) and _inside(root, folder):
                    yield _described(root, folder)


def find_project(root: Path, name: str) -> Path:
    """Return the folder of a project.

    Args:
        root: The projects folder.
        name: A name that `list_projects` returned.

    Raises:
        ConfigurationError: It does not exist, or lies outside the projects folder once symbolic links are resolved.
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
    """Return a project's name: its path below the projects folder, or its last part if it lies elsewhere."""
    try:
        return project.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return project.name


def _inside(root: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve()) and folder.resolve() != root.resolve()


def _described(root: Path, folder: Path) -> models.Project:
    name = folder.relative_to(root).as_posix()
    if not (folder / PARAMETERS_FILE).is_file():
        problem = f"it has no {PARAMETERS_FILE.as_posix()}; give symbols and days yourself"
        return models.Project(name=name, problem=problem)
    try:
        found = read_project_parameters(folder)
    except ConfigurationError as error:
        return models.Project(name=name, problem=str(error))
    return models.Project(
        name=name,
        symbols=list(found.symbols) if found.symbols else None,
        resolution=found.resolution,
        start=found.start,
        end=found.end,
    )
