"""What LEAN's engine makes of rows that are not as LEAN writes them.

The engine takes field after field from the text, not line after line, and validates nothing (LEAN:
``StreamReaderExtensions.GetInt32``, ``GetDecimal``, ``GetDateTime``; ``TradeBar.StreamParseNoScale``, ``Reader``).
After a row with too few or too many fields every later field is taken for another one, until a row restores the order.
Bars that do not end later than the one before them are dropped (LEAN: ``SubscriptionDataReader``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.lean.days import MS_PER_DAY, is_instant
from server.lean.engine_numbers import UnreadableNumberError, decimal_number, whole_number

EngineRow = tuple[int, tuple[float, ...]]
"""A label (milliseconds of the day, or the number yyyyMMddHHmm), and five numbers as in the file."""

_FIELD = re.compile(r" *(-?)([^,\n ]*)(?:[,\n ]|$)")
_LABEL = re.compile(r" *([^,\n]*)")
_DATED = re.compile(r"(\d{8}) (\d\d):(\d\d)")
_LABEL_WIDTH = 14
_PLAIN = re.compile(r"\d{1,18}(?:\.\d{1,18})?")


class _Stream:
    """The text of a file, taken field by field. Line ends are LF."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def is_at_end(self) -> bool:
        return self.at >= len(self.text)

    def skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def milliseconds(self) -> int:
        sign, field = self._field()
        value = whole_number(field, 32)
        return -value if sign else value

    def number(self) -> float:
        sign, field = self._field()
        if _PLAIN.fullmatch(field):
            return -float(field) if sign else float(field)
        value, places = decimal_number(field)
        scaled: float = value / 10**places
        return -scaled if sign else scaled

    def instant(self) -> int:
        found = _LABEL.match(self.text, self.at)
        field = found[1] if found else ""
        begin = found.start(1) if found else self.at
        if len(field) > _LABEL_WIDTH:
            self.at = begin + _LABEL_WIDTH + 1
            raise UnreadableNumberError
        self.at = begin + len(field) + 1
        parts = _DATED.fullmatch(field)
        number = int("".join(parts.groups())) if parts else 0
        if not is_instant(number):
            raise UnreadableNumberError
        return number

    def _field(self) -> tuple[str, str]:
        found = _FIELD.match(self.text, self.at)
        if found is None:
            return "", ""
        self.at = found.end()
        return found[1], found[2]


def engine_rows(text: str, *, dated: bool) -> list[EngineRow]:
    """Return the bars that the engine feeds, in its order.

    Args:
        text: The CSV; line ends are LF, without byte order mark.
        dated: Whether rows begin with a day and a time, not with milliseconds.
    """
    fed: list[EngineRow] = []
    for label, numbers in _read(_Stream(text), dated=dated):
        if not fed or label > fed[-1][0]:
            fed.append((label, numbers))
    return [row for row in fed if dated or 0 <= row[0] < MS_PER_DAY]


def _read(stream: _Stream, *, dated: bool) -> Iterator[EngineRow]:
    while not stream.is_at_end():
        try:
            label = stream.instant() if dated else stream.milliseconds()
            numbers = tuple(stream.number() for _ in range(5))
        except UnreadableNumberError:  # the engine goes on with the next line
            stream.skip_line()
            continue
        yield label, numbers
