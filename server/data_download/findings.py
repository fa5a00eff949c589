"""What is known about a share over time besides its bars: earlier holders of its ticker, doubts, events not in a file.

A doubt is not damage: a vendor's event and a share's prices do not fit together, and which of them is right is not
known. Nothing is changed because of a doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import Literal

from attrs import evolve, frozen

from server.core.text import count_text

DoubtKind = Literal[
    "split", "two_events", "near_duplicate", "large_dividend", "price_change", "pause", "rename", "other_holder"
]
"""What does not fit: a split and the change of the price over its date; several events on one date; two dividends that
may be one; a dividend above a tenth of the close; a large change of the price without an event; a pause of trading
after which the ticker may have another holder; a change of ticker; files of another origin that include the bars of
another holder."""

_IDENTITY = ("pause", "rename", "other_holder")
"""Doubts about which share the days before them belong to."""

_SHOWN = 5
"""Doubts about one share that are shown as sentences."""

AcceptedDoubt = tuple[str, date]
"""Symbol and day of a doubt that the user accepts (setting ``accepted-doubts``)."""


@frozen(kw_only=True)
class OtherHolder:
    """A company or fund that had a ticker before the share that has it now.

    Attributes:
        symbol: The share whose history reaches back to these days.
        ticker: The ticker that both had.
        first_day: The first day with bars of the other holder.
        last_day: The last one.
        name: Its name; empty if it is not known.
        figi: Its composite FIGI; empty if it is not known.
    """

    symbol: str
    ticker: str
    first_day: date
    last_day: date
    name: str = ""
    figi: str = ""

    @property
    def sentence(self) -> str:
        """For people."""
        who = self.name or "another company"
        return (
            f"the bars of {self.ticker} from {self.first_day} to {self.last_day} belong to another holder of the "
            f"ticker ({who}); the files that backtest-server builds for {self.symbol} exclude them"
        )


@frozen(kw_only=True)
class Doubt:
    """Something about a share on a day that may be wrong.

    Attributes:
        day: The first session concerned: the ex-date of an event, or the day of the change.
        message: For people.
        accepted: The user accepts it; it raises nothing.
    """

    symbol: str
    day: date
    kind: DoubtKind
    message: str
    accepted: bool = False

    @property
    def sentence(self) -> str:
        """For people, with the setting that accepts it."""
        if self.accepted:
            return f"{self.symbol} {self.day}: accepted doubt: {self.message}"
        return f"{self.symbol} {self.day}: doubtful: {self.message} (accepted-doubts accepts it)"


@frozen(kw_only=True)
class LaterEvent:
    """An event that the vendor lists after the last one in a file of another program.

    Attributes:
        day: The ex-date, or the first day of a ticker.
        what: The event in a few words, such as ``dividend of $1.43``.
    """

    symbol: str
    day: date
    what: str


@frozen(kw_only=True)
class Findings:
    """What is known about one or more shares besides their bars."""

    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    later_events: tuple[LaterEvent, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.other_holders or self.doubts or self.later_events)

    def within(self, first: date, last: date) -> Findings:
        """Return what concerns a range of days, both included.

        An other holder concerns the ranges that overlap its days. A pause or a change of ticker concerns all days
        before it, too: they may be another share's. Later events are missing from all ranges that reach them.
        """
        return Findings(
            other_holders=tuple(one for one in self.other_holders if one.first_day <= last and one.last_day >= first),
            doubts=tuple(
                doubt for doubt in self.doubts if first <= doubt.day and (doubt.day <= last or doubt.kind in _IDENTITY)
            ),
            later_events=tuple(event for event in self.later_events if event.day <= last),
        )

    def accepting(self, accepted: Collection[AcceptedDoubt]) -> Findings:
        """Return the findings with the doubts that the user accepts marked."""
        return evolve(
            self,
            doubts=tuple(evolve(doubt, accepted=(doubt.symbol, doubt.day) in accepted) for doubt in self.doubts),
        )

    @property
    def accepted_sentences(self) -> list[str]:
        """One for each accepted doubt."""
        return [doubt.sentence for doubt in self.doubts if doubt.accepted]

    @property
    def sentences(self) -> list[str]:
        """One for each other holder, each doubt that is not accepted, and each share with later events.

        Of a share with many doubts the first are shown.
        """
        sentences = [one.sentence for one in self.other_holders]
        doubts: dict[str, list[Doubt]] = {}
        for doubt in self.doubts:
            if not doubt.accepted:
                doubts.setdefault(doubt.symbol, []).append(doubt)
        later: dict[str, list[LaterEvent]] = {}
        for event in self.later_events:
            later.setdefault(event.symbol, []).append(event)
        for symbol, some in doubts.items():
            sentences += _doubt_sentences(symbol, some)
        return [*sentences, *(_later_sentence(symbol, events) for symbol, events in later.items())]


def joined(findings: Iterable[Findings]) -> Findings:
    """Join the findings of several shares, or of several sources about one.

    Of doubts of one symbol, day and kind those of the last source count.
    """
    every = list(findings)
    doubts: list[Doubt] = []
    for one in every:
        newer = {(doubt.symbol, doubt.day, doubt.kind) for doubt in one.doubts}
        doubts = [doubt for doubt in doubts if (doubt.symbol, doubt.day, doubt.kind) not in newer]
        doubts += one.doubts
    return Findings(
        other_holders=tuple(dict.fromkeys(holder for one in every for holder in one.other_holders)),
        doubts=tuple(sorted(doubts, key=lambda doubt: (doubt.symbol, doubt.day, doubt.kind, doubt.message))),
        later_events=tuple(dict.fromkeys(event for one in every for event in one.later_events)),
    )


def _doubt_sentences(symbol: str, doubts: list[Doubt]) -> list[str]:
    sentences = [doubt.sentence for doubt in doubts[:_SHOWN]]
    if len(doubts) > _SHOWN:
        more = count_text(len(doubts) - _SHOWN, "more doubt")
        sentences.append(f"{symbol}: {more} until {doubts[-1].day}; backtest-server coverage {symbol} lists them")
    return sentences


def _later_sentence(symbol: str, events: list[LaterEvent]) -> str:
    shown = "; ".join(f"{event.day} {event.what}" for event in events[:3])
    more = f" and {len(events) - 3} more" if len(events) > 3 else ""
    return (
        f"the files of {symbol} are of another origin and lack {count_text(len(events), 'later event')} "
        f"({shown}{more}); backtest-server factor-files {symbol} --extend adds them"
    )
