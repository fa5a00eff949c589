"""Findings: which concern a range, which are accepted, and how they read."""

from __future__ import annotations

from datetime import date

import pytest

from server.core.json import to_json
from server.data_download.findings import Doubt, DoubtKind, Findings, LaterEvent, OtherHolder, joined

ETF = OtherHolder(
    symbol="META",
    ticker="META",
    first_day=date(2021, 6, 30),
    last_day=date(2022, 1, 28),
    name="Roundhill Ball Metaverse ETF",
    figi="BBG011Z0L1T8",
)
ON = date(2022, 6, 9)


def doubt(kind: DoubtKind = "price_change", day: date = ON, symbol: str = "META", message: str = "it fell") -> Doubt:
    return Doubt(symbol=symbol, day=day, kind=kind, message=message)


def event(day: date, what: str = "dividend of $0.5", symbol: str = "SPY") -> LaterEvent:
    return LaterEvent(symbol=symbol, day=day, what=what)


def test_in_json() -> None:
    """The names of the issue."""
    assert to_json(ETF) == {
        "symbol": "META",
        "ticker": "META",
        "first_day": "2021-06-30",
        "last_day": "2022-01-28",
        "name": "Roundhill Ball Metaverse ETF",
        "figi": "BBG011Z0L1T8",
    }
    assert to_json(doubt()) == {
        "symbol": "META",
        "day": "2022-06-09",
        "kind": "price_change",
        "message": "it fell",
        "accepted": False,
    }


@pytest.mark.parametrize(
    ("first", "last", "concerned"),
    [
        ("2022-01-28", "2022-12-30", True),
        ("2021-01-04", "2021-06-30", True),
        ("2022-01-29", "2022-12-30", False),
        ("2021-01-04", "2021-06-29", False),
    ],
)
def test_other_holders_concern_the_ranges_that_overlap_their_days(first: str, last: str, concerned: bool) -> None:
    """Both ends are included."""
    found = Findings(other_holders=(ETF,)).within(date.fromisoformat(first), date.fromisoformat(last))

    assert bool(found) == concerned


@pytest.mark.parametrize(
    ("first", "last", "event_concerned", "identity_concerned"),
    [
        ("2022-06-09", "2022-06-09", True, True),
        ("2022-06-10", "2022-12-30", False, False),
        ("2021-01-04", "2022-06-08", False, True),
    ],
)
def test_doubts_concern_ranges(first: str, last: str, event_concerned: bool, identity_concerned: bool) -> None:
    """One about an event those with its day; one about the share those before it as well."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    for kind in ("split", "two_events", "near_duplicate", "large_dividend", "price_change"):
        assert bool(Findings(doubts=(doubt(kind),)).within(start, end)) == event_concerned
    for kind in ("pause", "rename", "other_holder"):
        assert bool(Findings(doubts=(doubt(kind),)).within(start, end)) == identity_concerned


def test_later_events_concern_the_ranges_that_reach_them() -> None:
    """A range before them is not affected."""
    found = Findings(later_events=(event(date(2021, 6, 18)), event(date(2021, 9, 17))))

    assert found.within(date(2020, 1, 2), date(2021, 6, 17)).later_events == ()
    assert len(found.within(date(2020, 1, 2), date(2021, 6, 18)).later_events) == 1
    assert len(found.within(date(2021, 12, 1), date(2021, 12, 31)).later_events) == 2


def test_an_accepted_doubt_raises_nothing() -> None:
    """It is marked and listed, and not among the sentences; another day or symbol is not accepted."""
    accepted = {("MO", date(2008, 3, 31))}
    found = Findings(
        doubts=(doubt(day=date(2008, 3, 31), symbol="MO"), doubt(day=date(2008, 4, 1), symbol="MO"), doubt())
    ).accepting(accepted)

    assert [one.accepted for one in found.doubts] == [True, False, False]
    assert found.sentences == [
        "MO 2008-04-01: doubtful: it fell (accepted-doubts accepts it)",
        "META 2022-06-09: doubtful: it fell (accepted-doubts accepts it)",
    ]
    assert found.doubts[0].sentence == "MO 2008-03-31: accepted doubt: it fell"


def test_sentences() -> None:
    """One for each other holder, each doubt, and each share with later events."""
    later = [event(date(2021, month, 18)) for month in (3, 6, 9, 12)]
    found = Findings(
        other_holders=(ETF, OtherHolder(symbol="T", ticker="T", first_day=ON, last_day=ON)),
        doubts=(doubt(),),
        later_events=(*later, event(ON, "split of 4:1", "AAPL")),
    )

    assert found.sentences == [
        "the bars of META from 2021-06-30 to 2022-01-28 belong to another holder of the ticker (Roundhill Ball "
        "Metaverse ETF); the files that backtest-server builds for META exclude them",
        "the bars of T from 2022-06-09 to 2022-06-09 belong to another holder of the ticker (another company); the "
        "files that backtest-server builds for T exclude them",
        "META 2022-06-09: doubtful: it fell (accepted-doubts accepts it)",
        "the files of SPY are of another origin and lack 4 later events (2021-03-18 dividend of $0.5; 2021-06-18 "
        "dividend of $0.5; 2021-09-18 dividend of $0.5 and 1 more); backtest-server factor-files SPY --extend "
        "adds them",
        "the files of AAPL are of another origin and lack 1 later event (2022-06-09 split of 4:1); backtest-server "
        "factor-files AAPL --extend adds them",
    ]


def test_many_doubts_about_one_share() -> None:
    """A share of cents has one every few days: the first five are shown, and how many more there are."""
    found = Findings(doubts=tuple(doubt(day=date(2022, 6, at)) for at in range(1, 31)))

    assert len(found.sentences) == 6
    assert found.sentences[-1] == ("META: 25 more doubts until 2022-06-30; backtest-server coverage META lists them")


def test_joined() -> None:
    """Repeats are removed, as are other words for one doubt; they are sorted; nothing joined is nothing."""
    one = Findings(other_holders=(ETF,), doubts=(doubt(), doubt(message="another")), later_events=(event(ON),))
    other = Findings(doubts=(doubt(day=date(2020, 1, 2)), doubt("split"), doubt(message="in other words")))

    found = joined([other, one, one])

    assert (found.other_holders, found.later_events) == ((ETF,), (event(ON),))
    assert [(one.day, one.kind, one.message) for one in found.doubts] == [
        (date(2020, 1, 2), "price_change", "it fell"),
        (ON, "price_change", "another"),
        (ON, "price_change", "it fell"),
        (ON, "split", "it fell"),
    ]
    assert not joined([])
