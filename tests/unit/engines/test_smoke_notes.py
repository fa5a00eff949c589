"""Notes of a smoke test on one symbol: unreadable files, and losses of a number that can be read."""

from __future__ import annotations

from datetime import date, timedelta

from server.engines.smoke_notes import raw_notes, share_notes
from server.lean.feed import Columns, Loss, LossKind, Rename, ShareFeed
from server.lean.feed.share import Share

DAYS = [date(2024, 1, 8) + timedelta(days=day) for day in range(5)]
SHARE = Share(ticker="X", map_path="m/x.csv", factor_path="f/x.csv")


def feed(losses: list[Loss], *missing: str) -> ShareFeed:
    return ShareFeed(
        share=SHARE,
        bars=Columns.joined(()),
        events=(Rename(DAYS[3], "NEW", "OLD", "NEW"),),
        losses=tuple(losses),
        paths=(),
        missing=missing,
        bars_outside=0,
    )


def test_renames_damage_and_losses() -> None:
    """The day before a rename is the last of the old ticker; files that do not exist are counted elsewhere."""
    losses = [
        Loss(DAYS[0], DAYS[0], "a.zip", "no file for 1 trading day", LossKind.ABSENT),
        Loss(DAYS[1], DAYS[1], "b.zip", "broken", LossKind.DAMAGED),
        Loss(DAYS[2], DAYS[3], "c.zip", "no row for 2 trading days", LossKind.ABSENT),
    ]

    found = list(
        share_notes("NEW", feed(losses, "a.zip", "d.zip"), DAYS, {"d.zip": "no access", "e.zip": "of another"})
    )

    assert found == [
        "NEW is read as OLD until 2024-01-10, then as NEW, according to its map file",
        "Damaged, as LEAN would find it: d.zip: no access",
        "Damaged, as LEAN would find it: b.zip (2024-01-09): broken",
        "Not fed by LEAN: c.zip (2024-01-10 to 2024-01-11): no row for 2 trading days",
    ]


def test_many_losses_are_shortened() -> None:
    """The command bars has all of them."""
    losses = [Loss(DAYS[0], DAYS[0], f"{name}.zip", "broken", LossKind.DAMAGED) for name in range(1022)]

    *_, last = share_notes("X", feed(losses), DAYS, {})

    assert last == "Not fed by LEAN: 1,002 more of X; backtest-server bars X lists them"


def test_a_share_without_a_factor_file() -> None:
    """The reason is named once for all symbols that have it."""
    assert list(raw_notes({"X": SHARE, "Y": SHARE})) == [
        "X, Y have no factor file, so prices are not adjusted for splits and dividends"
    ]
