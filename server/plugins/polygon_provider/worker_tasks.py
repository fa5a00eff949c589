"""The steps of one window's task, which may run in another process: answers to the bars of the days wanted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from server.lean.bars import Bars
from server.plugins.polygon_provider.responses import (
    Page,
    decompressed,
    only_days,
    read_page,
    to_bars,
)
from server.plugins.polygon_provider.windows import Window


def read_answer(held: Sequence[Page] | None, window: Window, wire: bytes) -> tuple[Sequence[Page], Page]:
    """Read the next page and hold it; the result is the page without its bars.

    Raises:
        DAMAGED, msgspec.DecodeError, BadResponseError: As `decompressed` and `read_page`.
    """
    page = read_page(decompressed(wire), window)
    return [*(held or ()), page], msgspec.structs.replace(page, results=None)


def choose_days(held: Sequence[Page], window: Window) -> tuple[Bars, list[date]]:
    """Hold the bars of the days wanted instead of the pages; the result is which of those days have any.

    Raises:
        BadResponseError: As `to_bars`.
    """
    return only_days(to_bars(held, window), window.wanted)
