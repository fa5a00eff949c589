"""Runs LEAN's launcher on this machine with dotnet, without Docker and without LEAN's CLI.

A run gets a complete config of its own (`lean_config`), so the launcher's files stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError, ToolMissingError, WriteFailedError
from server.core.subprocess_runner import CommandOutcome, CommandRequest, run_command
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.launcher import Launcher, PythonRuntime
from server.engines.lean_build import BUILD_VARIABLES, assembly_name, build_arguments, build_failure, no_dll
from server.engines.lean_config import RunPaths, lean_config
from server.engines.lean_options import LeanOptions
from server.engines.lean_project import LeanProject, load_project, run_parameters
from server.engines.lean_result import lean_result
from server.engines.lean_run import (
    NATIVE_INTERRUPT_GRACE,
    TERMINATE_GRACE,
    StartFailure,
    choose_stream_port,
    finished_run,
    lean_environ,
    no_market_hours,
    object_store,
    run_lean,
    start_error,
)
from server.engines.run_folder import RunFolder, create_run_folder

_START_FAILURES = (
    StartFailure(
        (
            "You must install or update .NET",
            "The framework 'Microsoft.NETCore.App'",
            "Framework: 'Microsoft.NETCore.App'",
        ),
        ToolMissingError,
        "the .NET runtime of LEAN's launcher is not installed; compare dotnet --list-runtimes with "
        "QuantConnect.Lean.Launcher.runtimeconfig.json and install it (https://dotnet.microsoft.com/download)",
    ),
    StartFailure(
        ("The application to execute does not exist", "The application '", "required to execute the application"),
        ToolMissingError,
        "LEAN's launcher is not complete; correct the setting lean-launcher, or run: backtest-server lean install",
    ),
    StartFailure(
        ("valid ICU package",),
        ToolMissingError,
        "dotnet needs the ICU libraries; install libicu (on Debian: apt-get install libicu-dev)",
    ),
)


class NativeEngine:
    """Runs LEAN's launcher on this machine."""

    name = "lean-native"

    def __init__(
        self,
        launcher: Launcher,
        options: LeanOptions,
        clock: Callable[[], datetime],
        environ: Mapping[str, str],
    ) -> None:
        """Create an engine for any number of backtests.

        Args:
            launcher: The launcher, dotnet, and the Python of Python algorithms.
            options: Options of the runs.
            clock: Returns the current instant in UTC.
            environ: The environment for LEAN, which gets it without keys and the server's token.
        """
        self._launcher = launcher
        self._options = options
        self._clock = clock
        self._environ = lean_environ(environ, options.secrets)

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None] = lambda progress: None,
    ) -> EngineResult:
        """Run the launcher to its end (see `Engine.run`)."""
        started_at = self._clock()
        project = load_project(request.project, self._options.workspace)
        parameters = run_parameters(project.parameters, request, self._options.secrets)
        port = choose_stream_port(self._options, default=False)
        python = self._python(project)
        folder = create_run_folder(project.folder, started_at)
        try:
            folder.prepare()
            environ = self._environ if python is None else python_environ(python, self._environ, folder)
            algorithm = project.source if python is not None else self._build(project, folder, cancel, on_line)
            paths = RunPaths(
                launcher=str(self._launcher.folder.resolve()),
                data_folder=str(request.data_folder.resolve()),
                results=str(folder.path),
                object_store=str(object_store(self._options, folder)),
                algorithm=str(algorithm),
                libraries=tuple(map(str, project.libraries)),
            )
            if python is not None:
                _refuse_quotes(folder.work, project.folder, Path(paths.launcher), *project.libraries)
            folder.write_config(
                lean_config(
                    paths,
                    run_id=folder.run_id,
                    name=project.folder.name,
                    language=project.language,
                    type_name=project.type_name,
                    parameters=parameters,
                    stream_port=port,
                    python_environment=str(python.environment) if python and python.environment else None,
                )
            )
            outcome = run_lean(
                self._command(("--config", str(folder.config)), folder, environ),
                folder.path,
                stream_port=port,
                request=request,
                cancel=cancel,
                on_line=on_line,
                on_progress=on_progress,
            )
            run = finished_run(
                outcome,
                folder.path,
                self._clock(),
                time_limit=self._options.time_limit,
                start_failure=partial(_start_failure, data_folder=request.data_folder),
            )
        finally:
            folder.end()
        return lean_result(request, run, engine=self.name, started_at=started_at, finished_at=self._clock())

    def _command(self, arguments: tuple[str, ...], folder: RunFolder, environ: Mapping[str, str]) -> CommandRequest:
        return CommandRequest(
            argv=(str(self._launcher.dotnet), str(self._launcher.dll.resolve()), *arguments),
            cwd=folder.work,
            env=environ,
            time_limit=self._options.time_limit,
            secrets=self._options.secrets,
            interrupt_grace=NATIVE_INTERRUPT_GRACE,
            terminate_grace=TERMINATE_GRACE,
        )

    def _python(self, project: LeanProject) -> PythonRuntime | None:
        """The Python of a Python project; None for one in C#."""
        if project.language != "Python":
            return None
        if self._launcher.python is None:
            raise ToolMissingError(
                "LEAN runs Python algorithms with a Python that has pandas and numpy, and none was found; "
                "set lean-python to its interpreter or environment"
            )
        return self._launcher.python

    def _build(
        self, project: LeanProject, folder: RunFolder, cancel: CancelToken, on_line: Callable[[str], None]
    ) -> Path:
        """Build a C# project into the run's folder and return the DLL."""
        outcome = run_command(
            CommandRequest(
                argv=(
                    str(self._launcher.dotnet),
                    *build_arguments(project.source, folder.build, folder.intermediate),
                ),
                cwd=folder.work,
                env={**self._environ, **BUILD_VARIABLES},
                time_limit=self._options.time_limit,
                secrets=self._options.secrets,
            ),
            cancel=cancel,
            on_line=on_line,
        )
        if outcome.cancelled:
            raise Cancelled("the LEAN backtest was cancelled while its project was built")
        if not outcome:
            raise build_failure(outcome, project.source, self._options.time_limit)
        name = f"{assembly_name(project.source)}.dll"
        if not (folder.build / name).is_file():
            raise no_dll(project.source, name)
        return folder.build / name


