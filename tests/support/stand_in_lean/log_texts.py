"""Messages of LEAN's engine, as the recorded runs have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from tests.support.stand_in_lean.algorithm import AlgorithmError
from tests.support.stand_in_lean.results import Failure

END = (
    "LeanEngineSystemHandlers.Dispose(): start...",
    "LeanEngineSystemHandlers.Dispose(): Disposed of system handlers.",
    "LeanEngineAlgorithmHandlers.Dispose(): start...",
    "LocalObjectStore.Dispose(): start...",
    "LocalObjectStore.Dispose(): end",
    "LeanEngineAlgorithmHandlers.Dispose(): Disposed of algorithm handlers.",
    "StopSafely(): Waiting for 'CpuPerformance' thread to stop...",
)
_ENGINE = "at QuantConnect.Lean.Engine.Engine.Run(AlgorithmNodePacket job) in <lean>/Engine/Engine.cs:line 120"
_WORDS = ("Total", "Succeeded", "Failed")
_DURING = "During the algorithm initialization, the following exception has occurred: "


def no_file(kind: str, path: str) -> AlgorithmError:
    """The error where the data folder lacks a file without which LEAN runs no backtest (fact 20)."""
    text = f"Unable to locate {kind} file: {path}"
    return AlgorithmError(
        f"One or more errors occurred. ({text}) Stack Trace: System.AggregateException: One or more errors occurred. "
        f"({text})\n ---> System.IO.FileNotFoundException: {text}\n   {_ENGINE}",
        loading=True,
    )


def failure(message: str, start: date, *, loading: bool, file: bool) -> Failure:
    """The error of an algorithm that could not be loaded or initialized.

    Args:
        message: LEAN's text.
        start: The algorithm's first day.
        loading: Whether it was not loaded.
        file: Whether its file was looked at.
    """
    if not loading:
        text = message if message.startswith(_DURING) else f"{_DURING}{message}"
        return Failure(f"{start} 00:00:00 {text}", message.removeprefix(_DURING))
    if not file:
        return Failure(f"Algorithm.Initialize() Error: {message}", message.partition(" Stack Trace: ")[2])
    if message.startswith("Unable to import"):
        message = f"Loader.TryCreatePythonAlgorithm(): {message}"
    stack = f"{_DURING}{message}"
    return Failure(f"Algorithm.Initialize() Error: {stack} Stack Trace: {stack}", stack)


def setup(identifier: str, start: date, end: date, cash: float) -> tuple[str, ...]:
    """Messages before the first bar."""
    return (
        "HistoryProviderManager.Initialize(): history providers [SubscriptionDataReaderHistoryProvider]",
        "BaseSetupHandler.Setup(LocalPlatform): UID: 0, PID: 0, Version: 2.5.0.0, Source: WebIDE",
        "BaseSetupHandler.SetupCurrencyConversions():\nAccount Type: Margin\n\n"
        "Symbol      Quantity    Conversion = Value in USD\n"
        f"USD: ${cash:>14.2f} @       1.00 = ${cash:.0f}\n"
        "-------------------------------------------------\n"
        f"CashBook Total Value:                ${cash:.0f}\n",
        f"SetUp Backtesting: User: 0 ProjectId: 0 AlgoId: {identifier}",
        f"Dates: Start: {start:%m/%d/%Y} End: {end:%m/%d/%Y} Cash: ¤{cash:,.2f} MaximumRuntime: 100.00:00:00 "
        "MaxOrders: 2147483647",
        f"AlgorithmManager.Run(): Begin DataStream - Start: {start:%m/%d/%Y} 00:00:00 Stop: {end:%m/%d/%Y} 23:59:59 "
        f"Time: {start:%m/%d/%Y} 00:00:00 Warmup: False",
    )


def exit_lines(*, stopped: bool) -> tuple[str, ...]:
    """Messages after the last bar."""
    lines = ["AlgorithmManager.Run(): Firing On End Of Algorithm..."]
    if stopped:
        lines.append("AlgorithmManager.Run(): Stopping algorithm...")
    return (
        *lines,
        "Engine.Run(): Exiting Algorithm Manager",
        "StopSafely(): Waiting for 'Isolator Thread' thread to stop...",
        "FileSystemDataFeed.Exit(): Start. Setting cancellation token...",
        "FileSystemDataFeed.Exit(): Exit Finished.",
        "BacktestingResultHandler.Exit(): starting...",
        "BacktestingResultHandler.Exit(): Saving logs...",
    )


def set_runtime_error(error: Failure, day: date) -> str:
    """The message with the whole stack of an algorithm's error."""
    return (
        f"Extensions.SetRuntimeError(): Extensions.SetRuntimeError(): RuntimeError at {day:%m/%d/%Y} 15:00:00 UTC. "
        f"Context: OnData System.Exception: {error.stack}\n   {_ENGINE}"
    )


def usage(counts: Mapping[str, int]) -> str:
    """The message with the counts of data requests (LEAN: ``DataMonitor.GenerateReport``)."""
    lines = ["DataMonitor.GenerateReport():"]
    for kind in ("", "universe "):
        total, failed = counts[f"Total {kind}data requests"], counts[f"Failed {kind}data requests"]
        lines += [f"DATA USAGE:: {word} {kind}data requests {counts[f'{word} {kind}data requests']}" for word in _WORDS]
        share = round(100 * failed / total) if total else 0
        lines.append(f"DATA USAGE:: Failed {kind}data requests percentage {share}%")
    return "\n".join(lines)
