"""The keys that LEAN's launcher needs in the file of ``--config`` (fact 1: that of results/completed is enough)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

REQUIRED = frozenset(
    [
        "environment",
        "live-mode",
        "debug-mode",
        "show-missing-data-logs",
        "algorithm-type-name",
        "algorithm-language",
        "algorithm-location",
        "data-folder",
        "results-destination-folder",
        "algorithm-id",
        "backtest-name",
        "close-automatically",
        "parameters",
        "log-handler",
        "messaging-handler",
        "job-queue-handler",
        "api-handler",
        "map-file-provider",
        "factor-file-provider",
        "data-provider",
        "object-store",
        "object-store-root",
        "data-aggregator",
        "history-provider",
        "job-user-id",
        "api-access-token",
        "job-organization-id",
        "python-additional-paths",
        "environments",
    ]
)
REQUIRED_OF_ENVIRONMENT = frozenset(
    [
        "live-mode",
        "setup-handler",
        "result-handler",
        "data-feed-handler",
        "real-time-handler",
        "history-provider",
        "transaction-handler",
    ]
)
HANDLERS = {
    "log-handler": "CompositeLogHandler",
    "job-queue-handler": "JobQueue",
    "map-file-provider": "LocalDiskMapFileProvider",
    "factor-file-provider": "LocalDiskFactorFileProvider",
    "data-provider": "DefaultDataProvider",
    "object-store": "LocalObjectStore",
}
STREAMING = "QuantConnect.Messaging.StreamingMessageHandler"

_VENDOR = re.compile(r"polygon|massive|api-?key", re.IGNORECASE)


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What LEAN would fail for, one text each."""
    yield from (f"Config.Get(): Missing key '{key}'" for key in sorted(REQUIRED - config.keys()))
    environments = config.get("environments")
    name = config.get("environment")
    backtesting = environments.get(name) if isinstance(environments, dict) else None
    if not isinstance(backtesting, dict):
        yield f"Config: no environment '{name}'"
    else:
        missing = sorted(REQUIRED_OF_ENVIRONMENT - backtesting.keys())
        yield from (f"Config.Get(): Missing key 'environments.{name}.{key}'" for key in missing)
    for key, kind in HANDLERS.items():
        if key in config and str(config[key]).rpartition(".")[2] != kind:
            yield f"Composer.GetExportedValueByTypeName(): Unable to find {config[key]} for '{key}'"
    if config.get("close-automatically") is not True:
        yield "Program.Exit(): waits for a key, as close-automatically is not true"
    if not isinstance(config.get("parameters", {}), dict):
        yield "parameters is not an object"
    streaming = str(config.get("messaging-handler", "")) == STREAMING
    if streaming and not isinstance(config.get("desktop-http-port"), str):
        yield "StreamingMessageHandler.Initialize(): desktop-http-port is not a text"


def vendor_keys(config: Mapping[str, Any]) -> list[str]:
    """The vendors' keys in a configuration, at any depth."""
    found = []
    for key, value in config.items():
        if _VENDOR.search(key) and key != "api-access-token":
            found.append(key)
        if isinstance(value, dict) and key != "parameters":
            found += vendor_keys(value)
    return found
