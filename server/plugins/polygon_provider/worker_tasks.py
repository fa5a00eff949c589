"""The steps of one window's task, which may run in a worker process: responses to bars of the wanted days. Pure."""

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


def read_response(held: Sequence[Page] | None, window: Window, body: bytes) -> tuple[Sequence[Page], Page]:
    """Parse the next page and hold it; the result is the page without its bars.

    Raises:
        DAMAGED, msgspec.DecodeError, BadResponseError: As `decompressed` and `read_page`.
    """
    page = read_page(decompressed(body), window)
    return [*(held or ()), page], msgspec.structs.replace(page, results=None)


def choose_days(held: Sequence[Page], window: Window) -> tuple[Bars, list[date]]:
    """Hold the bars of the wanted days instead of the pages; the result is the days that have bars.

    Raises:
        BadResponseError: As `to_bars`.
    """
    return only_days(to_bars(held, window), window.wanted)