def python_environ(python: PythonRuntime, environ: Mapping[str, str], folder: RunFolder) -> dict[str, str]:
    """Return the environment in which LEAN embeds a Python.

    The interpreter finds its standard library through the first ``python3`` on the PATH, and where the interpreter's
    own folder has none of that name, the working folder gets a link to it. No bytecode is written into the project.

    Args:
        python: The Python.
        environ: The environment of the server, without keys.
        folder: The folder of the run.

    Raises:
        WriteFailedError: The link cannot be made.
    """
    # Not resolved: the python3 of a virtual environment is a link to another Python.
    first = python.executable.absolute().parent
    if not (first / "python3").exists():
        first = folder.work / "bin"
        try:
            first.mkdir()
            (first / "python3").symlink_to(python.executable.absolute())
        except OSError as error:
            raise WriteFailedError(f"{first / 'python3'} cannot be made: {error.strerror or error}") from error
    kept = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    return {
        **kept,
        "PATH": os.pathsep.join(filter(None, (str(first), environ.get("PATH", "")))),
        "PYTHONNET_PYDLL": str(python.library),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _refuse_quotes(*folders: Path) -> None:
    """Refuse folders that LEAN cannot put on Python's path (LEAN: ``PythonInitializer.AddPythonPaths``)."""
    for folder in folders:
        if "'" in str(folder):
            raise ConfigurationError(
                f"LEAN cannot import Python modules from {folder}: the path has a ' in it; rename that folder"
            )


def _start_failure(outcome: CommandOutcome, data_folder: Path) -> BacktestServerError:
    return start_error(outcome, _START_FAILURES, "LEAN's launcher", no_market_hours(data_folder))
