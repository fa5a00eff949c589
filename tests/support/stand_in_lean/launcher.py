"""LEAN's launcher: ``dotnet QuantConnect.Lean.Launcher.dll --config FILE``."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from tests.support.stand_in_lean import behaviour, config_check, log_texts
from tests.support.stand_in_lean.algorithm import Algorithm, AlgorithmError, read_csharp
from tests.support.stand_in_lean.data_requests import DataMonitor, Plan
from tests.support.stand_in_lean.days import TradingDays
from tests.support.stand_in_lean.files import Files
from tests.support.stand_in_lean.log import Log
from tests.support.stand_in_lean.messages import ConsoleMessaging, Messaging, StreamMessaging
from tests.support.stand_in_lean.python_algorithm import read_python
from tests.support.stand_in_lean.reference_files import HOURS, PROPERTIES, RATES
from tests.support.stand_in_lean.replay import replay
from tests.support.stand_in_lean.results import Results, configuration_of, unknown_configuration
from tests.support.stand_in_lean.run import AbortError, BarRun

OPTIONS = ("config", "data-folder", "results-destination-folder", "algorithm-id", "backtest-name", "environment")
ASSEMBLY = "stand-in assembly\n"
"""How a DLL of the stand-in for the compiler begins; the source follows."""


def launch(folder: Path, dll: str, argv: Sequence[str], files: Files, environ: Mapping[str, str]) -> int:
    """Run a backtest; returns the exit code.

    Args:
        folder: Of the installation.
        dll: The launcher's DLL as given.
        argv: The arguments after it.
        files: The files that this process sees.
        environ: The environment.
    """
    behaviour.refuse_vendor_keys(environ)
    options = _options(argv)
    shown = options.get("config", "config.json")
    path = files.host(shown)
    if not path.is_file():
        abort(f"System.IO.FileNotFoundException: Could not find file '{shown}'.")
    config = {**json.loads(path.read_text("utf-8-sig")), **{k: v for k, v in options.items() if k != "config"}}
    behaviour.note_call(folder, "launcher", argv, environ, config=config, modes=_modes(path))
    if keys := config_check.vendor_keys(config):
        behaviour.refuse(f"the configuration has {', '.join(keys)}, which LEAN must not get")
    for problem in config_check.problems(config):
        abort(f"System.ArgumentException: {problem}")
    return _Launch(folder, dll, shown, config, files, environ).run()


def abort(text: str) -> NoReturn:
    """End as .NET does with an unhandled exception: a text on stderr and SIGABRT."""
    print(f"Unhandled exception. {text}\n   at QuantConnect.Lean.Launcher.Program.Main(String[] args)", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGABRT)
    os._exit(134)


def _options(argv: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = iter(argv)
    for argument in rest:
        name, given, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in OPTIONS:
            abort(
                "McMaster.Extensions.CommandLineUtils.UnrecognizedCommandParsingException: "
                f"Unrecognized option '{argument}'"
            )
        found[name] = value if given else next(rest, "")
    return found


def _modes(path: Path) -> dict[str, str]:
    return {"config": f"{path.stat().st_mode & 0o777:o}", "folder": f"{path.parent.stat().st_mode & 0o777:o}"}


class _Launch:
    """One run of the launcher."""

    def __init__(
        self,
        folder: Path,
        dll: str,
        shown: str,
        config: dict[str, Any],
        files: Files,
        environ: Mapping[str, str],
    ) -> None:
        self._config, self._files, self._environ = config, files, environ
        self._dll, self._shown = dll, shown
        self._log = Log()
        self._id = str(config["algorithm-id"])
        self._parameters = {str(name): str(value) for name, value in config["parameters"].items()}
        self._language = str(config["algorithm-language"])
        self._location = str(config["algorithm-location"])
        self._file = files.host(self._location)
        source = self._file.read_text("utf-8", "replace") if self._file.is_file() else ""
        self._source = source
        self._settings = {**behaviour.read_settings(folder), **behaviour.markers(source)}

    def run(self) -> int:
        if name := self._settings.get("replay"):
            return replay(Path(self._settings["runs"]), name, self._results_folder(), self._stream_of_replay)
        if "ignore_sigterm" in self._settings:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        results = Results(self._results_folder(), self._id)
        self._begin(results)
        messaging = self._messaging()
        time.sleep(behaviour.seconds(self._settings, "startup"))
        code = self._backtest(results, messaging)
        messaging.close()
        time.sleep(behaviour.seconds(self._settings, "slow_exit"))
        self._log.trace("Program.Main(): Exiting Lean...")
        return code

    def _results_folder(self) -> Path:
        folder = self._files.host(str(self._config["results-destination-folder"]), write=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _begin(self, results: Results) -> None:
        self._log.trace(f"Using {self._shown} as configuration file")
        self._log.trace(f"Composer(): Loading Assemblies from {Path(self._dll).parent}/")
        self._log.open(results.folder / "log.txt")
        self._log.trace(
            "Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE v2.5.0.0 Mode: DEBUG (64bit) Host: vm",
            f"Engine.Main(): Started {datetime.now(UTC):%H:%M}",
        )
        if not self._file.is_file():
            kind = "py file" if self._language == "Python" else "dll"
            abort(
                f"System.IO.FileNotFoundException: JobQueue.TryCreatePythonAlgorithm(): Unable to find {kind}: "
                f"{self._location}"
            )
        self._log.trace(f"JobQueue.NextJob(): Selected {self._location}")

    def _messaging(self) -> Messaging:
        if str(self._config["messaging-handler"]) != config_check.STREAMING:
            return ConsoleMessaging(self._log)
        try:
            stream = StreamMessaging(self._address(), self._id, self._parameters, self._language)
        except OSError as error:
            abort(f"NetMQ.AddressAlreadyInUseException: {error}")
        stream.begin(base64.b64encode(self._source.encode()).decode())
        return stream

    def _address(self) -> str:
        """Where the stream's port is: on all interfaces, in a container where it is published."""
        port = int(self._config["desktop-http-port"])
        if self._files.port_map is None:
            return f"tcp://*:{port}"
        published = self._files.port_map.get(port)
        return f"tcp://127.0.0.1:{published}" if published else "inproc://not-published"

    def _stream_of_replay(self, lines: list[str]) -> None:
        if str(self._config["messaging-handler"]) == config_check.STREAMING:
            stream = StreamMessaging(self._address(), self._id, self._parameters, self._language)
            for line in lines:
                packet = json.loads(line)["packet"]
                stream.packet(packet.pop("Type"), **packet)
            stream.close()

    def _backtest(self, results: Results, messaging: Messaging) -> int:
        data = self._files.host(str(self._config["data-folder"]))
        shown = str(self._config["data-folder"]).rstrip("/")
        for name in (PROPERTIES, HOURS):
            if not (data / name).is_file():
                kind = "symbol properties" if name == PROPERTIES else "market hours database"
                return self._fail(results, messaging, log_texts.no_file(kind, f"{shown}/{name}"), None)
        algorithm = Algorithm(self._file, self._parameters)
        try:
            self._load(algorithm)
        except AlgorithmError as error:
            return self._fail(results, messaging, error, algorithm)
        self._log.trace(*log_texts.setup(self._id, algorithm.start, algorithm.end, algorithm.cash))
        storage = self._files.host(str(self._config["object-store-root"]), write=True)
        storage.mkdir(parents=True, exist_ok=True)
        stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S%f}"[:-3]
        lists = self._config.get("data-monitor-store-succeeded-requests", True) not in (False, "false")
        monitor = DataMonitor(data, shown, results.folder, stamp, self._log, list_succeeded=lists)
        plan = Plan(algorithm, TradingDays(data), data)
        run = BarRun(algorithm, plan, monitor, results, messaging, self._log, self._settings)
        if isinstance(messaging, StreamMessaging):
            messaging.begin_bars(algorithm.start, algorithm.end, results.running(run.portfolio))
        self._say(
            results, messaging, "Debug", algorithm.start, f"Launching analysis for {self._id} with LEAN Engine v2.5.0.0"
        )
        for kind, text in algorithm.lines:
            self._say(results, messaging, kind, algorithm.start, text)
        try:
            run.run()
        except AbortError as error:
            abort(f"System.Exception: {error}")
        monitor.open(plan.last)
        return self._end(results, messaging, run, algorithm, monitor)

    def _load(self, algorithm: Algorithm) -> None:
        """Load and initialize the algorithm.

        Raises:
            AlgorithmError: That failed.
        """
        if self._language != "Python":
            source = self._source.removeprefix(ASSEMBLY)
            if source == self._source:
                abort("System.BadImageFormatException: Bad IL format.")
            read_csharp(source, str(self._config["algorithm-type-name"]), algorithm)
            return
        library = self._environ.get("PYTHONNET_PYDLL", "")
        if not library or not self._files.host(library).is_file():
            abort(
                "Python.Runtime.BadPythonDllException: Runtime.PythonDLL was not set or does not point to a supported "
                "Python runtime DLL. See https://github.com/pythonnet/pythonnet#embedding-python-in-net"
            )
        self._log.trace("PythonInitializer.Initialize(): start...", "PythonInitializer.Initialize(): ended")
        if self._settings["check_pandas"] and not _has_pandas(self._environ):
            text = "The type initializer for 'QuantConnect.Python.PandasConverter' threw an exception."
            raise AlgorithmError(
                f"Unable to import python module {self._location}. AlgorithmPythonWrapper(): {text} in "
                f"AlgorithmPythonWrapper.cs:line 123 {text}",
                loading=True,
            )
        paths = [str(self._files.host(str(path))) for path in self._config["python-additional-paths"]]
        read_python(self._file, self._location, paths, algorithm)
        algorithm.need_valid_range()

    def _fail(self, results: Results, messaging: Messaging, error: AlgorithmError, algorithm: Algorithm | None) -> int:
        """End a run whose algorithm could not be loaded or initialized."""
        loading = error.loading or algorithm is None
        start = algorithm.start if algorithm else date(1998, 1, 2)
        failure = log_texts.failure(error.message, start, loading=loading, file=algorithm is not None)
        if not loading:
            self._log.error(f"Engine.Run(): {failure.message.partition(' ')[2].partition(' ')[2]}")
            self._log.error(
                f"Extensions.SetRuntimeError(): Extensions.SetRuntimeError(): RuntimeError at {start:%m/%d/%Y} "
                f"04:00:00 UTC. Context: RuntimeError System.Exception: {failure.message}"
            )
        self._log.trace("BacktestingResultHandler.Exit(): starting...")
        messaging.failed(failure)
        if algorithm is not None and not loading:
            configuration = configuration_of(self._id, self._parameters, algorithm.start, algorithm.end)
        else:
            configuration = unknown_configuration()
        result = results.without_run(failure, configuration, loaded=not loading)
        results.write_all(result, [])
        messaging.finished(result, [], {"OrderListHash": "d41d8cd98f00b204e9800998ecf8427e"})
        self._log.trace(*log_texts.END)
        return 1

    def _end(
        self, results: Results, messaging: Messaging, run: BarRun, algorithm: Algorithm, monitor: DataMonitor
    ) -> int:
        """Write the results of a run whose bars have ended."""
        portfolio = run.portfolio
        if run.failure:
            self._log.error(log_texts.set_runtime_error(run.failure, run.last_day))
            results.log_lines.append(run.failure.message)
            messaging.failed(run.failure)
        self._log.trace(*log_texts.exit_lines(stopped=run.cancelled))
        messaging.status("RuntimeError" if run.failure else "Completed")
        if run.cancelled:
            self._say(results, messaging, "Log", run.last_day, "Algorithm Stopped", hour=10)
        rate = (len(portfolio.days) and run.points / max(results.seconds, 0.001)) / 1000
        text = f"Algorithm Id:({self._id}) completed in {results.seconds:.2f} seconds at {rate:.0f}k data points per "
        text += f"second. Processing total of {run.points:,} data points."
        self._say(results, messaging, "Debug", run.last_day, text, hour=16)
        saved = f"{self._config['results-destination-folder']}/{self._id}-log.txt"
        where = f"Your log was successfully created and can be retrieved from: {saved}"
        messaging.text("SystemDebug", f"{run.last_day} 16:00:00 {where}")
        found = portfolio.figures(_rate(monitor.data))
        configuration = configuration_of(self._id, self._parameters, algorithm.start, algorithm.end)
        result = results.final(portfolio, found, configuration, run.failure)
        results.write_all(result, portfolio.order_events())
        messaging.finished(result, portfolio.order_events(), result["statistics"])
        self._log.trace("BacktestingResultHandler.SendAnalysisResult(): Processed final packet")
        self._log.trace("Engine.Main(): Analysis Completed and Results Posted.", "DataMonitor.Exit(): start...")
        self._log.trace(log_texts.usage(monitor.finish()), "DataMonitor.Exit(): end")
        self._log.plain("Engine.Main(): Analysis Complete.")
        self._log.trace(*log_texts.END)
        if "abort_after_results" in self._settings:
            abort(f"System.Exception: {self._settings['abort_after_results'] or 'trouble at the end'}")
        return 1 if run.failure else 0

    def _say(self, results: Results, messaging: Messaging, kind: str, day: date, text: str, hour: int = 0) -> None:
        """A line of the algorithm's log."""
        line = f"{day} {hour:02}:00:00 {text}"
        results.log_lines.append(line)
        messaging.text(kind, line)


def _rate(data: Path) -> float:
    """The last interest rate of the data folder; 0 without one."""
    path = data / RATES
    rows = path.read_text("utf-8-sig").split() if path.is_file() else []
    try:
        return float(rows[-1].split(",")[1]) / 100
    except (IndexError, ValueError):
        return 0.0


def _has_pandas(environ: Mapping[str, str]) -> bool:
    """Whether the first python3 of the PATH imports pandas."""
    try:
        return not subprocess.run(["python3", "-c", "import pandas"], env=dict(environ), capture_output=True).returncode
    except OSError:
        return False
