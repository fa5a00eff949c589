"""Bars of the local server: reproducible random walks, with their JSON prepared in advance.

This module does not use the downloader that is measured, neither its JSON decoding nor its rendering of LEAN's rows.
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
from numpy.random import default_rng  # here: an interrupt while numpy imports it later can be lost

from benchmarks.messages import MarketSpec

NEW_YORK = ZoneInfo("America/New_York")
TIMESPANS = {"daily": "day", "minute": "minute", "second": "second"}
LEAN_PAGE = 5_000
"""Bars on one page of LEAN's downloader. Chunks end there too, so that no response is rendered on request."""

_STEP = {"day": 86_400_000, "minute": 60_000, "second": 1_000}
_OPEN, _PRE_MARKET, _POST_MARKET = 34_200_000, 14_400_000, 72_000_000
_WALKS = 30
"""The number of different walks; further symbols share them, so that ten million bars fit in memory."""

_LEVEL = 3  # gives about the response sizes of the vendor's server

_Ints = npt.NDArray[np.int64]
_BAR = msgspec.defstruct("Bar", ["v", "vw", "o", "c", "h", "l", "t", "n"])


def midnight(day: date) -> int:
    """Return the start of this New York day, in milliseconds UTC."""
    return int(datetime.combine(day, time(), NEW_YORK).timestamp()) * 1000


@frozen(eq=False)
class PriceWalk:
    """The bars of a symbol: prices in cents, volumes in shares."""

    open: _Ints
    high: _Ints
    low: _Ints
    close: _Ints
    volume: _Ints

    @classmethod
    def generate(cls, seed: int, count: int) -> PriceWalk:
        """Generate a plausible walk of `count` bars."""
        random = default_rng(seed)
        close = np.abs(random.integers(4_000, 40_000) + np.cumsum(random.integers(-5, 6, count))) + 100
        open_ = np.concatenate([close[:1], close[:-1]])
        high = np.maximum(open_, close) + random.integers(0, 4, count)
        low = np.minimum(open_, close) - random.integers(0, 4, count)
        return cls(open_, high, low, close, np.floor(random.lognormal(8, 1.2, count)).astype(np.int64) + 1)


@frozen
class JsonChunk:
    """Bars as JSON, plain and deflated; deflated chunks can be concatenated."""

    text: bytes
    deflated: bytes

    @classmethod
    def from_text(cls, text: bytes) -> JsonChunk:
        """Deflate a text."""
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        return cls(text, bytes(packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)))


_COMMA = JsonChunk.from_text(b",")


class SyntheticMarket:
    """Bars of several symbols at one resolution, the same number on each day."""

    def __init__(self, spec: MarketSpec) -> None:
        self.symbols = tuple(spec.symbols)
        self.timespan = TIMESPANS[spec.resolution]
        self.step = _STEP[self.timespan]
        self.days, self.bars = tuple(spec.days), spec.bars
        begin = 0 if self.timespan == "day" else _OPEN
        if begin + spec.bars * self.step > _POST_MARKET and self.timespan != "day":
            begin = _PRE_MARKET
        offsets = begin + np.arange(spec.bars, dtype=np.int64) * self.step
        starts = np.array([midnight(day) for day in self.days], dtype=np.int64)
        self.times: _Ints = (starts[:, None] + offsets[None, :]).ravel()
        self._offsets = offsets
        self._cuts = sorted({*range(0, len(self.times), LEAN_PAGE), *self._edges()})
        self._walks: dict[int, PriceWalk] = {}
        self._chunks: dict[tuple[int, int, int], JsonChunk] = {}

    def _edges(self) -> Sequence[int]:
        return range(0, len(self.times), self.bars) if self.bars > 1 else ()

    def rows(self, start: int, end: int) -> tuple[int, int]:
        """Return the first row and the row after the last one of the bars that start in [start, end] (milliseconds)."""
        return int(np.searchsorted(self.times, start)), int(np.searchsorted(self.times, end, side="right"))

    def prepare(self) -> None:
        """Render all JSON now, so that responses need almost no processor time."""
        for symbol in self.symbols[:_WALKS]:
            self.chunks(symbol, 0, len(self.times))
        self._walks.clear()

    def chunks(self, symbol: str, first: int, last: int) -> list[JsonChunk]:
        """Return the JSON of a symbol's rows from `first` up to `last`, exclusive."""
        cuts = [first, *(cut for cut in self._cuts if first < cut < last), last]
        found: list[JsonChunk] = []
        for begin, end in itertools.pairwise(cuts):
            if end > begin:
                found += [self._chunk(self._seed(symbol), begin, end), _COMMA]
        return found[:-1]

    def files(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield the files that LEAN stores these bars in: path relative to the data folder, member name, CSV.

        A row holds the milliseconds since midnight in New York (for daily bars the day), the prices in ten-thousandths
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

    def _walk(self, seed: int) -> PriceWalk:
        if seed not in self._walks:
            self._walks[seed] = PriceWalk.generate(zlib.crc32(f"{seed} {self.timespan}".encode()), len(self.times))
        return self._walks[seed]

    def _chunk(self, seed: int, begin: int, end: int) -> JsonChunk:
        chunk = self._chunks.get((seed, begin, end))
        if chunk is None:
            chunk = self._chunks[seed, begin, end] = JsonChunk.from_text(
                self._text(self._walk(seed), slice(begin, end))
            )
        return chunk

    def _text(self, walk: PriceWalk, rows: slice) -> bytes:
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
    """Return numbers as the vendor writes them: integers without a decimal point."""
    return [number / scale if number % scale else number // scale for number in column.tolist()]


def _csv(columns: Sequence[Sequence[object]]) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in zip(*columns, strict=True)).encode()


def end_of(day: date) -> int:
    """Return the last millisecond of this New York day, in milliseconds UTC."""
    return midnight(day + timedelta(days=1)) - 1
