"""Plans which requests to send for which gaps. Pure.

The vendor counts ``limit`` in base bars, 50,000 at most: a session has at most 960 minutes (04:00 to 20:00), so 52
sessions always fit one response; a session of seconds may need two; all daily bars of a symbol fit one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from attrs import evolve, frozen

from server.data_download.availability import Gap
from server.lean.series import Resolution, Series
from server.trading_calendar import USEquityTradingCalendar

LIMIT = 50_000
"""Base bars in one response at most."""

MINUTES_PER_SESSION = 960
MAX_MINUTE_SESSIONS = LIMIT // MINUTES_PER_SESSION

_MIN_MINUTE_SESSIONS = 10
"""Windows are not made smaller than this to keep connections busy: a request costs more than it saves."""

_JOIN_SESSIONS = 5
"""Sessions requested again rather than sending another request, where requests are not limited."""

_ROUNDS = 2
"""Windows for each connection, so that responses are written while others are awaited."""

TIMESPANS = {Resolution.DAILY: "day", Resolution.MINUTE: "minute", Resolution.SECOND: "second"}
"""The vendor's timespan of each resolution that can be requested."""

RESOLUTIONS = {timespan: resolution for resolution, timespan in TIMESPANS.items()}
"""The resolution of each of the vendor's timespans."""

QUERY = f"adjusted=false&sort=asc&limit={LIMIT}"
"""The query of the first page of every window."""


@frozen(kw_only=True)
class CachedRange:
    """One cached response: the host it came from, the days that its request covered, and which page it is.

    Attributes:
        page: Empty for the first page.
    """

    host: str
    series: Series
    first: date
    last: date
    page: str = ""


@frozen(kw_only=True)
class Window:
    """One request: the days from first to last, of which ``wanted`` are to be delivered.

    Attributes:
        refresh: The response must not come from the cache.
        settled: All wanted days are settled, so that the response may be cached.
        probe: Requests once more the days before the first bar of a wider window's response.
        span: First and last day of an earlier request that is repeated, since its response is cached.
        once_more: Requests again what was rejected; a second rejection is final.
    """

    series: Series
    wanted: tuple[date, ...]
    refresh: bool = False
    settled: bool = True
    probe: bool = False
    span: tuple[date, date] | None = None
    once_more: bool = False

    @property
    def ticker(self) -> str:
        """The ticker of the series."""
        return self.series.ticker

    @property
    def first(self) -> date:
        """The first day of the request."""
        return self.span[0] if self.span else self.wanted[0]

    @property
    def last(self) -> date:
        """The last day of the request, included."""
        return self.span[1] if self.span else self.wanted[-1]

    @property
    def days(self) -> tuple[date, ...]:
        """The days wanted."""
        return self.wanted

    @property
    def subject(self) -> str:
        """The kind of data."""
        return "bars"

    @property
    def about(self) -> str:
        """What is requested, for people."""
        days = str(self.first)
        if len(self.wanted) > 1:
            days = f"{self.first} to {self.last} ({len(self.wanted)} trading days)"
        return f"{self.series} {days}"

    @property
    def target(self) -> str:
        """Path and query of the request. Days are New York dates, so it does not depend on the local time zone."""
        timespan = TIMESPANS[self.series.resolution]
        return f"/v2/aggs/ticker/{self.ticker}/range/1/{timespan}/{self.first}/{self.last}?{QUERY}"


