"""The provider `lean-cli`: runs `lean data download` in a staging folder and delivers its files to the host."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from loguru import logger

from server.core.errors import ConfigurationError
from server.core.events import Event
from server.core.lean_cli import INTERRUPT_GRACE, container_notice, remove_container
from server.core.subprocess_runner import CommandOutcome, CommandRequest, display_command, run_command
from server.data_download.availability import Gap
from server.data_download.errors import BadResponseError
from server.data_download.provider import Capabilities, DataSink, ProviderContext
from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series
from server.plugins.lean_cli_provider.commands import JOIN_WITHIN, Run, child_environment, download_argv, plan_runs
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.diagnosis import days_error, fatal_error, missing_tool
from server.plugins.lean_cli_provider.staging import (
    ORGANIZATION_KEYS,
    StagingFolder,
    open_staging,
    prepare_data_folder,
    private_settings,
)
from server.settings.lean_json import find_lean_json, read_lean_json


class LeanCliProvider:
    """Runs the LEAN CLI; `plan_runs` explains the ranges that it requests."""

    capabilities = Capabilities(resolutions=frozenset(JOIN_WITHIN))

    def __init__(self, config: LeanCliConfig, context: ProviderContext, *, environment: Mapping[str, str]) -> None:
        """Create the provider.

        Args:
            config: The settings.
            context: What a build needs.
            environment: The environment of the CLI; variables with the key are removed.
        """
        self._config = config
        self._context = context
        self._environment = environment
        self._log = logger.bind(component="lean-cli")

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """The commands that `fetch` would run; the lean.json is the private one of each run."""
        return [
            display_command(download_argv(self._config.executable, self._config, run, "lean.json"))
            for run in plan_runs(gaps)
        ]

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Run the commands one after another and deliver the files of the wanted days.

        Days without a file are unavailable, never empty: the CLI also exits with 0 where it failed.

        Raises:
            ToolMissingError: The CLI or Docker is not installed or not running.
            ToolFailedError: The CLI is not logged in, has no licence, or exceeded the time limit.
            AuthenticationError: There is no key, or the vendor does not accept it.
            ConfigurationError: No lean.json names a QuantConnect organization.
            WriteFailedError: A file could not be written.
        """
        runs = plan_runs(gaps)
        if not runs:
            return
        executable = self._find_executable()
        settings = self._settings()
        for number, run in enumerate(runs, 1):
            if sink.cancelled:
                return
            message = f"LEAN CLI, run {number} of {len(runs)}: {run.title}"
            sink.events.emit(Event(kind="notice", message=message))
            keeps = container_notice(
                self._environment, lambda text: sink.events.emit(Event(kind="notice", message=text))
            )
            with open_staging(self._context.state_folder / "staging", settings, keeps=keeps) as staging:
                prepare_data_folder(staging, run.wanted, self._context.data_folder)
                outcome = self._run(self._request(executable, run, staging), staging, sink)
                self._log.debug(f"ended with exit code {outcome.exit_code} after {outcome.elapsed:.1f} s")
                if not outcome.cancelled:
                    self._deliver(run, staging.data, outcome, sink)

    def _run(self, request: CommandRequest, staging: StagingFolder, sink: DataSink) -> CommandOutcome:
        """Run the CLI, whose container does not exist afterwards."""
        outcome = None
        try:
            outcome = run_command(request, cancel=sink, on_line=self._log.debug)
            return outcome
        finally:
            if outcome is None or outcome.cancelled or outcome.timed_out or outcome.exit_code < 0:
                remove_container(staging.container, request.env)

    def close(self) -> None:
        """Do nothing: no resource is open between runs."""

    def _find_executable(self) -> str:
        found = shutil.which(self._config.executable, path=self._environment.get("PATH"))
        if found is None:
            raise missing_tool(self._config.executable)
        return str(Path(found).absolute())  # the CLI runs in another folder

    def _settings(self) -> dict[str, Any]:
        self._config.require_key()
        path = self._config.lean_config or find_lean_json(self._context.data_folder) or find_lean_json(Path.cwd())
        user: Mapping[str, Any] = read_lean_json(path) if path else {}
        if not any(user.get(name) for name in ORGANIZATION_KEYS):
            where = f"{path} does not name" if path else "there is no lean.json that names"
            raise ConfigurationError(
                f"{where} a QuantConnect organization, without which the LEAN CLI does nothing; run `lean init` in "
                "your LEAN folder and set BACKTEST_SERVER_LEAN_CONFIG to the lean.json it writes"
            )
        return private_settings(user, self._config.api_key, self._config.license_type, self._context.data_folder)

    def _request(self, executable: str, run: Run, staging: StagingFolder) -> CommandRequest:
        secrets = (self._config.api_key,)
        return CommandRequest(
            argv=download_argv(executable, self._config, run, str(staging.lean_config)),
            cwd=staging.root,
            env=child_environment(self._environment, secrets, str(staging.scratch)),
            time_limit=self._config.time_limit,
            secrets=secrets,
            interrupt_grace=INTERRUPT_GRACE,
        )

    def _deliver(self, run: Run, data: Path, outcome: CommandOutcome, sink: DataSink) -> None:
        """Deliver the files that exist, whatever the exit code, and report why the others are missing."""
        missing: dict[Series, tuple[date, ...]] = {}
        for series, days in run.wanted.items():
            absent = _deliver_files(series, days, data, sink)
            if absent:
                missing[series] = absent
        if not missing:
            return
        fatal = fatal_error(outcome, self._config.time_limit)
        if fatal:
            raise fatal
        settled_through = self._context.calendar.settled_through(self._context.clock())
        for series, days in missing.items():
            early = tuple(day for day in days if day > settled_through)
            settled = days[: len(days) - len(early)]
            for some, is_settled in ((settled, True), (early, False)):
                if some:
                    sink.unavailable(series, some, days_error(outcome, series, some, settled=is_settled))


def _deliver_files(series: Series, days: Sequence[date], data: Path, sink: DataSink) -> tuple[date, ...]:
    """Deliver the files of a series; returns the wanted days that they do not contain."""
    layout = layout_of(series)
    held: set[date] = set()
    for file_day in layout.files(days):
        path = data / layout.path(file_day)
        if not path.is_file():
            continue
        wanted = [file_day] if file_day else days
        try:
            held |= layout.rows_by_day(layout.member_content(path.read_bytes(), file_day), file_day).keys()
            sink.lean_file(series, file_day, path)
        except (BadResponseError, FormatError) as error:
            sink.unavailable(series, wanted, _refused(error, path))
            held.update(wanted)
    return tuple(day for day in days if day not in held)


def _refused(error: Exception, path: Path) -> BadResponseError:
    return (
        error
        if isinstance(error, BadResponseError)
        else BadResponseError(f"{path.name} is not a file of LEAN's ({error})")
    )
