"""Which of the files that LEAN did not get are fetched, and which opened files lack days. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from attrs import frozen

from server.data_download.data_findings import DataFinding
from server.data_download.request import DownloadRequest
from server.engines.missing_data import DAMAGED, ENDS_EARLY, LACKS_DAYS, NO_BARS, DataSeries, MissingFile
from server.lean.errors import FormatError
from server.lean.layout import layout_of, parse_path
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.lean.series import DataType, Resolution, Series, parse_symbol


@frozen(kw_only=True)
class FetchedDays:
    """Days of a series that were fetched because LEAN requested them.

    Attributes:
        days: Ascending.
    """

    ticker: str
    resolution: str
    data_type: str
    days: tuple[date, ...]


def plan_fill(missing: Iterable[MissingFile], last: date) -> tuple[DownloadRequest, ...]:
    """Return the downloads of the bars that a run did not get, one for each resolution.

    Args:
        missing: The files that it did not get.
        last: The last session that can have bars.
    """
    wanted: dict[Resolution, dict[str, set[date]]] = {}
    for series, days in fetchable_days(missing, last).items():
        wanted.setdefault(series.resolution, {}).setdefault(series.ticker, set()).update(days)
    return tuple(
        DownloadRequest(
            symbols=tuple(tickers),
            resolution=resolution,
            start=min(map(min, tickers.values())),
            end=max(map(max, tickers.values())),
            only={ticker: frozenset(days) for ticker, days in tickers.items()},
        )
        for resolution, tickers in wanted.items()
    )


def fetchable_days(missing: Iterable[MissingFile], last: date) -> dict[Series, tuple[date, ...]]:
    """Return the days of the series of trade bars among missing files, ascending, none after the last session."""
    found: dict[Series, set[date]] = {}
    for file in missing:
        series = _series(file)
        days = {day for day in file.days if day <= last}
        if series is not None and days:
            found.setdefault(series, set()).update(days)
    return {series: tuple(sorted(days)) for series, days in found.items()}


def opened_days(paths: Iterable[str]) -> dict[Series, tuple[date, ...]]:
    """Return the series of trade bars with a file for each day among the files that LEAN opened, with their days."""
    found: dict[Series, set[date]] = {}
    for path in paths:
        parsed = parse_path(path)
        if parsed is not None and parsed[1] is not None and parsed[0].data_type is DataType.TRADE:
            found.setdefault(parsed[0], set()).add(parsed[1])
    return {series: tuple(sorted(days)) for series, days in found.items()}


def opened_series(paths: Iterable[str]) -> tuple[Series, ...]:
    """Return the hour and daily series of trade bars among the files that LEAN opened, each once."""
    found = (parse_path(path) for path in paths)
    series = (one[0] for one in found if one is not None and one[1] is None)
    return tuple(dict.fromkeys(one for one in series if one.data_type is DataType.TRADE))


def days_of_holders(maps: Iterable[tuple[str, bytes]], ticker: str, days: Sequence[date]) -> Sequence[date]:
    """Return the days on which a share had a ticker, by all map files; all days where none names the ticker.

    Args:
        maps: Name and lower-case content of each map file.
        ticker: In capitals.
        days: Trading days, ascending.
    """
    mark, held, known = ticker.lower().encode(), set[date](), False
    for _, content in maps:
        if mark not in content or not days:
            continue
        try:
            spans = spans_by_ticker(parse_map_file(content.decode("utf-8", "replace")), date.min, date.max)
        except FormatError:
            continue
        mine = [span for span in spans if span.ticker == ticker]
        known = known or bool(mine)
        held.update(day for day in days for span in mine if span.first <= day <= span.last)
    return [day for day in days if day in held] if known else days


def lacking_days(wanted: Sequence[date], on_disk: Collection[date], empty: Collection[date]) -> tuple[date, ...]:
    """Return the days that an hour or daily file lacks; LEAN repeats the bar before them, without a message.

    Days that are known to have no bars count after the file's last row only: from there on LEAN repeats its last price
    to the end (fact 12 of its recorded runs).

    Args:
        wanted: The days of the algorithm on which a share had the ticker, ascending.
        on_disk: Days that the file has.
        empty: Days that are known to have no bars.
    """
    last = max(on_disk, default=date.min)
    return tuple(day for day in wanted if day not in on_disk and (day > last or day not in empty))


def reason_of_lack(days: Collection[date], on_disk: Collection[date], empty: Collection[date]) -> str:
    """Return why a file lacks days (see `lacking_days`)."""
    if all(day in empty for day in days):
        return NO_BARS
    return ENDS_EARLY if on_disk and min(days) > max(on_disk) else LACKS_DAYS


def lacking_file(series: Series, days: tuple[date, ...], reason: str) -> MissingFile:
    """Return a file of all days that lacks some in the form of a missing one."""
    key = DataSeries(ticker=series.ticker, resolution=series.resolution.value, data_type=series.data_type.value)
    path = layout_of(series).path(None)
    return MissingFile(path=path, series=key, days=days, kind=series.data_type.value, reason=reason)


def damaged_files(findings: Iterable[DataFinding]) -> tuple[MissingFile, ...]:
    """Return the files of bars that findings are about in the form of missing ones."""
    found = []
    for one in findings:
        if one.series is not None:
            series = one.series
            key = DataSeries(ticker=series.ticker, resolution=series.resolution.value, data_type=series.data_type.value)
            found.append(
                MissingFile(path=one.path, series=key, days=one.days, kind=series.data_type.value, reason=DAMAGED)
            )
    return tuple(found)


def fetched_days(
    before: Mapping[Series, frozenset[date]], after: Mapping[Series, frozenset[date]]
) -> tuple[FetchedDays, ...]:
    """Return what is on disk after a fetch and was not before.

    Args:
        before: Days on disk by series, before it.
        after: The same after it.
    """
    found = []
    for series, days in after.items():
        new = days - before.get(series, frozenset())
        if new:
            found.append(
                FetchedDays(
                    ticker=series.ticker,
                    resolution=series.resolution.value,
                    data_type=series.data_type.value,
                    days=tuple(sorted(new)),
                )
            )
    return tuple(found)


def _series(file: MissingFile) -> Series | None:
    if not file.fetchable or file.series is None or file.series.ticker is None:
        return None
    try:
        return Series(parse_symbol(file.series.ticker), Resolution(file.series.resolution))
    except ValueError:
        return None
