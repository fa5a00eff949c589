"""Which share a ticker is on a day, by all map files, and what the share's rows of universe files hold.

A row has the share's identifier, which follows from its map file, and the factors of its factor file.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, decimal_text, parse_factor_file
from server.lean.feed.files import FeedFiles
from server.lean.feed.share import MapFiles
from server.lean.layout import FACTOR_FILES
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.lean.sid import security_id_of_share
from server.lean.text_lines import LAST_DATE

Factors = tuple[bytes, bytes]
"""A price factor and a split factor, as a universe file has them: without trailing zeros and exponents."""

NO_ADJUSTMENT: Factors = (b"1", b"1")

_DIGITS = 28
"""Decimals of a C# decimal; no number of a factor file has more."""

_ONE_DAY = timedelta(days=1)

WORD = 8
"""Bytes of a ticker that are compared at first, for all rows of a file at once."""


class ExpectedRow(NamedTuple):
    """What follows for the rows of a ticker, on all days from a first to a last one.

    Attributes:
        security_id: LEAN's identifier of the share that has the ticker.
        factors: None where the share has no factor file.
        start: How such a row begins: the identifier, the ticker and a comma.
        end: How it ends: the factors, each after a comma; empty without a factor file.
    """

    first: date
    last: date
    security_id: bytes
    factors: Factors | None
    start: bytes
    end: bytes


class _Share:
    """A share with a map file. Its factor file is read when its factors are first needed."""

    def __init__(self, files: FeedFiles, name: str, security_id: bytes) -> None:
        self.security_id = security_id
        self._files = files
        self._name = name

    def factors(self, day: date) -> tuple[date, date, Factors | None]:
        """The factors on a day, and on which days they are the same.

        They are those of the first row that is not before the day; None without a factor file that LEAN reads.
        """
        dates, texts = self._factors
        if not dates:
            return date.min, date.max, None
        index = bisect_left(dates, day)
        first = dates[index - 1] + _ONE_DAY if index else date.min
        return (first, dates[index], texts[index]) if index < len(dates) else (first, date.max, NO_ADJUSTMENT)

    @functools.cached_property
    def _factors(self) -> tuple[Sequence[date], Sequence[Factors]]:
        content = self._files.read(f"{FACTOR_FILES}/{self._name.lower()}.csv") or b""
        try:
            rows = parse_factor_file(content.decode("utf-8", "replace"))
        except FormatError:
            rows = []
        return [row.date for row in rows], [_texts(row) for row in rows]


class _Holder(NamedTuple):
    """The share that has a ticker from a first to a last day, both included."""

    first: date
    last: date
    share: _Share


class UniverseShares:
    """The shares of a data folder that have map files. Those are read once, when they are first needed."""

    def __init__(self, files: FeedFiles) -> None:
        """Read nothing.

        Args:
            files: The data folder.
        """
        self._files = files
        self._latest: dict[bytes, ExpectedRow] = {}

    @functools.cached_property
    def words(self) -> npt.NDArray[np.uint64]:
        """All tickers of the map files, in capitals and in lower case, of each its first `WORD` bytes as a number.

        A shorter ticker is in the highest bytes of its number. Numbers are ascending.
        """
        words = {int.from_bytes(ticker[:WORD].rjust(WORD, b"\0"), "little") for ticker in self._holders}
        return np.array(sorted(words), np.uint64)

    def expected(self, ticker: bytes, day: date) -> ExpectedRow | None:
        """Return what follows from the map and factor files for the rows of a ticker on a day.

        Where several map files have the ticker on that day, it is that of the share which loses it first (LEAN:
        ``MapFileResolver.ResolveMapFile``). A map file that LEAN does not read, or of whose tickers no path is built,
        counts as missing.

        Args:
            ticker: As a universe file has it.
            day: The day of the universe file.

        Returns:
            None where no map file has the ticker on that day.
        """
        found = self._latest.get(ticker)
        if found is not None and found.first <= day <= found.last:
            return found
        holders = self._holders.get(ticker, ())
        holder = next((each for each in holders if each.first <= day <= each.last), None)
        if holder is None:
            return None
        found = _expected(ticker, day, holder)
        if len(holders) == 1:  # days of several holders may overlap
            self._latest[ticker] = found
        return found

    def has_had(self, ticker: bytes, security_id: bytes) -> bool:
        """Return whether the share of an identifier has a ticker on any day."""
        return any(holder.share.security_id == security_id for holder in self._holders.get(ticker, ()))

    @functools.cached_property
    def _holders(self) -> Mapping[bytes, Sequence[_Holder]]:
        """The shares that have or had a ticker."""
        found: dict[bytes, list[_Holder]] = {}
        for name, content in MapFiles(self._files).contents:
            for ticker, holder in self._holders_of(name, content):
                found.setdefault(ticker, []).append(holder)
        for holders in found.values():
            holders.sort(key=lambda holder: holder.last)  # stable: then in the order of the map files' names
        return {**{ticker.lower(): holders for ticker, holders in found.items()}, **found}

    def _holders_of(self, name: str, content: bytes) -> Iterator[tuple[bytes, _Holder]]:
        try:
            rows = parse_map_file(content.decode("utf-8", "replace"))
            spans = spans_by_ticker(rows, date.min, LAST_DATE) if rows else []
            share = _Share(self._files, name, security_id_of_share(name, rows).encode())
        except ValueError:  # FormatError, and a date that LEAN has no identifier for
            return
        for span in spans:
            yield span.ticker.encode(), _Holder(span.first, span.last, share)


def _expected(ticker: bytes, day: date, holder: _Holder) -> ExpectedRow:
    first, last, factors = holder.share.factors(day)
    security_id = holder.share.security_id
    return ExpectedRow(
        max(first, holder.first),
        min(last, holder.last),
        security_id,
        factors,
        b"%b,%b," % (security_id, ticker),
        b",%b,%b" % factors if factors else b"",
    )


def _texts(row: FactorRow) -> Factors:
    return decimal_text(row.price_factor, _DIGITS).encode(), decimal_text(row.split_factor, _DIGITS).encode()