def cached_windows(
    gaps: Sequence[Gap], ranges: Iterable[CachedRange], settled_through: date
) -> tuple[list[Window], list[Gap]]:
    """Plan windows that repeat cached requests, and return them with the rest of the gaps.

    A run that was cancelled or killed leaves cached responses of which not all days were written. New windows for the
    rest would be other requests, and fetch again what is cached.

    Args:
        gaps: The days wanted.
        ranges: The cached responses of the configured host.
        settled_through: The last settled day; responses about later days are not cached.
    """
    spans: defaultdict[Series, list[tuple[date, date]]] = defaultdict(list)
    for cached in ranges:
        if not cached.page:
            spans[cached.series].append((cached.first, cached.last))
    windows: list[Window] = []
    rest: list[Gap] = []
    for gap in gaps:
        left = set(gap.days)
        for first, last in sorted(spans.get(gap.series, ()), key=_longest_first):
            covered = {day for day in left if first <= day <= min(last, settled_through)} - gap.refresh
            if covered:
                windows.append(Window(series=gap.series, wanted=tuple(sorted(covered)), span=(first, last)))
                left -= covered
        if len(left) == len(gap.days):
            rest.append(gap)
        elif left:
            rest.append(evolve(gap, days=tuple(sorted(left))))
    return windows, rest


def _longest_first(span: tuple[date, date]) -> tuple[int, date]:
    return (span[0] - span[1]).days, span[0]


def plan_windows(
    gaps: Sequence[Gap],
    calendar: USEquityTradingCalendar,
    now: datetime,
    *,
    counted: bool,
    connections: int = 5,
) -> list[Window]:
    """Plan the requests that cover all days of all gaps.

    Days that are not settled get windows of their own, since their responses must not be cached and may be refused
    as a whole by plans that end with yesterday.

    Args:
        gaps: The days wanted.
        calendar: The trading days.
        now: The current instant, to determine which days are settled.
        counted: Whether requests are limited (a budget per minute): then as few as possible, whatever other bars
            they return; otherwise enough to keep the connections busy.
        connections: How many requests may be in flight at once.
    """
    sessions = sum(len(gap.days) for gap in gaps)
    through = calendar.settled_through(now)
    windows: list[Window] = []
    for gap in gaps:
        settled = gap.days[: bisect_right(gap.days, through)]
        for part, is_settled in ((settled, True), (gap.days[len(settled) :], False)):
            if not part:
                continue
            index = {day: number for number, day in enumerate(calendar.trading_days(part[0], part[-1]))}
            size, join = _sizes(gap.series.resolution, counted, sessions, connections, len(index))
            windows += [
                Window(
                    series=gap.series,
                    wanted=tuple(days),
                    refresh=not gap.refresh.isdisjoint(days),
                    settled=is_settled,
                )
                for days in _cover(part, index, size, join, even=not counted)
            ]
    return windows


def _sizes(resolution: Resolution, counted: bool, sessions: int, connections: int, span: int) -> tuple[int, int]:
    """Return the most sessions of a window, and the most sessions between two wanted days of one window."""
    if resolution is Resolution.SECOND:
        return 1, 0
    if resolution is Resolution.DAILY:
        return span, span
    if counted:
        return MAX_MINUTE_SESSIONS, MAX_MINUTE_SESSIONS
    share = -(-sessions // (connections * _ROUNDS))
    return min(max(share, _MIN_MINUTE_SESSIONS), MAX_MINUTE_SESSIONS), _JOIN_SESSIONS


def _cover(
    days: Sequence[date], index: dict[date, int], size: int, join: int, *, even: bool
) -> Iterator[Sequence[date]]:
    """Cut ascending days into parts that span at most `size` sessions, greedily from the first day.

    This gives the smallest possible number of parts. With `even`, a run that needs several is cut into parts of about
    the same span instead of full ones and a rest.
    """
    for run in _runs(days, index, join):
        span = index[run[-1]] - index[run[0]] + 1
        most = -(-span // -(-span // size)) if even else size
        start = 0
        for end in range(1, len(run) + 1):
            if end == len(run) or index[run[end]] - index[run[start]] >= most:
                yield run[start:end]
                start = end


def _runs(days: Sequence[date], index: dict[date, int], join: int) -> Iterator[Sequence[date]]:
    start = 0
    for end in range(1, len(days) + 1):
        if end == len(days) or index[days[end]] - index[days[end - 1]] - 1 > join:
            yield days[start:end]
            start = end
