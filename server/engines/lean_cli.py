"""Runs LEAN with ``lean backtest`` of LEAN's CLI, in Docker and on local data only.

LEAN exits with success even if data was missing, so its failed data requests are reported with its statistics.
The CLI rewrites the lean.json it gets, without its comments (LEAN's CLI: ``LeanConfigManager.set_properties``), so it
gets a private copy in the same folder, with the data folder of this backtest and without vendors' keys.

An algorithm receives the request as parameters: ``backtest-symbols`` (comma separated), ``backtest-resolution``,
``backtest-start`` and ``backtest-end`` (ISO, both included); see examples/ZacQC. One that reads none of them runs its
own dates, and the result says so.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
    WriteFailedError,
)
from server.core.secret import Secret, without_secrets
from server.core.subprocess_runner import CommandOutcome, CommandRequest, run_command
from server.core.text import list_text
from server.engines.adjusted_history import load_histories
from server.engines.base import AlgorithmFailedError, EngineProgress, EngineRequest, EngineResult
from server.engines.lean_options import TIME_LIMIT
from server.engines.missing_data import FailedRequests, sort_failed_requests
from server.engines.results import LeanRun, RunState, read_run
from server.lean.json_with_comments import parse_json_with_comments
from server.lean.layout import layout_of
from server.lean.series import Series
from server.settings.lean_json import read_lean_json

NOT_FOR_LEAN = ("backtest-server", "polygon-api-key")
"""Keys of lean.json that the private copy omits: LEAN does not need them to read local files."""

_NOT_FOR_LEAN_VARIABLES = ("BACKTEST_SERVER_TOKEN",)

# What LEAN's CLI prints when it cannot start LEAN, the error that this becomes, and its text.
_START_FAILURES: tuple[tuple[tuple[str, ...], type[BacktestServerError], str], ...] = (
    (
        ("Docker is installed and running", "Cannot connect to the Docker daemon", "docker daemon running"),
        ToolMissingError,
        "Docker is not running; start it (docker info must answer), or choose the engine smoke",
    ),
    (
        ("permission denied while trying to connect to the Docker", "[sudo]", "sudo:"),
        ToolMissingError,
        "this user may not use Docker; add the user to the group docker, or choose the engine smoke",
    ),
    (
        ("while pulling", "pull access denied", "No such image", "manifest unknown", "manifest for"),
        ToolMissingError,
        "LEAN's image is not there and could not be fetched; run: docker pull quantconnect/lean:latest",
    ),
    (
        ("lean login", "not logged in", "Invalid credentials"),
        ToolMissingError,
        "LEAN's CLI is not logged in; run: lean login",
    ),
    (
        ("lean init", "Lean CLI root folder"),
        ToolMissingError,
        "LEAN's CLI does not accept this lean.json; run lean init in its folder, which also names the organization",
    ),
    (
        ("modules-1.", "cdn.quantconnect.com"),
        ToolMissingError,
        "LEAN's CLI could not fetch its list of modules; run any lean command once while online",
    ),
)

_LINES_READ = 40


class LeanEngine:
    """Runs LEAN on a project whose folder is below that of a lean.json."""

    name = "lean"

    def __init__(
        self,
        lean_config: Path,
        clock: Callable[[], datetime],
        environ: Mapping[str, str],
        *,
        executable: str = "lean",
        time_limit: float = TIME_LIMIT,
        secrets: Sequence[Secret] = (),
    ) -> None:
        """Create an engine for any number of backtests.

        Args:
            lean_config: LEAN's configuration file.
            clock: Returns the current instant in UTC.
            environ: The environment for LEAN's CLI, which gets it without keys and the server's token.
            executable: The name or path of LEAN's CLI.
            time_limit: Seconds after which a backtest is stopped.
            secrets: What is masked in LEAN's output.
        """
        self._lean_config = lean_config
        self._clock = clock
        self._environ = environ
        self._executable = executable
        self._time_limit = time_limit
        self._secrets = tuple(secrets)

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
        project, folder = _project(request, root)
        output = _output_folder(folder, started_at)
        try:
            with _private_config(self._lean_config, request.data_folder) as config:
                outcome = run_command(
                    CommandRequest(
                        argv=(self._executable, *_arguments(project, folder, output, config, request)),
                        cwd=root,
                        # The default of 80 columns would break file names and messages.
                        env={**self._child_environ(), "COLUMNS": "400"},
                        time_limit=self._time_limit,
                        secrets=self._secrets,
                    ),
                    cancel=cancel,
                    on_line=on_line,
                )
            run = self._finished_run(outcome, output, request.data_folder)
        finally:
            with suppress(OSError):
                output.rmdir()  # only if nothing was written
        return _result(request, run, output, started_at, self._clock())

    def _child_environ(self) -> dict[str, str]:
        kept = without_secrets(self._environ, self._secrets)
        return {name: value for name, value in kept.items() if name not in _NOT_FOR_LEAN_VARIABLES}

    def _finished_run(self, outcome: CommandOutcome, output: Path, data_folder: Path) -> LeanRun:
        """Return a run that completed; success depends on its results and log, not on the exit code alone."""
        if outcome.cancelled:
            raise Cancelled("the LEAN backtest was cancelled")
        if outcome.timed_out:
            raise ToolFailedError(
                f"the LEAN backtest was stopped: it had not ended after {self._time_limit:,.0f} s; "
                f"its output is in {output}"
            )
        run = self._read(output, outcome)
        if run and run.state is RunState.COMPLETED:
            return run
        if run and run.state is RunState.FAILED:
            raise AlgorithmFailedError(f"the algorithm failed: {run.error} (all of it in {output / 'log.txt'})", run)
        if run and run.id:
            raise ToolFailedError(
                f"LEAN was interrupted before the algorithm's last day, so this is no result of a backtest; "
                f"what it wrote until then is in {output}"
            )
        if outcome.exit_code == 0:
            raise ToolFailedError(f"LEAN left no results in {output}; see log.txt there for why")
        raise _start_failure(outcome, data_folder)

    def _read(self, output: Path, outcome: CommandOutcome) -> LeanRun | None:
        try:
            return read_run(output, self._clock(), ended=True, console=outcome.lines)
        except ConfigurationError:  # LEAN wrote nothing
            return None


def _start_failure(outcome: CommandOutcome, data_folder: Path) -> BacktestServerError:
    """The error for a CLI that could not start LEAN."""
    printed = "\n".join(outcome.lines[-_LINES_READ:]).lower()
    for signs, kind, advice in _START_FAILURES:
        if any(sign.lower() in printed for sign in signs):
            return kind(advice)
    last = outcome.lines[-1].strip() if outcome.lines else "it printed nothing"
    hint = ""
    if not (data_folder / "market-hours" / "market-hours-database.json").is_file():
        hint = f"; {data_folder} has no market-hours database, which LEAN needs: run lean init to get one"
    return ToolFailedError(f"lean backtest ended with exit code {outcome.exit_code}: {last}{hint}")


def _project(request: EngineRequest, root: Path) -> tuple[Path, Path]:
    """Return the path of the project for LEAN's CLI, and the project's folder."""
    if request.project is None:
        raise ConfigurationError("LEAN runs a project; name its folder, or choose the engine smoke")
    project = request.project.resolve()
    if not project.exists():
        raise ConfigurationError(f"there is no LEAN project at {request.project}; name the folder that holds main.py")
    if not project.is_relative_to(root):
        raise ConfigurationError(f"the project {project} does not lie below {root}, where lean.json is; move it there")
    return project, project.parent if project.is_file() else project


def _output_folder(folder: Path, now: datetime) -> Path:
    """Create a folder for the results in the project's folder; the CLI fails with one that is not below lean.json's."""
    stamp = folder / "backtests" / f"{now:%Y-%m-%d_%H-%M-%S}"
    for output in (stamp, *(stamp.with_name(f"{stamp.name}-{number}") for number in range(2, 100))):
        try:
            output.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise WriteFailedError(f"the results folder {output} cannot be made: {error.strerror or error}") from error
        return output
    raise WriteFailedError(f"{stamp} is not a folder that results could go to")


@contextmanager
def _private_config(lean_config: Path, data_folder: Path) -> Iterator[Path]:
    values = {key: value for key, value in read_lean_json(lean_config).items() if key not in NOT_FOR_LEAN}
    values["data-folder"] = str(data_folder.resolve())
    folder = lean_config.resolve().parent
    try:
        handle, name = tempfile.mkstemp(prefix="lean-backtest-", suffix=".json", dir=folder)  # mode 0600
    except OSError as error:
        raise WriteFailedError(f"LEAN's CLI needs to write in {folder}: {error.strerror or error}") from error
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=4)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _arguments(project: Path, folder: Path, output: Path, config: Path, request: EngineRequest) -> list[str]:
    arguments = ["backtest", str(project), "--output", str(output), "--lean-config", str(config)]
    arguments += ["--data-provider-historical", "Local", "--no-update"]
    for name, value in _parameters(folder, request).items():
        arguments += ["--parameter", name, value]
    return arguments


def _trade_files(request: EngineRequest) -> set[str]:
    """Return the files of trade bars that LEAN reads for the request, each under the ticker of its day."""
    found: set[str] = set()
    for history in load_histories(request.data_folder, request.symbols, request.days):
        for ticker, days in history.days_by_ticker:
            layout = layout_of(Series(ticker, request.resolution))
            found.update(layout.path(day) for day in layout.files(days))
    return found


def _parameters(folder: Path, request: EngineRequest) -> dict[str, str]:
    """Return the project's parameters and those of the request; given any, the CLI ignores those of config.json."""
    own: Mapping[str, object] = {}
    with suppress(OSError, UnicodeDecodeError, ConfigurationError):
        config = parse_json_with_comments((folder / "config.json").read_text("utf-8-sig"), "config.json")
        found = config.get("parameters") if isinstance(config, dict) else None
        own = found if isinstance(found, dict) else {}
    return {name: str(value) for name, value in own.items()} | {
        "backtest-symbols": ",".join(request.symbols),
        "backtest-resolution": request.resolution.value,
        "backtest-start": request.start.isoformat(),
        "backtest-end": request.end.isoformat(),
    }


