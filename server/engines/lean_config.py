"""The complete config of a run of LEAN's launcher.

It replaces the launcher's own file (LEAN: ``Config``, option ``--config``), so nothing of the user's lean.json, which
may hold keys, gets into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from server.engines.lean_project import Language

MAX_CHART_POINTS = 1_000_000
MAX_CHART_SERIES = 30
"""Limits of charts, those of the launcher's own config; LEAN drops what exceeds them."""

_MESSAGING = "QuantConnect.Messaging.Messaging"
_STREAMING = "QuantConnect.Messaging.StreamingMessageHandler"
_HISTORY = "SubscriptionDataReaderHistoryProvider"


@frozen(kw_only=True)
class RunPaths:
    """The files and folders of a run, as LEAN's process has them: absolute, and in Docker those of the container.

    Attributes:
        launcher: The folder of the launcher's DLL.
        data_folder: LEAN's data folder.
        results: Where LEAN writes its results.
        object_store: The root of the object store.
        algorithm: The Python file, or the DLL.
        libraries: Folders that Python imports modules from.
    """

    launcher: str
    data_folder: str
    results: str
    object_store: str
    algorithm: str
    libraries: tuple[str, ...] = ()


def lean_config(
    paths: RunPaths,
    *,
    run_id: str,
    name: str,
    language: Language,
    type_name: str,
    parameters: Mapping[str, str],
    stream_port: int | None = None,
    python_environment: str | None = None,
) -> dict[str, Any]:
    """Return the complete config of a backtest.

    Args:
        paths: Its files and folders.
        run_id: LEAN's id of the run, which names its result files.
        name: The name of the backtest.
        language: The language of the algorithm.
        type_name: Its class; LEAN ignores that of Python.
        parameters: What the algorithm's ``get_parameter`` returns.
        stream_port: The port of the live stream; None without one.
        python_environment: The folder of the virtual environment of Python algorithms.
    """
    return {
        "environment": "backtesting",
        "live-mode": False,
        "debug-mode": False,
        "show-missing-data-logs": True,
        "data-monitor-store-succeeded-requests": True,
        "maximum-data-points-per-chart-series": MAX_CHART_POINTS,
        "maximum-chart-series": MAX_CHART_SERIES,
        "algorithm-type-name": type_name,
        "algorithm-language": language,
        "algorithm-location": paths.algorithm,
        "data-folder": paths.data_folder,
        "results-destination-folder": paths.results,
        "algorithm-id": run_id,
        "backtest-name": name,
        "close-automatically": True,
        "parameters": dict(parameters),
        "log-handler": "QuantConnect.Logging.CompositeLogHandler",
        "messaging-handler": _MESSAGING if stream_port is None else _STREAMING,
        "job-queue-handler": "QuantConnect.Queues.JobQueue",
        "api-handler": "QuantConnect.Api.Api",
        "map-file-provider": "QuantConnect.Data.Auxiliary.LocalDiskMapFileProvider",
        "factor-file-provider": "QuantConnect.Data.Auxiliary.LocalDiskFactorFileProvider",
        "data-provider": "QuantConnect.Lean.Engine.DataFeeds.DefaultDataProvider",
        "object-store": "QuantConnect.Lean.Engine.Storage.LocalObjectStore",
        "object-store-root": paths.object_store,
        "data-aggregator": "QuantConnect.Lean.Engine.DataFeeds.AggregationManager",
        "history-provider": [_HISTORY],
        "job-user-id": "0",
        "api-access-token": "",
        "job-organization-id": "",
        "python-additional-paths": [paths.launcher, *paths.libraries],
        "environments": {"backtesting": dict(BACKTESTING)},
        **({} if stream_port is None else {"desktop-http-port": str(stream_port)}),
        **({} if python_environment is None else {"python-venv": python_environment}),
    }


BACKTESTING: Mapping[str, Any] = {
    "live-mode": False,
    "setup-handler": "QuantConnect.Lean.Engine.Setup.BacktestingSetupHandler",
    "result-handler": "QuantConnect.Lean.Engine.Results.BacktestingResultHandler",
    "data-feed-handler": "QuantConnect.Lean.Engine.DataFeeds.FileSystemDataFeed",
    "real-time-handler": "QuantConnect.Lean.Engine.RealTime.BacktestingRealTimeHandler",
    "history-provider": [_HISTORY],
    "transaction-handler": "QuantConnect.Lean.Engine.TransactionHandlers.BacktestingTransactionHandler",
}
"""The handlers of a backtest."""
