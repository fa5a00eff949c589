"""What each engine finds on this machine, and what it lacks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from server.core.errors import ConfigurationError
from server.engines.docker import find_docker, find_image
from server.engines.dotnet import find_dotnet, find_sdk
from server.engines.launcher import Launcher, PythonRuntime, RequiredRuntime, find_launcher, required_runtimes
from server.engines.probe import MissingRequirement, Requirement
from server.engines.project_language import project_language
from server.engines.python_runtime import find_python, inspect_python
from server.settings import Settings, Source
from server.settings.lean_json import find_lean_json

SMOKE = "smoke"


@frozen(kw_only=True)
class EngineStatus:
    """Whether an engine can run.

    Attributes:
        name: The engine's name.
        found: What was found, in one line.
        lacks: All that is missing.
    """

    name: str
    found: str
    lacks: tuple[MissingRequirement, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it can run."""
        return not self.lacks


@frozen(kw_only=True)
class EngineProbes:
    """Looks for what the engines need; each thing is looked for once, when it is first needed.

    Attributes:
        settings: They name the launcher, the Python, the image and lean.json.
        environ: The environment of programs that are run, without secrets.
        project: The LEAN project; None describes what a Python project would need.
    """

    settings: Settings
    environ: Mapping[str, str]
    project: Path | None = None

    def status(self, name: str, *, first_only: bool = False) -> EngineStatus:
        """Return the status of an engine.

        Args:
            name: The engine's name.
            first_only: Stop at the first thing that is missing, for a quick answer.
        """
        found: list[str] = []
        lacks: list[MissingRequirement] = []
        for requirement in self._requirements(name):
            found += [requirement.found] if requirement.found else []
            lacks += requirement.lacks
            if lacks and first_only:
                break
        return EngineStatus(name=name, found=", ".join(found) or "nothing was found", lacks=tuple(lacks))

    def require_named_launcher(self) -> None:
        """Check the setting `lean-launcher` and $LEAN_LAUNCHER.

        Raises:
            ConfigurationError: The place that they name has no launcher.
        """
        self._find_launcher()

    @cached_property
    def lean_config(self) -> Path | None:
        """The lean.json of the settings, or the nearest one at or above a project that is not below its folder."""
        configured = self.settings.lean_config
        if self.project is None or (configured and _below(self.project, configured)):
            return configured
        return find_lean_json(self.project) or configured

    @property
    def launcher(self) -> Launcher:
        """The launcher of an engine that is ready.

        Raises:
            ValueError: Something is missing.
        """
        if self._folder.value is None or self._dotnet.value is None:
            raise ValueError("lean-native is not ready")
        python = self._python.value if self._is_python else None
        return Launcher(folder=self._folder.value, dotnet=self._dotnet.value, python=python)

    @property
    def docker(self) -> Path | None:
        """The program docker; None if Docker cannot be used."""
        return self._docker.value

    @property
    def image(self) -> str | None:
        """The image of LEAN; None if Docker does not have it."""
        return self._image.value

    @cached_property
    def lean_cli(self) -> Requirement[Path]:
        """The program lean."""
        found = shutil.which("lean", path=self.environ.get("PATH", ""))
        if found:
            return Requirement(value=Path(found), found=f"LEAN's CLI at {found}")
        return Requirement(
            lacks=(MissingRequirement("LEAN's CLI is not installed", "pip install lean, then lean login"),)
        )

    def _requirements(self, name: str) -> Iterator[Requirement[Any]]:
        match name:
            case "lean-native":
                yield self._folder
                yield self._dotnet
                yield self._python if self._is_python else self._sdk
            case "lean-docker":
                yield self._docker
                if self._docker.value:
                    yield self._image
            case "lean-cli":
                yield self._workspace
                yield self.lean_cli
                yield self._docker
            case _:
                yield Requirement(found="it is built in")

    @property
    def _is_python(self) -> bool:
        return self.project is None or project_language(self.project) == "Python"

    def _find_launcher(self) -> Path | None:
        source = self.settings.sources.get("lean-launcher", Source("default"))
        return find_launcher(self.settings.lean_launcher, self.environ, source=str(source))

    @cached_property
    def _folder(self) -> Requirement[Path]:
        fix = "backtest-server lean install, or set lean-launcher to the folder of QuantConnect.Lean.Launcher.dll"
        try:
            folder = self._find_launcher()
        except ConfigurationError as error:
            return Requirement(lacks=(MissingRequirement(str(error), "correct or unset it"),))
        if folder is None:
            return Requirement(lacks=(MissingRequirement("LEAN's launcher was not found", fix),))
        return Requirement(value=folder, found=f"LEAN's launcher in {folder}")

    @cached_property
    def _runtimes(self) -> Requirement[tuple[RequiredRuntime, ...]]:
        if self._folder.value is None:
            return Requirement(value=())
        try:
            return Requirement(value=required_runtimes(self._folder.value, self.environ))
        except ConfigurationError as error:
            fix = "backtest-server lean install, or build LEAN again"
            return Requirement(lacks=(MissingRequirement(str(error), fix),))

    @cached_property
    def _dotnet(self) -> Requirement[Path]:
        found = find_dotnet(self._runtimes.value or (), self.environ)
        return evolve(found, lacks=self._runtimes.lacks + found.lacks)

    @cached_property
    def _sdk(self) -> Requirement[Path]:
        project, dotnet = self.project, self._dotnet.value
        if dotnet is None or project is None or project.suffix == ".dll":
            return Requirement()
        return find_sdk(dotnet, self._runtimes.value or (), self.environ)

    @cached_property
    def _python(self) -> Requirement[PythonRuntime]:
        source = self.settings.sources.get("lean-python", Source("default"))
        interpreter = find_python(self.settings.lean_python, self.environ, source=str(source))
        if interpreter.value is None:
            return Requirement(lacks=interpreter.lacks)
        return inspect_python(interpreter.value, self.environ)

    @cached_property
    def _docker(self) -> Requirement[Path]:
        return find_docker(self.environ)

    @cached_property
    def _image(self) -> Requirement[str]:
        if self._docker.value is None:
            return Requirement()
        return find_image(self._docker.value, self.settings.lean_engine_image, self.environ)

    @property
    def _workspace(self) -> Requirement[Path]:
        """The folder of lean.json, at or below which LEAN's CLI requires the project."""
        config, project = self.lean_config, self.project
        if config is None:
            what, fix = f"there is no lean.json at or above {project}", "lean init"
            return Requirement() if project is None else Requirement(lacks=(MissingRequirement(what, fix),))
        if project is None or _below(project, config):
            return Requirement(value=config.parent, found=str(config))
        what = f"{project} does not lie below the folder of {config}"
        return Requirement(lacks=(MissingRequirement(what, "move it there"),))


def _below(project: Path, lean_config: Path) -> bool:
    """Whether the project is below the folder of this lean.json, as the CLI requires."""
    return project.resolve().is_relative_to(lean_config.resolve().parent)
