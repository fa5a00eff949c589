"""Plans which runs of `lean data download` fetch the missing days. Pure.

The CLI's dates are UTC midnights and its end is exclusive (LEAN: ``BaseDataDownloadConfig.cs``): ``--start S
--end E`` fetches the bars from S 00:00 UTC to E 00:00 UTC, and what it got of a day replaces that day's file. A New
York day D begins at 04:00 UTC (summer) or 05:00 UTC (winter) of D and ends at 04:00 or 05:00 UTC of D+1. So the
last UTC midnight before it begins is that of D, and the first one after it has ended is that of D+2; with D+1 the
bars from 19:00 or 20:00 New York on would be missing. A run whose wanted days reach from F to L therefore asks
``--start F --end L+2``. It also brings the last hours of the day before F and most of the day after L; both are
partial, and like every day that was not requested they are never delivered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from attrs import frozen

from server.core.secret import Secret, without_secrets
from server.core.text import list_text
from server.data_download.availability import Gap
from server.lean.series import Resolution, Series
from server.plugins.lean_cli_provider.config import KEY_VARIABLES, LeanCliConfig

AFTER_LAST_DAY = timedelta(days=2)

JOIN_WITHIN: Mapping[Resolution, timedelta] = {
    Resolution.DAILY: timedelta(days=36_500),
    Resolution.MINUTE: timedelta(days=31),
    Resolution.SECOND: timedelta(days=4),
}
"""The longest time between two wanted days that are fetched by one run. A run takes about half a minute before its
first request (container, modules, licence); a request of the vendor's plugin returns 5,000 bars: 5 to 13 days of
minutes, a fraction of a day of seconds, or all daily bars."""


@frozen(kw_only=True)
class Run:
    """One run of the CLI: some series of one resolution, each with its wanted days, and one range of dates."""

    wanted: Mapping[Series, tuple[date, ...]]

    @property
    def resolution(self) -> Resolution:
        """The resolution of the series."""
        return next(iter(self.wanted)).resolution

    @property
    def tickers(self) -> list[str]:
        """The tickers of the series."""
        return [series.ticker for series in self.wanted]

    @property
    def first_day(self) -> date:
        """The first day wanted."""
        return min(days[0] for days in self.wanted.values())

    @property
    def last_day(self) -> date:
        """The last day wanted."""
        return max(days[-1] for days in self.wanted.values())

    @property
    def start(self) -> date:
        """The CLI's ``--start``: the UTC midnight of this day lies before the first day wanted."""
        return self.first_day

    @property
    def end(self) -> date:
        """The CLI's ``--end``: the UTC midnight of this day lies after the last day wanted."""
        return self.last_day + AFTER_LAST_DAY

    @property
    def title(self) -> str:
        """What it fetches, as one line."""
        shown = list_text(self.tickers)
        return f"{shown}, {self.resolution.value}, {self.first_day} to {self.last_day}"


def plan_runs(gaps: Iterable[Gap]) -> list[Run]:
    """Group gaps into runs.

    The days of a series are cut where they lie farther apart than `JOIN_WITHIN`, so that the years between two
    clusters are not fetched. Then clusters of several series share a run if both their first and their last days
    lie no farther apart than that.
    """
    days: dict[Series, set[date]] = defaultdict(set)
    for gap in gaps:
        days[gap.series].update(gap.days)
    runs = []
    for resolution, within in JOIN_WITHIN.items():
        clusters = [
            (series, cluster)
            for series, wanted in days.items()
            if series.resolution is resolution
            for cluster in _clusters(sorted(wanted), within)
        ]
        runs += [Run(wanted=shared) for shared in _share(clusters, within)]
    return runs


def _clusters(days: Sequence[date], within: timedelta) -> list[tuple[date, ...]]:
    clusters: list[list[date]] = []
    for day in days:
        if clusters and day - clusters[-1][-1] <= within:
            clusters[-1].append(day)
        else:
            clusters.append([day])
    return [tuple(cluster) for cluster in clusters]


def _share(
    clusters: Iterable[tuple[Series, tuple[date, ...]]], within: timedelta
) -> list[dict[Series, tuple[date, ...]]]:
    shared: list[tuple[date, date, dict[Series, tuple[date, ...]]]] = []
    for series, days in sorted(clusters, key=lambda item: (item[1][0], item[1][-1], item[0])):
        for first, last, members in shared:
            if days[0] - first <= within and abs(days[-1] - last) <= within and series not in members:
                members[series] = days
                break
        else:
            shared.append((days[0], days[-1], {series: days}))
    return [members for _, _, members in shared]


def download_argv(executable: str, config: LeanCliConfig, run: Run, lean_config: str) -> tuple[str, ...]:
    """The command, with every option that the CLI would prompt for (lean-cli: ``commands/data/download.py``).

    Those include ``--market`` and ``--polygon-license-type``.
    The key is not: the CLI reads ``polygon-api-key`` from the lean.json.
    """
    return (
        *(executable, "data", "download"),
        *("--data-provider-historical", "Polygon"),
        *("--polygon-license-type", config.license_type),
        *("--data-type", "Trade"),
        *("--resolution", run.resolution.value.capitalize()),
        *("--security-type", "Equity"),
        *("--market", "USA"),
        *("--ticker", ",".join(run.tickers)),
        *("--start", f"{run.start:%Y%m%d}"),
        *("--end", f"{run.end:%Y%m%d}"),
        "--no-update",
        *(("--image", config.image) if config.image else ()),
        *("--lean-config", lean_config),
    )


def child_environment(environment: Mapping[str, str], secrets: Sequence[Secret], scratch: str) -> dict[str, str]:
    """The environment of the CLI: that of the server without the variables that contain the key.

    Temporary files go to `scratch`. The CLI wraps its messages at the width of its terminal, and without one at
    80 characters; COLUMNS sets a greater width, so that a message is one line.
    """
    kept = {name: value for name, value in without_secrets(environment, secrets).items() if name not in KEY_VARIABLES}
    return kept | {
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch),
        "COLUMNS": "1000",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