def _result(
    request: EngineRequest, run: LeanRun, output: Path, started_at: datetime, finished_at: datetime
) -> EngineResult:
    failed = sort_failed_requests((file.path for file in run.missing), _trade_files(request))
    start, end = run.start or request.start, run.end or request.end
    total = run.requests.total
    if total is None:
        total = len(run.requests.succeeded_paths) + len(failed.wanted) + len(failed.other) + len(failed.usual)
    shown = ("Net Profit", "Drawdown", "Sharpe Ratio", "Total Orders", "Total Trades")
    figures = ", ".join(f"{name} {run.statistics[name]}" for name in shown if name in run.statistics)
    added = {
        "Data Points": str(run.data_points) if run.data_points is not None else "-",
        "Data Requests": str(total),
        "Failed Data Requests": str(len(failed.wanted) + len(failed.other)),
        "Failed Data Requests For Quotes And Benchmark": str(len(failed.usual)),
    }
    return EngineResult(
        engine=LeanEngine.name,
        summary=(
            f"LEAN ran {request.project} from {start} to {end}: {run.data_points or 0:,} data points",
            figures or "LEAN gave no statistics",
            f"{len(failed.wanted) + len(failed.other)} of {total} data requests failed, "
            f"not counting {len(failed.usual)} for quotes and the hourly benchmark",
        ),
        statistics=run.statistics | added,
        equity=run.equity,
        bars=run.data_points or 0,
        days=sum(start <= day <= end for day in request.days),
        failed_data_requests=failed.wanted + failed.other,
        started_at=started_at,
        finished_at=finished_at,
        duration_s=(finished_at - started_at).total_seconds(),
        results_folder=output,
        notes=(*run.notes, *_notes(request, run, failed)),
    )


def _notes(request: EngineRequest, run: LeanRun, failed: FailedRequests) -> Iterator[str]:
    if failed.wanted:
        yield (
            f"{len(failed.wanted)} of the requested files were missing, so the figures are wrong: "
            f"{list_text(failed.wanted)}; download them and run again"
        )
    if failed.other:
        yield (
            "The algorithm also requested files that are not part of this backtest's request and are missing: "
            f"{list_text(failed.other)}"
        )
    if run.data_points == 0:
        yield "LEAN processed no data; are the project's dates and symbols those of this request?"
    if (run.start, run.end) not in ((None, None), (request.start, request.end)):
        yield (
            f"The algorithm set its own dates, {run.start} to {run.end}, not {request.start} to "
            f"{request.end} as requested; it can read the parameters backtest-start and backtest-end"
        )
