"""From a request to what has to be fetched: one scan of the data folder, then pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from attrs import Factory, define, evolve, frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled, ConfigurationError
from server.data_download.availability import DayState, Gap, SeriesState, find_gap
from server.data_download.catalog import Catalog
from server.data_download.file_check import DamagedFile, IrregularFile
from server.data_download.request import DownloadRequest
from server.data_download.tickers import TickerLookup
from server.lean.layout import layout_of
from server.lean.map_file import TickerSpan
from server.lean.series import Series
from server.trading_calendar import DayOutOfBounds, USEquityTradingCalendar


@frozen
class SeriesDays:
    """Days of a symbol under the ticker that it had on them."""

    series: Series
    days: tuple[date, ...]


@frozen(kw_only=True)
class DownloadPlan:
    """What a request needs and what of it is missing.

    Attributes:
        days: The trading days requested, ascending.
        states: For each symbol the state of each of its days.
        series: For each symbol its days by series: a security may have had several tickers.
        gaps: What to fetch, one for each series.
        notices: Sentences for people: a range that was cut, damaged files.
    """

    request: DownloadRequest
    days: tuple[date, ...]
    states: dict[str, dict[date, DayState]]
    series: dict[str, tuple[SeriesDays, ...]]
    gaps: tuple[Gap, ...]
    damaged: tuple[DamagedFile, ...] = ()
    irregular: tuple[IrregularFile, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def days_requested(self) -> int:
        """The number of symbol-days."""
        return sum(len(states) for states in self.states.values())

    @property
    def days_missing(self) -> int:
        """The number of series-days to fetch."""
        return sum(len(gap.days) for gap in self.gaps)

    def symbols_of(self, series: set[Series]) -> list[str]:
        """The symbols, in the order of the request, that have days of any of these series."""
        return [symbol for symbol, parts in self.series.items() if any(part.series in series for part in parts)]


@define
class _Draft:
    """A plan while its symbols are scanned, one after the other."""

    states: dict[str, dict[date, DayState]] = Factory(dict)
    series: dict[str, tuple[SeriesDays, ...]] = Factory(dict)
    gaps: dict[Series, Gap] = Factory(dict)
    damaged: dict[Path, DamagedFile] = Factory(dict)
    irregular: dict[Path, IrregularFile] = Factory(dict)


def make_plan(
    request: DownloadRequest,
    catalog: Catalog,
    tickers: TickerLookup,
    now: datetime,
    cancel: CancelToken | None = None,
) -> DownloadPlan:
    """Scan the data folder for a request. Writes nothing, sends nothing.

    Args:
        request: The request.
        catalog: What the data folder holds.
        tickers: Which ticker each symbol had on which days.
        now: In UTC.
        cancel: Stops the work when cancelled.

    Raises:
        ConfigurationError: The range is outside the calendar or wholly in the future.
        Cancelled: It was cancelled.
    """
    days, notices = trading_days(request.start, request.end, catalog.calendar, now)
    draft = _Draft()
    for symbol in request.symbols:
        if cancel and cancel.cancelled:
            raise Cancelled("stopped while the data folder was scanned; nothing was fetched")
        spans, notice = tickers(symbol, request.start, request.end)
        notices += [notice] if notice else []
        divided = days_by_ticker(spans, request.days_of(symbol, days))
        parts = [SeriesDays(Series(ticker, request.resolution), mine) for ticker, mine in divided]
        _scan_symbol(draft, symbol, parts, catalog, now, refresh=request.refresh)
    notices += [_damage_notice(file) for file in draft.damaged.values()]
    notices += [_irregular_notice(file) for file in draft.irregular.values() if not file.is_read_whole]
    return DownloadPlan(
        request=request,
        days=tuple(days),
        states=draft.states,
        series=draft.series,
        gaps=tuple(draft.gaps.values()),
        damaged=tuple(draft.damaged.values()),
        irregular=tuple(draft.irregular.values()),
        notices=tuple(notices),
    )


def plan_repair(request: DownloadRequest, gaps: Sequence[Gap]) -> DownloadPlan:
    """The plan that fetches exactly these days, and takes none from a cache."""
    return DownloadPlan(
        request=request,
        days=tuple(sorted({day for gap in gaps for day in gap.days})),
        states={gap.series.ticker: dict.fromkeys(gap.days, DayState.DAMAGED) for gap in gaps},
        series={gap.series.ticker: (SeriesDays(gap.series, gap.days),) for gap in gaps},
        gaps=tuple(evolve(gap, refresh=frozenset(gap.days)) for gap in gaps),
    )


def trading_days(
    start: date, end: date, calendar: USEquityTradingCalendar, now: datetime
) -> tuple[list[date], list[str]]:
    """The sessions of a range that can have bars by now, and sentences about the range for people.

    Raises:
        ConfigurationError: The range begins before the calendar or after the last session.
    """
    last = calendar.last_session(now)
    notices = []
    if start > last:
        raise ConfigurationError(
            f"the range {start} to {end} lies wholly in the future: the last session so far is {last}"
        )
    if end > last:
        if calendar.trading_days(min(last, calendar.last_day), min(end, calendar.last_day)) != [last]:
            notices.append(f"the range is cut at {last}, the last session so far")
        end = last
    try:
        days = calendar.trading_days(start, end)
    except DayOutOfBounds as error:
        raise ConfigurationError(str(error)) from error
    if not days:
        notices.append(f"there is no trading day from {start} to {end}")
    return days, notices


def days_by_ticker(spans: Sequence[TickerSpan], days: Sequence[date]) -> list[tuple[str, tuple[date, ...]]]:
    """The days by ticker, each ticker once, in the order of their first days.

    Args:
        spans: They cover all of the days.
        days: Trading days, ascending.
    """
    if len(spans) == 1:
        return [(spans[0].ticker, tuple(days))]
    found: dict[str, list[date]] = {}
    for span in spans:
        found.setdefault(span.ticker, []).extend(day for day in days if span.first <= day <= span.last)
    return [(ticker, tuple(mine)) for ticker, mine in found.items() if mine]


def _scan_symbol(
    draft: _Draft, symbol: str, parts: Sequence[SeriesDays], catalog: Catalog, now: datetime, *, refresh: bool
) -> None:
    states: dict[date, DayState] = {}
    found: list[SeriesDays] = []
    for part in parts:
        state, files = catalog.scan(part.series, part.days)
        draft.damaged.update((file.path, file) for file in files)
        draft.irregular.update((file.path, file) for file in state.irregular)
        wanted = part.days
        if state.damaged and layout_of(part.series).one_file:
            wanted = tuple(day for day in _with_damaged(wanted, state, catalog.calendar, now) if day not in states)
        states |= {day: state.of(day) for day in wanted}
        found.append(SeriesDays(part.series, wanted))
        if refresh:
            gap = Gap(series=part.series, days=wanted, refresh=frozenset(wanted)) if wanted else None
        else:
            gap = find_gap(wanted, state, now, catalog.calendar.settled_through(now))
        if gap:
            known = draft.gaps.get(part.series)
            draft.gaps[part.series] = known.joined(gap) if known else gap
    draft.series[symbol] = tuple(found)
    draft.states[symbol] = states if len(found) < 2 else dict(sorted(states.items()))


def _damage_notice(file: DamagedFile) -> str:
    if file.in_part:
        return f"{file.path} is damaged in part, the days concerned count as missing: {file.reason}"
    return f"{file.path} is damaged, its days count as missing: {file.reason}"


def _irregular_notice(file: IrregularFile) -> str:
    return f"{file.path} has {file.reason}; verify --repair rewrites it without a request"


def _with_damaged(
    days: Sequence[date], state: SeriesState, calendar: USEquityTradingCalendar, now: datetime
) -> list[date]:
    """The days, and the sessions that a damaged file of all days held; what was read of it may name others too."""
    sessions = calendar.trading_days(calendar.first_day, calendar.last_session(now))
    return sorted({*days, *(state.damaged & set(sessions))})
