"""LEAN's launcher on this machine: where it is, the .NET runtime, and the Python of its algorithms."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import ConfigurationError
from server.core.paths import InvalidPath, expand_path

LAUNCHER_DLL = "QuantConnect.Lean.Launcher.dll"
RUNTIME_CONFIG = "QuantConnect.Lean.Launcher.runtimeconfig.json"
LAUNCHER_VARIABLE = "LEAN_LAUNCHER"
"""The environment variable that names the launcher's folder where the setting `lean-launcher` does not."""

_BUILDS = ("Launcher/bin/Debug", "Launcher/bin/Release")
"""The folders of the launcher in LEAN's repository, in its image and in an installation."""


@frozen(kw_only=True)
class PythonRuntime:
    """The Python that LEAN embeds to run Python algorithms.

    Attributes:
        executable: The interpreter; LEAN finds its packages through the first ``python3`` of the PATH.
        library: The shared library of the interpreter (the variable PYTHONNET_PYDLL).
        version: Major, minor and patch, such as ``3.11.9``.
        environment: The folder of the virtual environment; None for an interpreter that is not in one.
    """

    executable: Path
    library: Path
    version: str
    environment: Path | None = None


@frozen(kw_only=True)
class Launcher:
    """LEAN's launcher and the programs that run it.

    Attributes:
        folder: Contains QuantConnect.Lean.Launcher.dll.
        dotnet: The program dotnet.
        python: Of Python algorithms; None where it was not needed.
    """

    folder: Path
    dotnet: Path
    python: PythonRuntime | None = None

    @property
    def dll(self) -> Path:
        """The launcher's DLL."""
        return self.folder / LAUNCHER_DLL

    @property
    def reference_folders(self) -> tuple[Path, ...]:
        """The folders that may hold LEAN's reference data, the first one first."""
        return (self.folder / "Data", self.folder.parent.parent.parent / "Data")


@frozen
class RequiredRuntime:
    """A .NET framework that the launcher needs.

    Attributes:
        name: Such as ``Microsoft.NETCore.App``.
        version: Such as ``10.0.0``.
        roll_forward: Which later versions do (``Minor``, ``Major``, ``LatestPatch``, ``Disable``, …).
    """

    name: str
    version: str
    roll_forward: str = "Minor"


def find_launcher(configured: Path | None, environ: Mapping[str, str], *, source: str = "the settings") -> Path | None:
    """Find the folder of LEAN's launcher.

    Args:
        configured: The value of the setting `lean-launcher`: the launcher's folder, its DLL, or the folder of LEAN's
            repository or of an installation.
        environ: The environment, for $LEAN_LAUNCHER and the home folder.
        source: The source of the setting, for errors.

    Returns:
        The absolute path of the folder; None if nothing names one and the usual places have none.

    Raises:
        ConfigurationError: The setting, or else $LEAN_LAUNCHER, names a place without the launcher.
    """
    if configured is not None:
        return _named_launcher(configured, f"lean-launcher is {configured} ({source})")
    named = environ.get(LAUNCHER_VARIABLE, "").strip()
    if named:
        try:
            path = Path(expand_path(named, environ))
        except InvalidPath as error:
            raise ConfigurationError(f"{LAUNCHER_VARIABLE} is {named} (environment variable); {error}") from None
        return _named_launcher(path, f"{LAUNCHER_VARIABLE} is {named} (environment variable)")
    return next(filter(None, (_launcher_in(place) for place in usual_places(environ))), None)


def usual_places(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders of LEAN's repository or of an installation that are searched for the launcher."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home:
        yield Path(home) / "Lean"
        yield Path(home) / "lean"
    yield Path("/Lean")
    yield Path("/opt/Lean")
    install = install_folder(environ)
    if install:
        yield install


def install_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that `lean install` writes unless another is named; None without a home folder."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA")
        return Path(base) / "backtest-server" / "lean" if base else None
    if not home:
        return None
    if sys.platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "backtest-server" / "lean"
    data = environ.get("XDG_DATA_HOME", "")
    base_folder = Path(data) if data.startswith("/") else Path(home) / ".local" / "share"
    return base_folder / "backtest-server" / "lean"


def required_runtimes(folder: Path, environ: Mapping[str, str]) -> tuple[RequiredRuntime, ...]:
    """Return the .NET frameworks that the launcher's runtimeconfig.json names; empty if there is no such file.

    Args:
        folder: The launcher's folder.
        environ: The environment; DOTNET_ROLL_FORWARD replaces the file's rule, as in .NET.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    path = folder / RUNTIME_CONFIG
    try:
        content = json.loads(path.read_bytes())
        options = content["runtimeOptions"]
        named = options.get("frameworks") or [options["framework"]]
        rule = environ.get("DOTNET_ROLL_FORWARD") or options.get("rollForward") or "Minor"
        return tuple(RequiredRuntime(_text(one["name"]), _text(one["version"]), _text(rule)) for one in named)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{path} names no .NET runtime; the launcher's folder is damaged") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _named_launcher(place: Path, what: str) -> Path:
    found = _launcher_in(place)
    if found is None:
        problem = f"there is no {LAUNCHER_DLL} in it" if os.path.exists(place) else "it does not exist"  # noqa: PTH110
        raise ConfigurationError(
            f"{what}, but {problem}; name the folder that contains {LAUNCHER_DLL} "
            f"({_BUILDS[0]} of a build of LEAN), or get one with: backtest-server lean install"
        )
    return found


def _launcher_in(place: Path) -> Path | None:
    """The folder of the DLL: the place itself, its folder if it is the DLL, or a folder of a build in it.

    Links are resolved, because the reference data is found relative to the folder.
    """
    if place.name == LAUNCHER_DLL and os.path.isfile(place):  # noqa: PTH113 - Path.is_file may raise
        place = place.parent
    for folder in (place, *(place / build for build in _BUILDS), place / "bin/Debug", place / "bin/Release"):
        if os.path.isfile(folder / LAUNCHER_DLL):  # noqa: PTH113
            return Path(os.path.realpath(folder))
    return None
