"""The rows of a universe file that do not follow from the map files and factor files, and their correction. Pure.

A row that names another share of its ticker than the map files do is a second share to LEAN, without events and
renames. Files may be of any origin: only rows of shares with a map file are changed, and of them only the identifier
and the factors. All other bytes stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from server.lean.universe_shares import NO_ADJUSTMENT, WORD, ExpectedRow, Factors, UniverseShares

_COLUMNS = 8
_FEWEST_COLUMNS = 5
"""LEAN reads a row up to its dollar volume; a row without factors has the factors 1 (LEAN: ``CoarseFundamental``)."""

_FACTORS = slice(6, 8)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_ENDS = re.compile(rb"(\r\n|\r|\n)")
_SECURITY_ID = re.compile(rb"[^ |,]+ [0-9A-Z]+")
_NUMBER = re.compile(rb"\d+(?:\.\d*)?|\.\d+")


class Correction(NamedTuple):
    """A corrected universe file, and the number of rows that differ."""

    content: bytes
    rows: int


class _Row(NamedTuple):
    """A row whose ticker a map file has on the day, and where it is in the file."""

    start: int
    end: int
    ticker: bytes
    expected: ExpectedRow


def correct_universe_file(content: bytes, day: date, shares: UniverseShares) -> Correction:
    """Return a universe file with the identifiers and factors that follow from the map and factor files.

    The share of a row is the one that has the row's ticker on that day. A row of another share that has the ticker at
    another time stays if the right share has a row, too: LEAN's own files repeat a share under its next ticker. A
    share without a factor file has the factors 1 where its identifier is corrected; else its factors stay.

    If the lines were in the order of their bytes, they are so afterwards.

    Args:
        content: The file.
        day: The day in its name.
        shares: The shares of the data folder.

    Returns:
        The content itself and 0 if nothing is to be corrected.
    """
    body = content.removeprefix(_BYTE_ORDER_MARK)
    pieces: list[bytes] = []
    position = rows = 0
    for row in _irregular_rows(body, day, shares):
        line = _corrected(body, row, shares)
        if line is not None:
            pieces += (body[position : row.start], line)
            position = row.end
            rows += 1
    if not rows:
        return Correction(content, 0)
    mark = content[: len(content) - len(body)]
    return Correction(mark + _in_same_order(b"".join((*pieces, body[position:])), body), rows)


def _corrected(body: bytes, row: _Row, shares: UniverseShares) -> bytes | None:
    """The text that a row should have, or None if it is to stay."""
    fields = body[row.start : row.end].split(b",")
    expected = row.expected
    if fields[0] == expected.security_id:
        changed = expected.factors is not None and _set_factors(fields, expected.factors)
        return b",".join(fields) if changed else None
    if not _SECURITY_ID.fullmatch(fields[0]):
        return None
    if shares.has_had(row.ticker, fields[0]) and _has_line(body, expected.start):
        return None
    fields[0] = expected.security_id
    _set_factors(fields, expected.factors or NO_ADJUSTMENT)
    return b",".join(fields)


def _set_factors(fields: list[bytes], factors: Factors) -> bool:
    """Put factors into the fields of a row, unless the row has these numbers; returns whether it changed."""
    present = fields[_FACTORS]
    present += NO_ADJUSTMENT[len(present) :]
    if all(have == want or _number(have) == _number(want) for have, want in zip(present, factors, strict=True)):
        return False
    if len(fields) == _FEWEST_COLUMNS:
        fields.append(b"False")
    fields[_FACTORS] = factors
    return True


def _number(text: bytes) -> Decimal | None:
    return Decimal(text.decode("ascii")) if _NUMBER.fullmatch(text) else None


def _has_line(body: bytes, start: bytes) -> bool:
    return body.startswith(start) or b"\n" + start in body or b"\r" + start in body


def _irregular_rows(body: bytes, day: date, shares: UniverseShares) -> Iterator[_Row]:
    """The rows that do not have the very text which follows from the map and factor files."""
    for start, ticker_start, ticker_end, end, columns in _places(body, shares):
        ticker = body[ticker_start:ticker_end]
        expected = shares.expected(ticker, day)
        if expected is None or (
            columns == _COLUMNS and body.startswith(expected.start, start) and body.endswith(expected.end, start, end)
        ):
            continue
        yield _Row(start, end, ticker, expected)


def _places(body: bytes, shares: UniverseShares) -> Iterator[tuple[int, int, int, int, int]]:
    """Where the rows are whose ticker may be one of the map files.

    Yields:
        The start of the row, the start and the end of its ticker, the end of the row, and its number of columns.
    """
    data = np.frombuffer(body, np.uint8)
    separators = np.flatnonzero((data == ord(",")) | (data == ord("\n")) | (data == ord("\r")))
    line_ends = np.flatnonzero(data[separators] != ord(","))  # as indexes of the separators
    first_commas = np.concatenate(([0], line_ends + 1))
    commas = np.concatenate((line_ends, [len(separators)])) - first_commas
    rows = np.flatnonzero(commas >= _FEWEST_COLUMNS - 1)
    tickers, ticker_ends = separators[first_commas[rows]] + 1, separators[first_commas[rows] + 1]
    chosen = np.isin(_words(data, tickers, ticker_ends), shares.words)
    starts = np.concatenate(([0], separators[line_ends] + 1))[rows]
    ends = np.concatenate((separators[line_ends], [len(body)]))[rows]
    columns = (starts, tickers, ticker_ends, ends, commas[rows] + 1)
    return zip(*(column[chosen].tolist() for column in columns), strict=True)


def _words(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The first bytes of each text as one number (see `UniverseShares.words`)."""
    padded = np.concatenate((data, np.zeros(WORD, np.uint8)))
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, WORD)[starts])
    missing = 8 * (WORD - np.minimum(ends - starts, WORD)).astype(np.uint64)
    words = windows.view("<u8").ravel().astype(np.uint64)
    return np.where(missing < 8 * WORD, words << np.minimum(missing, 8 * WORD - 1), np.uint64(0))


def _in_same_order(body: bytes, previous: bytes) -> bytes:
    """The text with its lines in the order of their bytes, if those of the previous text were."""
    parts = _LINE_ENDS.split(body)
    if not _sorted(_LINE_ENDS.split(previous)[::2]) or _sorted(parts[::2]):
        return body
    last = len(parts) - (0 if parts[-1] else 1)  # what follows the last line end is no line if it is empty
    parts[:last:2] = sorted(parts[:last:2])
    return b"".join(parts)


def _sorted(lines: Sequence[bytes]) -> bool:
    whole = lines if lines[-1] else lines[:-1]
    return all(line <= following for line, following in pairwise(whole))
