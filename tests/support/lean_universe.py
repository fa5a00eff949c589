"""Questions about universe files with what the real engine offered (tests/recorded/lean-reading), also altered.

`universe TIME count with-fundamentals count` comes before `top SID TICKER price volume dollars price-factor
split-factor FROM TO` for its five rows of the highest dollar volume.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from server.lean.universe_selection import Selection, read_selections
from tests.support.lean_feed import RECORDED, MemoryFiles, day_of

TOP = 5
Line = tuple[Any, ...]


@dataclass(frozen=True)
class UniverseQuestion:
    """A question with the engine's answer."""

    start: date
    end: date
    files: Mapping[str, str]
    fed: Sequence[Line]

    def read(self, calendar: Any) -> list[Selection]:
        """What the reader says."""
        return read_selections(MemoryFiles(self.files), self.start, self.end, calendar)

    def altered(self, price: int, move: timedelta, names: Mapping[str, str]) -> UniverseQuestion:
        """The same question about other prices, days and tickers."""
        files = {
            _moved(path, move): "\n".join(_altered_row(line, price, names) for line in text.split("\n"))
            for path, text in self.files.items()
            if "/coarse/" in path
        }
        fed = [_altered_line(line, price, move, names) for line in self.fed]
        return UniverseQuestion(self.start + move, self.end + move, files, fed)


def universe_questions() -> dict[str, UniverseQuestion]:
    """All recorded questions about universe files by name."""
    found = {}
    for path in sorted(RECORDED.glob("universe*.json")):
        one = json.loads(path.read_text("utf-8"))
        start, end = (day_of(one["parameters"][name]) for name in ("start", "end"))
        found[path.stem] = UniverseQuestion(start, end, one["files"], [_line_of(text) for text in one["fed"]])
    return found


def lines_of(selections: Sequence[Selection]) -> list[Line]:
    """What is offered, in the form of the engine's lines."""
    found: list[Line] = []
    for one in selections:
        rows = sorted(one.rows, key=lambda row: -row.dollar_volume)
        found.append(("universe", one.day, len(rows), sum(row.has_fundamental_data for row in rows)))
        found += [
            (
                "top",
                *(row.security_id, row.ticker, row.price, row.volume, row.dollar_volume),
                *(row.price_factor, row.split_factor, one.trading_day, one.trading_day + timedelta(days=1)),
            )
            for row in rows[:TOP]
        ]
    return found


def _line_of(text: str) -> Line:
    what, *fields = text.split()
    if what == "universe":
        day, midnight, count, _, fundamentals = fields
        assert midnight == "00:00"
        return (what, day_of(day), int(count), int(fundamentals))
    numbers = (Decimal(fields[3]), int(fields[4]), float(fields[5]), Decimal(fields[6]), Decimal(fields[7]))
    return (what, " ".join(fields[:2]), fields[2], *numbers, *map(day_of, fields[8:]))


def _altered_row(line: str, price: int, names: Mapping[str, str]) -> str:
    fields = line.split(",")
    if len(fields) < 5:
        return line
    fields[:2] = [_renamed(fields[0], names), _renamed(fields[1], names)]
    fields[2], fields[4] = (str(Decimal(fields[at]) * price) for at in (2, 4))
    return ",".join(fields)


def _altered_line(line: Line, price: int, move: timedelta, names: Mapping[str, str]) -> Line:
    what, *fields = line
    if what == "universe":
        return (what, fields[0] + move, *fields[1:])
    security_id, ticker, close, volume, dollars, *factors, begin, end = fields
    texts = (_renamed(security_id, names), _renamed(ticker, names))
    return (what, *texts, close * price, volume, dollars * price, *factors, begin + move, end + move)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    first, space, rest = text.partition(" ")
    return names.get(first, first) + space + rest


def _moved(path: str, move: timedelta) -> str:
    return re.sub(r"\d{8}", lambda found: f"{day_of(found[0]) + move:%Y%m%d}", path)
