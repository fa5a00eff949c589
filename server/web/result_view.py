"""A result of LEAN as its page shows it: the verdict, missing files by series, LEAN's analysis, rounds, figures.

The values are those of a job's JSON. Jobs of earlier versions lack keys; what is absent is shown as absent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.core.text import count_text, days_text, list_text
from server.engines.missing_data import NOT_COUNTED

VERDICTS = {
    "complete": "Complete",
    "gaps": "Gaps",
    "untrusted": "Untrusted",
}
"""The words that a verdict begins with, as the page writes them."""

DATA_FIGURES = (
    "Data Points",
    "Data Requests",
    "Failed Data Requests",
    "Failed Data Requests Not Counted",
    "Failed Data Requests For Quotes And Benchmark",  # of earlier versions
)
"""Figures among the statistics that are about the data and not about the algorithm."""

UNKNOWN = "\N{EN DASH}"
"""What the page writes for a value that is not known yet."""

MOST_SAMPLE = 400
"""The number of characters of a sample of LEAN's analysis that the page shows."""


def result_view(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the page shows of an engine's result; None while there is no result.

    Args:
        result: The result of a job.
    """
    engine = result.get("engine")
    if not engine:
        return None
    missing = engine.get("missing") or []
    run, data = split_figures(engine, missing)
    return {
        **engine,
        "verdict": verdict_view(engine.get("verdict")),
        "missing": missing_series(missing),
        "missing_files": len(missing),
        "analysis": [finding for one in engine.get("analysis") or [] if (finding := finding_view(one))],
        "statistics": run,
        "data": data,
    }


def progress_view(progress: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how far an engine has come as texts, with ``fraction``; None of it is known before its first report."""
    found: Mapping[str, Any] = progress or {}
    fraction, orders = found.get("fraction"), found.get("orders")
    values = (found.get("equity") or {}).get("values") or []
    return {
        "known": bool(found),
        "fraction": fraction,
        "day": found.get("day") or UNKNOWN,
        "done": f"{100 * fraction:.0f} %" if fraction is not None else UNKNOWN,
        "equity": f"${values[-1]:,.2f}" if values else UNKNOWN,
        "orders": f"{orders:,}" if orders is not None else UNKNOWN,
    }


def verdict_view(verdict: object) -> dict[str, str] | None:
    """Divide a verdict into its word and its sentence; None where there is no verdict."""
    if not isinstance(verdict, str) or not verdict.strip():
        return None
    word, _, sentence = verdict.strip().partition(" ")
    word = word.rstrip(":").lower()
    sentence = sentence.strip()
    return {
        "word": word if word in VERDICTS else "unknown",
        "title": VERDICTS.get(word, "Verdict"),
        "sentence": sentence[:1].upper() + sentence[1:] if word in VERDICTS else verdict.strip(),
    }


def missing_series(missing: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Group missing files by series, kind and reason; those that change the verdict come first.

    Returns:
        Of each group ``series``, ``kind``, ``reason``, ``counts``, ``days`` as text, and ``files``, their paths.
    """
    groups: defaultdict[tuple[bool, str, str, str], tuple[set[str], list[str]]] = defaultdict(lambda: (set(), []))
    for file in missing:
        kind = str(file.get("kind") or "other")
        key = (kind in NOT_COUNTED, _series_text(file), kind, str(file.get("reason") or "not found"))
        days, paths = groups[key]
        days.update(map(str, file.get("days") or []))
        paths.append(str(file.get("path") or ""))
    return [
        {
            "series": series,
            "kind": kind,
            "reason": reason,
            "counts": not uncounted,
            "days": days_text(sorted(days)) if days else "",
            "files": sorted(paths),
        }
        for (uncounted, series, kind, reason), (days, paths) in sorted(groups.items())
    ]


def finding_view(finding: object) -> dict[str, Any] | None:
    """Return a finding of LEAN's analysis as texts: ``name``, ``issue``, ``sample`` and ``solutions``."""
    if not isinstance(finding, Mapping):
        return None
    values = {str(key).lower(): value for key, value in finding.items()}
    name, issue = _one_line(values.get("name")), _one_line(values.get("issue"))
    solutions = values.get("solutions")
    return {
        "name": name if issue else "",
        "issue": issue or name or "A finding without a text",
        "sample": _sample_text(values.get("sample"))[:MOST_SAMPLE],
        "solutions": [_one_line(one) for one in solutions] if isinstance(solutions, list | tuple) else [],
    }


def round_view(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a round of a backtest as texts: ``number``, ``state``, ``missing`` and ``fetched``, a list."""
    missing = one.get("missing")
    return {
        "number": one.get("number") or "",
        "state": str(one.get("state") or ""),
        "missing": count_text(missing, "file") if isinstance(missing, int) else "",
        "fetched": [_fetched_text(series) for series in one.get("fetched") or []],
    }


def split_figures(
    engine: Mapping[str, Any], missing: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Divide an engine's figures into those of the algorithm and those of its data."""
    statistics: Mapping[str, str] = engine.get("statistics") or {}
    run = {name: value for name, value in statistics.items() if name not in DATA_FIGURES}
    data = {name: value for name, value in statistics.items() if name in DATA_FIGURES}
    if "Data Points" not in data and engine.get("bars") is not None:
        data = {"Data Points": f"{engine['bars']:,}", **data}
    if engine.get("days") is not None:
        data["Days With Data"] = f"{engine['days']:,}"
    if engine.get("verdict"):
        counted = sum((file.get("kind") or "other") not in NOT_COUNTED for file in missing)
        data["Missing Files That Count"] = f"{counted:,}"
        data["Missing Files Of Other Kinds"] = f"{len(missing) - counted:,}"
    return run, data


def _series_text(file: Mapping[str, Any]) -> str:
    series = file.get("series")
    if not series:
        return str(file.get("path") or "")
    return " ".join(str(series[key]) for key in ("ticker", "resolution", "data_type") if series.get(key))


def _fetched_text(series: Mapping[str, Any]) -> str:
    name, days = _series_text({"series": series}), series.get("days")
    if isinstance(days, int):
        return f"{name}: {count_text(days, 'day')}"
    found = sorted(map(str, days or []))
    return f"{name}: {days_text(found)}" if found else name


def _sample_text(sample: object) -> str:
    """A sample in one line; True only says that there is one."""
    if sample is None or isinstance(sample, bool):
        return ""
    if isinstance(sample, Mapping):
        return list_text([f"{key}: {_sample_text(value)}" for key, value in sample.items()])
    if isinstance(sample, list | tuple):
        return "; ".join(_sample_text(one) for one in sample[:MOST_SAMPLE])
    return f"{sample:.6g}" if isinstance(sample, float) else _one_line(sample)


def _one_line(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""
