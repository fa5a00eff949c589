"""Bars that the test server serves: made up, or read from zips in LEAN's format.

Nothing here uses the product's own code, so that a fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from zlib_ng import zlib_ng

NEW_YORK = ZoneInfo("America/New_York")
MILLISECONDS = {"second": 1_000, "minute": 60_000, "day": 86_400_000}

_BAR = msgspec.defstruct(
    "Bar",
    ["v", ("vw", object, None), "o", "c", "h", "l", "t", ("n", object, None)],
    omit_defaults=True,
    kw_only=True,
)
_LEVEL = 3  # about the size that nginx sends


def midnight(day: date) -> int:
    """When this New York day begins, in milliseconds UTC."""
    return int(datetime.combine(day, time(), NEW_YORK).timestamp() * 1000)


def new_york_day(milliseconds: int) -> date:
    """The New York day of an instant."""
    return datetime.fromtimestamp(milliseconds / 1000, NEW_YORK).date()


def clock(day: date, milliseconds: int = 0) -> int:
    """The instant at which New York's clocks show this time of this trading day."""
    noon = datetime.combine(day, time(12), NEW_YORK)
    return int(noon.timestamp() * 1000) - 43_200_000 + milliseconds


def timespan_of(resolution: object) -> str:
    """The vendor's word for a resolution, whatever it was given as."""
    word = str(getattr(resolution, "value", resolution))
    return "day" if word == "daily" else word


def deflate(text: bytes) -> bytes:
    """A piece of a raw deflate stream that ends on a byte and refers to nothing before it."""
    packer = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, -15)
    return bytes(packer.compress(text) + packer.flush(zlib_ng.Z_FULL_FLUSH))


_COMMA = (b",", deflate(b","))


def _plain(column: np.ndarray) -> list[object]:
    return [int(x) if x.is_integer() else x for x in column.tolist()]


def _scientific(column: np.ndarray) -> list[object]:
    return [msgspec.Raw(np.format_float_scientific(x, trim="-", exp_digits=2).encode()) for x in column.tolist()]


