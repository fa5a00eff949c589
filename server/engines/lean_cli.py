"""Runs LEAN with ``lean backtest`` of LEAN's CLI, in Docker and on local data only.

LEAN exits with success even if data was missing, so its failed data requests are reported with its statistics.
The CLI rewrites the lean.json it gets, without its comments (LEAN's CLI: ``LeanConfigManager.set_properties``), so it
gets a private copy in the same folder, with the data folder of this backtest and without vendors' keys. The CLI has the
object store of the workspace in every run.

An algorithm receives the request as parameters: ``backtest-symbols`` (comma separated), ``backtest-resolution``,
``backtest-start`` and ``backtest-end`` (ISO, both included); see examples/ZacQC. One that reads none of them runs its
own dates, and the result says so.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, ConfigurationError, ToolMissingError, WriteFailedError
from server.core.secret import mask_secrets
from server.core.subprocess_runner import CommandOutcome, CommandRequest
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.docker_command import call_docker
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
    CONTAINER_INTERRUPT_GRACE,
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

NOT_FOR_LEAN = ("backtest-server", "polygon-api-key")
"""Keys of lean.json that the private copy omits: LEAN does not need them to read local files."""

# What LEAN's CLI prints when it cannot start LEAN, the error that this becomes, and its text.
_START_FAILURES = (
    *DOCKER_FAILURES,
    StartFailure(
        ("while pulling", "pull access denied", "No such image", "manifest unknown", "manifest for"),
        ToolMissingError,
        "LEAN's image is not there and could not be fetched; run: docker pull quantconnect/lean:latest",
    ),
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
    StartFailure(
        ("modules-1.", "cdn.quantconnect.com"),
        ToolMissingError,
        "LEAN's CLI could not fetch its list of modules; run any lean command once while online",
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
        own = project_parameters(read_project_config(folder))
        parameters = run_parameters(own, request, self._options.secrets)
        output = create_run_folder(folder, started_at)
        try:
            with self._private_config(request.data_folder) as config:
                outcome = run_lean(
                    CommandRequest(
                        argv=(self._executable, *self._arguments(project, output.path, config, parameters)),
                        cwd=root,
                        # The default of 80 columns would break file names and messages.
                        env={**self._environ, "COLUMNS": "400"},
                        time_limit=self._options.time_limit,
                        secrets=self._options.secrets,
                        interrupt_grace=CONTAINER_INTERRUPT_GRACE,
                        terminate_grace=TERMINATE_GRACE,
                    ),
                    output.path,
                    stream_port=None,
                    request=request,
                    cancel=cancel,
                    on_line=on_line,
                    on_progress=on_progress,
                )
            if outcome.cancelled or outcome.timed_out:
                self._remove_container(output.path)
            run = finished_run(
                outcome,
                output.path,
                self._clock(),
                time_limit=self._options.time_limit,
                start_failure=partial(_start_failure, data_folder=request.data_folder),
            )
        finally:
            output.clean()
        return lean_result(request, run, engine=self.name, started_at=started_at, finished_at=self._clock())

    def _arguments(self, project: Path, output: Path, config: Path, parameters: Mapping[str, str]) -> Iterator[str]:
        yield from ("backtest", str(project), "--output", str(output), "--lean-config", str(config))
        yield from ("--data-provider-historical", "Local", "--no-update")
        if self._image:
            yield from ("--image", self._image)
        for name, value in parameters.items():  # given any, the CLI ignores those of the project's config.json
            yield from ("--parameter", name, value)

    @contextmanager
    def _private_config(self, data_folder: Path) -> Iterator[Path]:
        values = {key: value for key, value in read_lean_json(self._lean_config).items() if key not in NOT_FOR_LEAN}
        values["data-folder"] = str(data_folder.resolve())
        folder = self._lean_config.resolve().parent
        try:
            handle, name = tempfile.mkstemp(prefix="lean-backtest-", suffix=".json", dir=folder)  # mode 0600
        except OSError as error:
            raise WriteFailedError(f"LEAN's CLI needs to write in {folder}: {error.strerror or error}") from error
        path = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(mask_secrets(json.dumps(values, indent=4), self._options.secrets))
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _remove_container(self, output: Path) -> None:
        """Remove the container of a CLI that was stopped, which it names in its file ``config``."""
        docker = shutil.which("docker", path=self._environ.get("PATH", ""))
        with suppress(OSError, ValueError, AttributeError):
            container = json.loads((output / "config").read_text("utf-8")).get("container")
            if docker and isinstance(container, str) and not container.startswith("-"):
                call_docker(docker, "rm", "-f", container, environ=self._environ)


def _project(request: EngineRequest, root: Path) -> Path:
    """Return the path of the project for LEAN's CLI."""
    project = project_path(request.project)
    if not project.is_relative_to(root):
        raise ConfigurationError(f"the project {project} does not lie below {root}, where lean.json is; move it there")
    return project


def _start_failure(outcome: CommandOutcome, data_folder: Path) -> BacktestServerError:
    """The error for a CLI that could not start LEAN."""
    return start_error(outcome, _START_FAILURES, "lean backtest", no_market_hours(data_folder))
