"""The steps of one window's task, which may run in a worker process: responses to bars of the wanted days. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial

import msgspec
from attrs import frozen

from server.lean.bar_checks import without_bad_days
from server.lean.bars import Bars
from server.lean.days import select_days
from server.plugins.polygon_provider.bodies import read_body
from server.plugins.polygon_provider.responses import (
    Page,
    PageColumns,
    next_target,
    page_columns,
    read_page,
    to_bars,
)
from server.plugins.polygon_provider.windows import Window


@frozen
class ChosenDays:
    """The wanted days of a window that have bars.

    Attributes:
        good: Those whose bars can be delivered, ascending.
        bad: Those with a bad bar, each with what is wrong.
    """

    good: tuple[date, ...]
    bad: dict[date, str]

    @property
    def first(self) -> date | None:
        """The first of them; None if the response has no bars."""
        return min([*self.good[:1], *self.bad], default=None)


def read_response(
    held: Sequence[PageColumns] | None, window: Window, base_url: str, seen: Sequence[str], body: bytes
) -> tuple[Sequence[PageColumns], Page]:
    """Parse the next page and hold its bars; the result is the page without them, its next_url as `next_target`.

    Raises:
        DAMAGED, msgspec.DecodeError, BadResponseError: As `read_body`, `read_page`, `page_columns`, `next_target`.
    """
    page = read_body(body, window, partial(read_page, window=window))
    columns = page_columns(page, window)
    following = next_target(page, base_url, window, seen)
    return [*(held or ()), columns], msgspec.structs.replace(page, results=None, next_url=following)


def choose_days(held: Sequence[PageColumns], window: Window) -> tuple[Bars, ChosenDays]:
    """Hold the bars that can be delivered instead of the pages; the result is the days that have bars.

    Raises:
        BadResponseError: As `to_bars`.
    """
    bars, misplaced = to_bars(held, window)
    bars, having = select_days(bars, window.wanted)
    bars, bad = without_bad_days(bars, having)
    bad |= misplaced
    good = [day for day in having if day not in bad]
    if misplaced:
        bars, good = select_days(bars, good)
    return bars, ChosenDays(good=tuple(good), bad=bad)
