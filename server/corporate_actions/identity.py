"""Decides which days of a ticker belong to the share that has it now. Pure; the holder on a day comes from a lookup.

A ticker has different holders over time. Equal composite FIGIs are one holder, whatever name or first day the vendor
lists; different ones are two. Where one of them is not known, another name and a pause of trading of 60 sessions show
another holder. A pause alone is a doubt, and nothing is excluded because of it. Central index keys (CIK) prove
nothing: two classes of shares have the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from attrs import Factory, define, frozen

from server.corporate_actions.model import Listing
from server.data_download.findings import Doubt, OtherHolder

PAUSE_SESSIONS = 60
"""Sessions without a bar after which a ticker may have another holder."""

HolderOn = Callable[[date], Listing | None]
"""Returns reference data of a ticker as of a day; None if the vendor has none, or the plan does not reach back."""


@frozen(kw_only=True)
class Tenure:
    """The days on which the share had its oldest ticker.

    Attributes:
        first_day: The first day with a bar of the share; None if it has none.
        is_limited: Whether the ticker had another holder before.
        other_holders: Those before it, ascending.
        doubts: Pauses that nothing explains.
    """

    first_day: date | None = None
    is_limited: bool = False
    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def is_same_holder(one: Listing, other: Listing, *, paused: bool) -> bool | None:
    """Return whether two listings of a ticker are of one holder; None if that is not known.

    Args:
        one: Reference data as of one day.
        other: As of another day.
        paused: Whether trading paused between the days for `PAUSE_SESSIONS`.
    """
    if one.figi and other.figi:
        return one.figi == other.figi
    if paused and one.name and other.name and _plain(one.name) != _plain(other.name):
        return False
    return None


def find_tenure(symbol: str, ticker: str, spans: Sequence[Sequence[date]], current: Listing, on: HolderOn) -> Tenure:
    """Find the first day of a share among the days on which its ticker traded.

    Args:
        symbol: The share's symbol.
        ticker: The oldest ticker of the share.
        spans: The days with bars, ascending, divided where trading paused for `PAUSE_SESSIONS`.
        current: The share.
        on: The holder of the ticker on a day; called once where trading never paused and the first day is the share's,
            else for the first and last day of each span, and about log2(days) times more where the holder changes
            within one. Without pauses and FIGIs it is not called.
    """
    oldest = on(spans[0][0]) if len(spans) == 1 and current.figi else None
    if oldest is not None and is_same_holder(current, oldest, paused=False):
        return Tenure(first_day=spans[0][0])
    search = _Search(symbol, ticker, on, [_Run(current)])
    for number, days in enumerate(reversed(spans)):
        search.add(days, paused=number > 0)
    share, *earlier = search.runs
    others = tuple(
        OtherHolder(
            symbol=symbol,
            ticker=ticker,
            first_day=run.first,
            last_day=run.last,
            name=run.listing.name,
            figi=run.listing.figi,
        )
        for run in reversed(earlier)
        if run.first and run.last and is_same_holder(current, run.listing, paused=False) is not True
    )
    return Tenure(
        first_day=share.first, is_limited=bool(earlier), other_holders=others, doubts=tuple(reversed(search.doubts))
    )


def included_holders(
    symbol: str, others: Sequence[OtherHolder], first_day: date, begins: Sequence[date]
) -> tuple[Doubt, ...]:
    """Return a doubt if files of another origin include the days of another holder.

    Args:
        symbol: The share's symbol.
        others: The earlier holders of its oldest ticker.
        first_day: The first day of the share.
        begins: The first days of its map and factor files; LEAN reads nothing before the later one.
    """
    if not others or max(begins) > others[-1].last_day:
        return ()
    message = (
        f"the files of {symbol} are of another origin and begin on {max(begins)}, so LEAN reads bars of another holder "
        f"of {others[-1].ticker} until {others[-1].last_day}; backtest-server factor-files {symbol} --replace excludes "
        "them"
    )
    return (Doubt(symbol=symbol, day=first_day, kind="other_holder", message=message),)


@define
class _Run:
    """Days of one holder in a row."""

    listing: Listing
    first: date | None = None
    last: date | None = None

    def extend(self, first: date, last: date) -> None:
        """Add days before those so far."""
        self.first, self.last = first, self.last or last


@define
class _Search:
    """The walk through the days, from the newest to the oldest; `runs` begin with that of the share."""

    symbol: str
    ticker: str
    on: HolderOn
    runs: list[_Run]
    doubts: list[Doubt] = Factory(list)

    def add(self, days: Sequence[date], *, paused: bool) -> None:
        """Take the days of a span, which ends before those so far."""
        self._join(days[-1], paused=paused)
        end = len(days) - 1
        while self._is_other(days[0]):
            last = self._last_of_others(days, end)
            listing = self.on(days[last])
            if listing is None:  # not reached: it was other than the run's
                break
            if last < end:
                self.runs[-1].extend(days[last + 1], days[end])
            self.runs.append(_Run(listing))
            end = last
        self.runs[-1].extend(days[0], days[end])

    def _join(self, day: date, *, paused: bool) -> None:
        """Decide whether the last day of a span belongs to the holder of the days after it."""
        run = self.runs[-1]
        listing = self.on(day) if paused or run.listing.figi else None
        same = None if listing is None else is_same_holder(run.listing, listing, paused=paused)
        if listing is not None and same is False:
            self.runs.append(_Run(listing))
        elif same is None and paused and len(self.runs) == 1 and run.first is not None:
            message = (
                f"{self.ticker} did not trade for {PAUSE_SESSIONS} sessions or more between {day} and {run.first}, and "
                "the vendor does not show whether the ticker has had another holder since"
            )
            self.doubts.append(Doubt(symbol=self.symbol, day=run.first, kind="pause", message=message))

    def _is_other(self, day: date) -> bool:
        listing = self.on(day) if self.runs[-1].listing.figi else None  # without pauses only FIGIs can differ
        return listing is not None and is_same_holder(self.runs[-1].listing, listing, paused=False) is False

    def _last_of_others(self, days: Sequence[date], end: int) -> int:
        """Return the position of the last day, up to `end`, on which another share had the ticker."""
        low, high = 0, end + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_other(days[middle]) else (low, middle)
        return low


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace(".", "").replace(",", "").split())
