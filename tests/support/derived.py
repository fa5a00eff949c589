"""A provider whose minutes are aggregated, over the data folder of a rig, and what its bars should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from server.core.cancel import CancelToken
from server.data_download.data_folder import DataFolder
from server.data_download.derived_bars import DerivedBars
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import DataProvider
from tests.support.harness import Rig, calendar, lean_decimal
from tests.support.market import BarColumns, clock

HALF_DAYS = {date(2023, 11, 24), date(2024, 7, 3), date(2013, 11, 29)}
_HOUR_MS = 3_600_000


@contextmanager
def derived(
    rig: Rig, provider: Callable[[CancelToken], DataProvider] | None = None, *, regular_session: bool = False
) -> Iterator[HostedProvider]:
    """The rig's provider, or another one, as the server wraps it."""
    folder = DataFolder.open(rig.data, calendar(), rig.state)

    def wrapped(cancel: CancelToken) -> DataProvider:
        inner = (provider or rig.open_provider)(cancel)
        return DerivedBars(inner, folder, calendar(), lambda: rig.now, regular_session=regular_session)

    yield HostedProvider("acme", wrapped)
    folder.close()


def hour_rows(minutes: BarColumns, days: Sequence[date]) -> list[str]:
    """The hour rows that LEAN would have of these minutes, by decimal arithmetic."""
    return _rows(minutes, days, lambda day, offset: f"{day:%Y%m%d} {offset // _HOUR_MS:02d}:00")


def daily_rows(minutes: BarColumns, days: Sequence[date]) -> list[str]:
    """The daily rows of the regular session."""
    return _rows(minutes, days, lambda day, offset: f"{day:%Y%m%d} 00:00")


def _rows(minutes: BarColumns, days: Sequence[date], label: Callable[[date, int], str]) -> list[str]:
    found: dict[str, list[tuple[Decimal, ...]]] = {}
    for day in days:
        begin, close = clock(day, 34_200_000), clock(day, 46_800_000 if day in HALF_DAYS else 57_600_000)
        first, last = minutes.rows(begin, close - 1)
        for row in range(first, last):
            columns = (minutes.o, minutes.h, minutes.l, minutes.c, minutes.v)
            numbers = tuple(Decimal(lean_decimal(float(column[row]))) for column in columns)
            found.setdefault(label(day, int(minutes.t[row]) - clock(day)), []).append(numbers)
    return [
        ",".join(
            [
                text,
                *(
                    lean_decimal_text(price * 10_000)
                    for price in (rows[0][0], max(row[1] for row in rows), min(row[2] for row in rows), rows[-1][3])
                ),
                lean_decimal_text(sum(row[4] for row in rows)),
            ]
        )
        for text, rows in found.items()
    ]


def lean_decimal_text(number: Decimal | int) -> str:
    """A decimal without zeros at its end and without an exponent."""
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