@dataclass(eq=False)
class BarColumns:
    """The bars of one symbol at one timespan, ascending, and their JSON text, a piece for each day."""

    t: np.ndarray
    o: np.ndarray
    h: np.ndarray
    l: np.ndarray  # noqa: E741 - the vendor's name
    c: np.ndarray
    v: np.ndarray
    vw: np.ndarray | None = None
    n: np.ndarray | None = None
    scientific: bool = False
    _edges: np.ndarray = field(init=False, repr=False)
    _pieces: dict[tuple[int, int], tuple[bytes, bytes]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        edges = [0]
        if len(self.t):
            first, last = new_york_day(int(self.t[0])), new_york_day(int(self.t[-1]))
            midnights = [midnight(first + timedelta(days=i)) for i in range((last - first).days + 2)]
            edges = np.unique(np.searchsorted(self.t, midnights)).tolist()
        self._edges = np.array(edges, dtype=np.int64)

    def rows(self, start: int, end: int) -> tuple[int, int]:
        """First row and the row after the last one of the bars that start between two instants, both included."""
        return int(np.searchsorted(self.t, start)), int(np.searchsorted(self.t, end, side="right"))

    def pieces(self, first: int, last: int) -> list[tuple[bytes, bytes]]:
        """The JSON of these rows in pieces, each as text and deflated."""
        cuts = [first, *(int(e) for e in self._edges if first < e < last), last]
        found: list[tuple[bytes, bytes]] = []
        for begin, end in itertools.pairwise(cuts):
            if end > begin:
                found += [self._piece(begin, end), _COMMA]
        return found[:-1]

    def prepare(self) -> None:
        """Make all pieces now, so that answers cost next to nothing later."""
        self.pieces(0, len(self.t))

    def _piece(self, begin: int, end: int) -> tuple[bytes, bytes]:
        piece = self._pieces.get((begin, end))
        if piece is None:
            text = self._text(slice(begin, end))
            piece = self._pieces[begin, end] = (text, deflate(text))
        return piece

    def _text(self, rows: slice) -> bytes:
        nothing = [None] * (rows.stop - rows.start)
        columns = (
            _scientific(self.v[rows]) if self.scientific else _plain(self.v[rows]),
            nothing if self.vw is None else _plain(self.vw[rows]),
            *(_plain(column[rows]) for column in (self.o, self.c, self.h, self.l)),
            self.t[rows].tolist(),
            nothing if self.n is None else self.n[rows].tolist(),
        )
        bars = [
            _BAR(v=v, vw=vw, o=o, c=c, h=h, l=low, t=t, n=n) for v, vw, o, c, h, low, t, n in zip(*columns, strict=True)
        ]
        return msgspec.json.encode(bars)[1:-1]


class Market(dict[tuple[str, str], BarColumns]):
    """All series there are, by (symbol, timespan); markets join with ``|``."""

    def prepare(self) -> Market:
        """Render everything now."""
        for series in self.values():
            series.prepare()
        return self

    @classmethod
    def of(cls, bars: Mapping[tuple[str, object], Iterable[Mapping[str, float]]], scientific: bool = False) -> Market:
        """A market of these bars, written as the vendor does: ``{("AAPL", "minute"): [{"t": …, "o": …}, …]}``."""
        market = cls()
        for (symbol, resolution), rows in bars.items():
            ordered = sorted(rows, key=lambda row: row["t"])
            columns = {
                name: np.array([row[name] for row in ordered], dtype=np.int64 if name in "tn" else np.float64)
                for name in ("t", "o", "h", "l", "c", "v", "vw", "n")
                if all(name in row for row in ordered)
            }
            market[symbol, timespan_of(resolution)] = BarColumns(**columns, scientific=scientific)
        return market

    @classmethod
    def synthetic(
        cls,
        symbols: Iterable[str],
        days: Sequence[date],
        resolution: object = "minute",
        *,
        bars_per_day: int = 390,
        seed: int = 0,
        decimals: int = 2,
        density: float = 1.0,
        fractional_volume: bool = False,
        scientific: bool = False,
    ) -> Market:
        """Plausible random walks, the same for the same arguments.

        Bars begin at 09:30, or at 04:00 where that many do not fit before 20:00; `density` is the share of them
        that traded.
        """
        span = timespan_of(resolution)
        step = MILLISECONDS[span]
        if span == "day":
            offsets = np.zeros(1, dtype=np.int64)
        else:
            begin = 34_200_000 if 34_200_000 + bars_per_day * step <= 72_000_000 else 14_400_000
            offsets = begin + np.arange(bars_per_day, dtype=np.int64) * step
        starts = np.array([clock(day) for day in sorted(days)], dtype=np.int64)
        times = (starts[:, None] + offsets[None, :]).ravel()
        market = cls()
        for symbol in symbols:
            random = np.random.default_rng([seed, zlib.crc32(symbol.encode())])
            walk = _walk(random, len(times), decimals, fractional_volume)
            keep = random.random(len(times)) < density
            columns = {name: column[keep] for name, column in walk.items()}
            market[symbol, span] = BarColumns(t=times[keep], **columns, scientific=scientific)
        return market

    @classmethod
    def from_lean_folder(
        cls, folder: Path, *symbols: str, resolutions: Sequence[object] = ("daily", "minute", "second")
    ) -> Market:
        """The trade bars that stand in a LEAN data folder, as the vendor would send them (without vw and n)."""
        market = cls()
        for resolution in resolutions:
            span = timespan_of(resolution)
            home = Path(folder) / "equity" / "usa" / ("daily" if span == "day" else span)
            for symbol in symbols or sorted({path.stem.upper() for path in home.glob("*")}):
                if span == "day":
                    files = [home / f"{symbol.lower()}.zip"]
                else:
                    files = sorted((home / symbol.lower()).glob("????????_trade.zip"))
                rows = [row for path in files if path.exists() for row in _lean_rows(path, span)]
                if rows:
                    t, *prices = (np.array(column) for column in zip(*rows, strict=True))
                    market[symbol, span] = BarColumns(t, *prices)
        return market

    def __or__(self, other: Mapping[tuple[str, str], BarColumns]) -> Market:  # type: ignore[override]
        return Market({**self, **other})


def _walk(random: np.random.Generator, count: int, decimals: int, fractional: bool) -> dict[str, np.ndarray]:
    scale = 10**decimals
    price = int(random.integers(40, 400)) * scale
    close = price + np.cumsum(random.integers(-5, 6, count) * max(1, scale // 100))
    close = np.abs(close) + scale
    open_ = np.concatenate([[price + scale], close[:-1]])
    high = np.maximum(open_, close) + random.integers(0, 4, count) * max(1, scale // 100)
    low = np.maximum(np.minimum(open_, close) - random.integers(0, 4, count), 1)
    volume = np.floor(random.lognormal(8, 1.2, count)) + 1
    if fractional:
        volume = np.round(volume + random.random(count), 6)
    return {
        "o": open_ / scale,
        "h": high / scale,
        "l": low / scale,
        "c": close / scale,
        "v": volume,
        "vw": np.round((high + low + 2 * close) / (4 * scale), 4),
        "n": (volume // 90 + 1).astype(np.int64),
    }


def _lean_rows(path: Path, span: str) -> Iterable[tuple[float, ...]]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    for first, *prices, volume in csv.reader(io.StringIO(text)):
        if span == "day":
            when = midnight(datetime.strptime(first, "%Y%m%d %H:%M").date())
        else:
            when = clock(datetime.strptime(path.name[:8], "%Y%m%d").date(), int(first))
        yield when, *(_price(price) for price in prices), float(volume)


def _price(text: str) -> float:
    return int(text) / 10_000 if text.isdigit() else float(Decimal(text) / 10_000)
