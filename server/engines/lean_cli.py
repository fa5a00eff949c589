"""Runs LEAN with ``lean backtest`` of LEAN's CLI, in Docker and on local data only.

LEAN exits with success even if data was missing, so its failed data requests are reported with its statistics.
The CLI sees a private folder with a copy of the project (see cli_workspace.py), from which the results are moved to the
project. It has the object store of the workspace in every run.

An algorithm receives the request as parameters: ``backtest-symbols`` (comma separated), ``backtest-resolution``,
``backtest-start`` and ``backtest-end`` (ISO, both included); see examples/ZacQC. One that reads none of them runs its
own dates, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, ConfigurationError, ToolFailedError, ToolMissingError
from server.core.lean_cli import INTERRUPT_GRACE, container_notice, machine_problem, remove_container
from server.core.subprocess_runner import CommandOutcome, CommandRequest
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.cli_workspace import CliWorkspace, open_cli_workspace
from server.engines.lean_options import LeanOptions
from server.engines.lean_project import (
    project_folder,
    project_parameters,
    project_path,
    read_project_config,
    run_parameters,
)
from server.engines.lean_result import lean_result
from server.engines.lean_run import (
    DOCKER_FAILURES,
    TERMINATE_GRACE,
    StartFailure,
    finished_run,
    lean_environ,
    no_market_hours,
    run_lean,
    start_error,
)
from server.engines.run_folder import create_run_folder
from server.settings.lean_json import read_lean_json

# What LEAN's CLI prints when it cannot start LEAN, the error that this becomes, and its text.
_START_FAILURES = (
    *DOCKER_FAILURES,
    StartFailure(
        ("lean login", "not logged in", "Invalid credentials"),
        ToolMissingError,
        "LEAN's CLI is not logged in; run: lean login",
    ),
    StartFailure(
        ("lean init", "Lean CLI root folder"),
        ToolMissingError,
        "LEAN's CLI does not accept this lean.json; run lean init in its folder, which also names the organization",
    ),
)


class CliEngine:
    """Runs LEAN's CLI on a project whose folder is below that of a lean.json."""

    name = "lean-cli"

    def __init__(
        self,
        lean_config: Path,
        options: LeanOptions,
        clock: Callable[[], datetime],
        environ: Mapping[str, str],
        *,
        executable: str = "lean",
        image: str | None = None,
    ) -> None:
        """Create an engine for any number of backtests.

        Args:
            lean_config: LEAN's configuration file.
            options: Options of the runs; the CLI has no live stream, and the object store of its workspace.
            clock: Returns the current instant in UTC.
            environ: The environment for LEAN's CLI, which gets it without keys and the server's token.
            executable: The name or path of LEAN's CLI.
            image: The Docker image of LEAN; None leaves it to the CLI.
        """
        self._lean_config = lean_config
        self._options = options
        self._clock = clock
        self._environ = lean_environ(environ, options.secrets)
        self._executable = executable
        self._image = image

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None] = lambda progress: None,
    ) -> EngineResult:
        """Run ``lean backtest`` to its end (see `Engine.run`)."""
        started_at = self._clock()
        root = self._lean_config.resolve().parent
        project = _project(request, root)
        folder = project_folder(project)
        config = read_project_config(folder)
        parameters = run_parameters(project_parameters(config), request, self._options.secrets)
        results = create_run_folder(folder, started_at)
        try:
            with open_cli_workspace(
                project,
                results.path,
                root=root,
                config=config,
                user=read_lean_json(self._lean_config),
                data_folder=request.data_folder,
                secrets=self._options.secrets,
                keeps=container_notice(self._environ, on_line),
            ) as workspace:
                try:
                    outcome = self._run(
                        workspace,
                        parameters,
                        partial(run_lean, request=request, on_progress=on_progress),
                        cancel,
                        on_line,
                    )
                finally:
                    workspace.move_results(results.path)
            run = finished_run(
                outcome,
                results.path,
                self._clock(),
                time_limit=self._options.time_limit,
                start_failure=partial(_start_failure, data_folder=request.data_folder, results=results.path),
            )
        finally:
            results.end()
        return lean_result(request, run, engine=self.name, started_at=started_at, finished_at=self._clock())

    def _run(
        self,
        workspace: CliWorkspace,
        parameters: Mapping[str, str],
        run: Callable[..., CommandOutcome],
        cancel: CancelToken,
        on_line: Callable[[str], None],
    ) -> CommandOutcome:
        """Run the CLI, whose container does not exist afterwards."""
        command = CommandRequest(
            argv=(self._executable, *self._arguments(workspace, parameters)),
            cwd=workspace.root,
            # The default of 80 columns would break file names and messages.
            env={**self._environ, "COLUMNS": "1000", "TMPDIR": str(workspace.scratch)},
            time_limit=self._options.time_limit,
            secrets=self._options.secrets,
            interrupt_grace=INTERRUPT_GRACE,
            terminate_grace=TERMINATE_GRACE,
        )
        outcome = None
        try:
            outcome = run(command, workspace.output, stream_port=None, cancel=cancel, on_line=on_line)
            return outcome
        finally:
            if outcome is None or outcome.cancelled or outcome.timed_out or outcome.exit_code < 0:
                remove_container(workspace.container, self._environ)

    def _arguments(self, workspace: CliWorkspace, parameters: Mapping[str, str]) -> Iterator[str]:
        yield from ("backtest", str(workspace.project), "--output", str(workspace.output))
        yield from ("--lean-config", str(workspace.lean_config))
        yield from ("--data-provider-historical", "Local", "--no-update")
        if self._image:
            yield from ("--image", self._image)
        for name, value in parameters.items():  # given any, the CLI ignores those of the project's config.json
            yield from ("--parameter", name, value)


def _project(request: EngineRequest, root: Path) -> Path:
    """Return the path of the project for LEAN's CLI."""
    project = project_path(request.project)
    if not project.is_relative_to(root):
        raise ConfigurationError(f"the project {project} does not lie below {root}, where lean.json is; move it there")
    return project


def _start_failure(outcome: CommandOutcome, data_folder: Path, results: Path) -> BacktestServerError:
    """The error for a CLI that could not start LEAN, or whose exit code hides how LEAN ended."""
    if (results / "log.txt").is_file():
        return ToolFailedError(f"LEAN ended in its container without a result; see {results / 'log.txt'} for why")
    if problem := machine_problem(outcome.lines):
        return ToolMissingError(problem)
    return start_error(outcome, _START_FAILURES, "lean backtest", no_market_hours(data_folder))
