"""Bars that the local vendor has: random walks, the same for the same arguments, and their JSON made beforehand.

Nothing here comes from the downloader that is measured: neither its reading of JSON nor its writing of LEAN's rows.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt
from attrs import frozen

from server.bench.job import MarketJob

NEW_YORK = ZoneInfo("America/New_York")
TIMESPANS = {"daily": "day", "minute": "minute", "second": "second"}
LEAN_PAGE = 5_000
"""Bars of one page as LEAN's downloader asks for it; the text is cut there, too, so that no page is made when asked."""

_STEP = {"day": 86_400_000, "minute": 60_000, "second": 1_000}
_OPEN, _PRE_MARKET, _POST_MARKET = 34_200_000, 14_400_000, 72_000_000
_WALKS = 30
"""Different walks; more symbols than these share them, so that ten million bars fit in memory."""

_LEVEL = 3  # about the size that the vendor's own server sends

_Ints = npt.NDArray[np.int64]
_BAR = msgspec.defstruct("Bar", ["v", "vw", "o", "c", "h", "l", "t", "n"])


def midnight(day: date) -> int:
    """When this New York day begins, in milliseconds UTC."""
    return int(datetime.combine(day, time(), NEW_YORK).timestamp()) * 1000


@frozen(eq=False)
class Walk:
    """The bars of a symbol: prices in cents, volumes in shares."""

    open: _Ints
    high: _Ints
    low: _Ints
    close: _Ints
    volume: _Ints

    @classmethod
    def of(cls, seed: int, count: int) -> Walk:
        """A plausible walk of so many bars."""
        random = np.random.default_rng(seed)
        close = np.abs(random.integers(4_000, 40_000) + np.cumsum(random.integers(-5, 6, count))) + 100
        open_ = np.concatenate([close[:1], close[:-1]])
        high = np.maximum(open_, close) + random.integers(0, 4, count)
        low = np.minimum(open_, close) - random.integers(0, 4, count)
        return cls(open_, high, low, close, np.floor(random.lognormal(8, 1.2, count)).astype(np.int64) + 1)


@frozen
class Piece:
    """Some bars as JSON, plain and deflated; deflated pieces may be put one after another."""

    text: bytes
    deflated: bytes

    @classmethod
    def of(cls, text: bytes) -> Piece:
        """A piece of this text."""
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        return cls(text, bytes(packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)))


_COMMA = Piece.of(b",")


class Market:
    """The bars of some symbols at one resolution, the same number on each day."""

    def __init__(self, job: MarketJob) -> None:
        self.symbols = tuple(job.symbols)
        self.timespan = TIMESPANS[job.resolution]
        self.step = _STEP[self.timespan]
        self.days, self.bars = tuple(job.days), job.bars
        begin = 0 if self.timespan == "day" else _OPEN
        if begin + job.bars * self.step > _POST_MARKET and self.timespan != "day":
            begin = _PRE_MARKET
        offsets = begin + np.arange(job.bars, dtype=np.int64) * self.step
        starts = np.array([midnight(day) for day in self.days], dtype=np.int64)
        self.times: _Ints = (starts[:, None] + offsets[None, :]).ravel()
        self._offsets = offsets
        self._cuts = sorted({*range(0, len(self.times), LEAN_PAGE), *self._edges()})
        self._walks: dict[int, Walk] = {}
        self._pieces: dict[tuple[int, int, int], Piece] = {}

    def _edges(self) -> Sequence[int]:
        return range(0, len(self.times), self.bars) if self.bars > 1 else ()

    def rows(self, start: int, end: int) -> tuple[int, int]:
        """First row, and the row after the last one, of the bars that begin between two instants, both included."""
        return int(np.searchsorted(self.times, start)), int(np.searchsorted(self.times, end, side="right"))

    def prepare(self) -> None:
        """Make all text now, so that answers cost next to nothing later."""
        for symbol in self.symbols[:_WALKS]:
            self.pieces(symbol, 0, len(self.times))
        self._walks.clear()

    def pieces(self, symbol: str, first: int, last: int) -> list[Piece]:
        """The JSON of these rows of a symbol."""
        cuts = [first, *(cut for cut in self._cuts if first < cut < last), last]
        found: list[Piece] = []
        for begin, end in itertools.pairwise(cuts):
            if end > begin:
                found += [self._piece(self._seed(symbol), begin, end), _COMMA]
        return found[:-1]

    def files(self) -> Iterator[tuple[str, str, bytes]]:
        """What LEAN would have written of it all: the path below the data folder, the member, the CSV.

        A row has the milliseconds since midnight in New York (of daily bars the day), the prices in ten-thousandths
        of a dollar, and the volume.
        """
        for symbol in self.symbols:
            walk, name = self._walk(self._seed(symbol)), symbol.lower()
            columns = [(c * 100).tolist() for c in (walk.open, walk.high, walk.low, walk.close)]
            columns.append(walk.volume.tolist())
            if self.timespan == "day":
                labels = [f"{day:%Y%m%d} 00:00" for day in self.days]
                yield f"equity/usa/daily/{name}.zip", f"{name}.csv", _csv([labels, *columns])
                continue
            labels = [str(offset) for offset in self._offsets.tolist()]
            for number, day in enumerate(self.days):
                rows = slice(number * self.bars, (number + 1) * self.bars)
                path = f"equity/usa/{self.timespan}/{name}/{day:%Y%m%d}_trade.zip"
                member = f"{day:%Y%m%d}_{name}_{self.timespan}_trade.csv"
                yield path, member, _csv([labels, *(column[rows] for column in columns)])

    def _seed(self, symbol: str) -> int:
        return self.symbols.index(symbol) % _WALKS

    def _walk(self, seed: int) -> Walk:
        if seed not in self._walks:
            self._walks[seed] = Walk.of(zlib.crc32(f"{seed} {self.timespan}".encode()), len(self.times))
        return self._walks[seed]

    def _piece(self, seed: int, begin: int, end: int) -> Piece:
        piece = self._pieces.get((seed, begin, end))
        if piece is None:
            piece = self._pieces[seed, begin, end] = Piece.of(self._text(self._walk(seed), slice(begin, end)))
        return piece

    def _text(self, walk: Walk, rows: slice) -> bytes:
        weighted = (walk.high[rows] + walk.low[rows] + 2 * walk.close[rows]) * 25
        columns = (
            walk.volume[rows].tolist(),
            _decimals(weighted, 10_000),
            *(_decimals(column[rows], 100) for column in (walk.open, walk.close, walk.high, walk.low)),
            self.times[rows].tolist(),
            (walk.volume[rows] // 90 + 1).tolist(),
        )
        return msgspec.json.encode([_BAR(*row) for row in zip(*columns, strict=True)])[1:-1]


def _decimals(column: _Ints, scale: int) -> list[float]:
    """Numbers as the vendor writes them: whole ones without a point."""
    return [number / scale if number % scale else number // scale for number in column.tolist()]


def _csv(columns: Sequence[Sequence[object]]) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in zip(*columns, strict=True)).encode()


def end_of(day: date) -> int:
    """The last millisecond of this New York day."""
    return midnight(day + timedelta(days=1)) - 1
