"""How the recorded runs of the real engine ended: a table."""

from __future__ import annotations

from typing import NamedTuple

from server.engines.results import LeanRun


class Expected(NamedTuple):
    """How a run ended.

    Attributes:
        state: Its state.
        verdict: The first word of its verdict.
        error: Its error.
        missing: The number of files that it did not get: those that count, and quotes.
    """

    state: str
    verdict: str | None = None
    error: str | None = None
    missing: tuple[int, int] = (0, 0)


NO_PROPERTIES = "Unable to locate symbol properties file: <data>/symbol-properties/symbol-properties-database.csv"
NO_TYPE = (
    "Algorithm type name not found, or unable to resolve multiple algorithm types to a single type. Please verify "
    "algorithm type name matches the algorithm name in the configuration file and that there is one and only one class "
    "derived from QCAlgorithm."
)
NO_KEY = (
    "The key 'missing' was not found in the collection, which raises a KeyError exception. To prevent the exception, "
    "use collection.get(key), which returns None when the key is not found, or guard the access with 'if key in "
    "collection:'. (on_data.py, line 12)"
)

# Every run without hour bars of its benchmark is untrusted: its Alpha and Beta are wrong (lean-runs, fact 11).
RUNS = {
    "completed": Expected("completed", "complete"),
    "completed-minute-trades": Expected("completed", "complete", missing=(0, 10)),
    "completed-with-trades": Expected("completed", "complete"),
    "completed-without-benchmark": Expected("completed", "untrusted", missing=(1, 0)),
    "corrupt-zip": Expected("completed", "untrusted", missing=(2, 3)),
    "csharp-initialize-error": Expected("failed", error="bad setting (Dump.cs, line 79)"),
    "csharp-runtime-error": Expected(
        "failed", error="something went wrong at bar 100 (Dump.cs, line 75)", missing=(1, 5)
    ),
    "csharp-type-not-found": Expected("failed", error=NO_TYPE),
    "data-folder-missing": Expected("failed", error=NO_PROPERTIES),
    "day-lost-to-one-row": Expected("completed", "untrusted", missing=(1, 3)),
    "interrupted-sigint": Expected("interrupted", missing=(1, 5)),
    "live-stream": Expected("completed", "complete"),
    "live-stream-runtime-error": Expected(
        "failed", error="something went wrong at bar 100 (Dump.cs, line 75)", missing=(0, 5)
    ),
    "missing-days": Expected("completed", "untrusted", missing=(5, 14)),
    "no-map-files": Expected("completed", "untrusted", missing=(1, 0)),
    "no-market-hours": Expected("failed", error=NO_PROPERTIES),
    "python-charts": Expected("completed", "untrusted", missing=(1, 0)),
    "python-completed": Expected("completed", "complete", missing=(0, 5)),
    "python-file-missing": Expected("failed", error="Unable to find py file: <algorithms>/nosuchfile.py"),
    "python-initialize-error": Expected("failed", error="bad setting (initialize.py, line 7)"),
    "python-interrupted-sigint": Expected("interrupted", missing=(1, 5)),
    "python-no-algorithm-class": Expected(
        "failed", error="Please ensure that one class inherits from QCAlgorithm. (noclass.py)"
    ),
    "python-runtime-error": Expected("failed", error=NO_KEY, missing=(1, 5)),
    "python-syntax-error": Expected("failed", error="expected ':' (syntax.py, line 4)"),
    "python-terminated-sigterm": Expected("interrupted", missing=(1, 5)),
    "python-universe-and-history": Expected("completed", "untrusted", missing=(12, 2)),
    "python-without-pandas": Expected(
        "failed", error="The type initializer for 'QuantConnect.Python.PandasConverter' threw an exception."
    ),
    "rewritten-while-running": Expected("interrupted"),
    "stale-daily": Expected("completed", "untrusted", missing=(1, 0)),
    "terminated-sigterm": Expected("interrupted", missing=(1, 5)),
    "unknown-symbol": Expected("completed", "untrusted", missing=(2, 0)),
    "wrong-option": Expected("failed", error="Unrecognized option '--foo'"),
}


def ending(run: LeanRun) -> Expected:
    """How a run ended."""
    counted = sum(file.counts for file in run.missing)
    verdict = run.verdict.partition(":")[0] if run.verdict else None
    return Expected(run.state.value, verdict, run.error, (counted, len(run.missing) - counted))
