"""Installs the stand-in for LEAN in a folder of a test.

stand_in = install_stand_in(tmp_path / "lean")
environ = {"PATH": stand_in.path, "LEAN_LAUNCHER": str(stand_in.launcher)}
stand_in.behave(slow=2)
...
[call] = stand_in.calls_of("launcher")
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.stand_in_lean import behaviour
from tests.support.stand_in_lean.dotnet import LAUNCHER
from tests.support.stand_in_lean.reference_files import write_reference_files

PROGRAMS = ("dotnet", "docker", "lean")
IMAGE_LAUNCHER = "Lean/Launcher/bin/Debug"
IMAGE_DATA = "Lean/Data"
IMAGE_PYTHON = "opt/miniconda3/lib/libpython3.11.so"

_REPOSITORY = Path(__file__).resolve().parents[3]
_RUNTIME = {"runtimeOptions": {"tfm": "net10.0", "framework": {"name": "Microsoft.NETCore.App", "version": "10.0.0"}}}


class StandIn:
    """An installed stand-in.

    Attributes:
        folder: Of the installation.
        bin: With the programs; goes first on the PATH.
        launcher: With the launcher's DLL and `Data`.
        library: A file for PYTHONNET_PYDLL.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.launcher = folder / "launcher"
        self.library = folder / "libpython3.11.so"

    @property
    def path(self) -> str:
        """A PATH with the programs in front."""
        return os.pathsep.join((str(self.bin), os.environ.get("PATH", os.defpath)))

    @property
    def path_alone(self) -> str:
        """A PATH with the programs and nothing of the user's besides the system's own programs."""
        return os.pathsep.join((str(self.bin), "/usr/bin", "/bin"))

    def behave(self, **settings: Any) -> None:
        """Change settings (see `behaviour`); None removes one."""
        behaviour.change_settings(self.folder, **settings)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All calls of the programs, and of the launcher with its ``config``."""
        path = self.folder / behaviour.CALLS
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def calls_of(self, program: str) -> list[dict[str, Any]]:
        """The calls of ``dotnet``, ``docker``, ``lean`` or ``launcher``."""
        return [call for call in self.calls if call["program"] == program]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the launcher's last run."""
        config: dict[str, Any] = self.calls_of("launcher")[-1]["config"]
        return config

    def without(self, *programs: str) -> None:
        """Remove programs."""
        for program in programs:
            (self.bin / program).unlink()


def install_stand_in(folder: Path, *, runs: Path | None = None, **settings: Any) -> StandIn:
    """Install the programs and the launcher.

    Args:
        folder: A new folder.
        runs: The folder of recorded runs (LEAN_RUNS), for `replay`.
        settings: See `behaviour`.
    """
    found = StandIn(folder.resolve())
    found.bin.mkdir(parents=True)
    script = found.folder / "stand_in.py"
    script.write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(_REPOSITORY)!r})\n"
        "from tests.support.stand_in_lean.program import main\n"
        f"sys.exit(main(sys.argv[1], Path({str(found.folder)!r}), sys.argv[2:]))\n"
    )
    for name in PROGRAMS:
        # .NET ignores SIGINT from its start to the first bar; the shell makes that true before Python runs.
        ignore = "trap '' INT\n" if name == "dotnet" else ""
        program = found.bin / name
        program.write_text(f'#!/bin/sh\n{ignore}exec "{sys.executable}" -SE "{script}" {name} "$@"\n')
        program.chmod(0o755)
    found.library.write_bytes(b"\x7fELF stand-in")
    write_launcher(found.launcher, found.launcher / "Data")
    image = found.folder / "image"
    write_launcher(image / IMAGE_LAUNCHER, image / IMAGE_DATA)
    python = image / IMAGE_PYTHON
    python.parent.mkdir(parents=True)
    python.write_bytes(b"\x7fELF stand-in")
    found.behave(runs=str(runs) if runs else "", **settings)
    return found


def write_launcher(folder: Path, data: Path) -> None:
    """Write the files of LEAN's launcher that matter."""
    folder.mkdir(parents=True)
    (folder / LAUNCHER).write_bytes(b"MZ stand-in")
    name = LAUNCHER.removesuffix(".dll")
    (folder / f"{name}.runtimeconfig.json").write_text(json.dumps(_RUNTIME, indent=2))
    (folder / "config.json").write_text("{}")
    write_reference_files(data)
