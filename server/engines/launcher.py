"""LEAN's launcher on this machine: the folder of its DLL, the .NET runtime, and the Python of its algorithms."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

LAUNCHER_DLL = "QuantConnect.Lean.Launcher.dll"


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
