"""Which requests to send for which gaps. Pure.

The vendor counts ``limit`` in base bars, 50,000 at most: a session has at most 960 minutes (04:00 to 20:00), so 52
sessions always fit one answer; a session of seconds may need two; all daily bars there are fit one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from attrs import evolve, frozen

from server.data_download.availability import Gap
from server.lean.series import Resolution, Series
from server.trading_calendar import USEquityTradingCalendar

LIMIT = 50_000
"""Base bars in one answer at most."""

MINUTES_PER_SESSION = 960
MAX_MINUTE_SESSIONS = LIMIT // MINUTES_PER_SESSION

_MIN_MINUTE_SESSIONS = 10
"""Below this a window is not made smaller to keep connections busy: a request costs more than it saves."""

_JOIN_SESSIONS = 5
"""Sessions asked for again rather than sending another request, where requests are not counted."""

_ROUNDS = 2
"""How many windows each connection should get, so that writing overlaps with waiting."""

TIMESPANS = {Resolution.DAILY: "day", Resolution.MINUTE: "minute", Resolution.SECOND: "second"}
_KEPT = re.compile(
    r"/v2/aggs/ticker/([^/?]+)/range/1/([a-z]+)/(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)"
    rf"\?adjusted=false&limit={LIMIT}&sort=asc$"
)
"""The address of an answer to a `Window`, its parameters in the order in which the cache has them."""


@frozen(kw_only=True)
class Window:
    """One request: the days from first to last, of which ``wanted`` are asked for.

    Attributes:
        refresh: Must not be answered from the cache.
        settled: All wanted days are settled, so that the answer may be cached.
        probe: Asks once more for days that an answer to a wider window began without.
        span: First and last day of an earlier request that is sent again, since its answer was kept.
    """

    series: Series
    wanted: tuple[date, ...]
    refresh: bool = False
    settled: bool = True
    probe: bool = False
    span: tuple[date, date] | None = None

    @property
    def symbol(self) -> str:
        """The ticker requested."""
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
        """The days that are asked for."""
        return self.wanted

    @property
    def subject(self) -> str:
        """What is asked for."""
        return "bars"

    @property
    def about(self) -> str:
        """What is asked for, for people."""
        days = str(self.first)
        if len(self.wanted) > 1:
            days = f"{self.first} to {self.last} ({len(self.wanted)} trading days)"
        return f"{self.series} {days}"

    @property
    def target(self) -> str:
        """Path and query of the request; days are New York dates, so it is the same whoever asks."""
        return (
            f"/v2/aggs/ticker/{self.symbol}/range/1/{TIMESPANS[self.series.resolution]}/{self.first}/{self.last}"
            f"?adjusted=false&sort=asc&limit={LIMIT}"
        )


def kept_windows(gaps: Sequence[Gap], kept: Iterable[str], settled_through: date) -> tuple[list[Window], list[Gap]]:
    """What answers that were kept can deliver: windows as they were asked before, and what the gaps still lack.

    A run that was cut off leaves answers of which not all days were written. Windows planned anew for the rest would
    be other requests, and fetch again what is there.

    Args:
        kept: The addresses of the answers.
    """
    spans: defaultdict[tuple[str, str], list[tuple[date, date]]] = defaultdict(list)
    for address in kept:
        found = _KEPT.search(address)
        if found:
            spans[found[1], found[2]].append((date.fromisoformat(found[3]), date.fromisoformat(found[4])))
    windows: list[Window] = []
    rest: list[Gap] = []
    for gap in gaps:
        left = set(gap.days)
        for first, last in sorted(
            spans.get((gap.series.ticker, TIMESPANS[gap.series.resolution]), ()), key=_longest_first
        ):
            covered = {day for day in left if first <= day <= min(last, settled_through)} - gap.refresh
            if covered:
                wanted = tuple(sorted(covered))
                windows.append(Window(series=gap.series, wanted=wanted, span=(first, last)))
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
    """The requests that cover all days of all gaps.

    Args:
        counted: Whether requests are scarce (a budget a minute): then as few as possible, whatever bars come
            along unasked; otherwise enough to keep the connections busy.
        connections: How many requests may be on the wire at once.

    Days that are not settled get windows of their own, since their answers must not be cached and may be refused
    as a whole by plans that end with yesterday.
    """
    sessions = sum(len(gap.days) for gap in gaps)
    through = calendar.settled_through(now)
    windows: list[Window] = []
    for gap in gaps:
        settled = gap.days[: bisect_right(gap.days, through)]
        for part, is_settled in ((settled, True), (gap.days[len(settled) :], False)):
            if not part:
                continue
            index = {day: place for place, day in enumerate(calendar.trading_days(part[0], part[-1]))}
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
    """Most sessions in a window, and most sessions between two wanted days of one window."""
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
    """Cut ascending days into stretches that span at most `size` sessions, from the first day greedily.

    Greedy from the left is the least number of stretches possible. With `even`, a run that needs several is cut
    into parts of about the same span instead of full ones and a rest.
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
