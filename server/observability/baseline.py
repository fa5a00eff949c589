"""Expected download times, computed from archived reports, to detect that downloads have become slower."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Any

import msgspec
from attrs import frozen

from server.core.errors import ConfigurationError
from server.data_download.report import DownloadReport
from server.lean.series import Resolution


class ArchivedReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of ``backtest-server download --json`` that the baseline uses; `duration_s` is in seconds."""

    provider: str
    resolution: Resolution
    days_downloaded: int
    days_failed: int
    duration_s: float
    fallback: str | None
    cancelled: bool


@frozen
class Cost:
    """The time of a download: a fixed part, and a part for each fetched symbol-day, both in seconds."""

    download: float
    day: float

    @classmethod
    def of(cls, points: Iterable[tuple[int, float]]) -> Cost:
        """Fit a line through pairs of symbol-days and seconds; neither part is negative."""
        days, seconds = zip(*points, strict=True)
        if len(set(days)) > 1:
            slope, intercept = linear_regression(days, seconds)
            if slope < 0:
                return cls(fmean(seconds), 0.0)
            if intercept >= 0:
                return cls(intercept, slope)
        return cls(0.0, linear_regression((0, *days), (0.0, *seconds), proportional=True).slope)


@frozen
class Baseline:
    """The cost of downloads by provider and resolution."""

    costs: Mapping[tuple[str, Resolution], Cost]

    @classmethod
    def of(cls, reports: Iterable[ArchivedReport]) -> Baseline:
        """Use the reports of downloads that fetched days, failed for none, and used no fallback."""
        points: defaultdict[tuple[str, Resolution], list[tuple[int, float]]] = defaultdict(list)
        for report in reports:
            if report.days_downloaded and not (report.days_failed or report.fallback or report.cancelled):
                points[report.provider, report.resolution].append((report.days_downloaded, report.duration_s))
        return cls({key: Cost.of(found) for key, found in points.items()})

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read reports from a file of concatenated JSON objects.

        Raises:
            ConfigurationError: The file cannot be read, or has no report of a complete download.
        """
        try:
            found = list(_values(path.read_text(encoding="utf-8")))
            baseline = cls.of(msgspec.convert(found, list[ArchivedReport]))
        except OSError as error:
            raise ConfigurationError(f"the baseline {path} cannot be read ({error.strerror or error})") from error
        except (ValueError, msgspec.ValidationError) as error:
            raise ConfigurationError(
                f"the baseline {path} does not hold what backtest-server download --json prints ({error})"
            ) from error
        if not baseline.costs:
            raise ConfigurationError(f"the baseline {path} holds no download that fetched all it asked for")
        return baseline

    def seconds(self, report: DownloadReport) -> float | None:
        """Return the expected seconds of a download like this one, or None without a report of its kind."""
        cost = self.costs.get((report.provider, report.resolution))
        return cost.download + cost.day * report.days_downloaded if cost else None


def _values(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        value, at = decoder.raw_decode(text, at)
        yield value
