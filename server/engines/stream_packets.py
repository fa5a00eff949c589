"""Packets of LEAN's live stream, parsed (LEAN: ``StreamingMessageHandler`` sends each as one JSON text).

While a backtest runs, a packet ``BacktestResult`` every three seconds for each chart has the points since the last one;
others have the new orders, statistics and LEAN's analysis; the last one has the whole result. ``Debug``, ``Log`` and
errors are lines that the log then does not have. The first packet, ``BacktestNode``, holds the algorithm in base64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from typing import Any

import msgspec
from attrs import define, field, frozen

from server.engines.base import EngineProgress
from server.engines.results_files import equity_by_day, equity_of, get_any

_LINES = {
    "debug": "Debug: ",
    "systemdebug": "Debug: ",
    "log": "Log: ",
    "runtimeerror": "Error: ",
    "handlederror": "Error: ",
}
"""The packets that are lines of text by their type in lower case, with how LEAN begins such a line in its log."""

_RESULT = "backtestresult"


@frozen(kw_only=True)
class StreamPacket:
    """What a packet says about the progress of a run.

    Attributes:
        fraction: From 0 to 1; None where the packet does not say.
        values: Values of the equity curve by day: new days, and the last day again.
        orders: The largest id of an order; 0 without orders, None where the packet is no result.
        lines: Lines of text.
    """

    fraction: float | None = None
    values: Mapping[date, float] = field(factory=dict)
    orders: int | None = None
    lines: tuple[str, ...] = ()


@define
class StreamProgress:
    """The progress of a run, added up from the packets of its stream. One value a day is stored."""

    _fraction: float | None = None
    _values: dict[date, float] = field(factory=dict)
    _orders: int | None = None

    def add(self, packet: StreamPacket) -> bool:
        """Add a packet; returns whether the progress changed."""
        before = (self._fraction, self._orders, len(self._values))
        if packet.fraction is not None:
            self._fraction = max(packet.fraction, self._fraction or 0.0)
        if packet.orders is not None:
            self._orders = max(packet.orders, self._orders or 0)
        new_values = any(self._values.get(day) != value for day, value in packet.values.items())
        self._values.update(packet.values)
        return new_values or before != (self._fraction, self._orders, len(self._values))

    def progress(self) -> EngineProgress:
        """Return the progress so far."""
        return EngineProgress(fraction=self._fraction, equity=equity_by_day(self._values), orders=self._orders)


def parse_packet(payload: bytes) -> StreamPacket | None:
    """Parse a packet.

    Args:
        payload: The message as it was received.

    Returns:
        A packet without content for a type that says nothing about the progress; None if it is not a packet of LEAN.
    """
    packet = _object(payload)
    kind = _text(get_any(packet, "Type")).lower() if packet is not None else ""
    if packet is None or not kind:
        return None
    if kind in _LINES:
        return StreamPacket(lines=tuple(_lines(_LINES[kind], _text(get_any(packet, "Message")))))
    if kind == _RESULT:
        return _result_packet(packet)
    return StreamPacket()


def largest_order(keys: Iterable[str]) -> int:
    """Return the largest id of LEAN's orders, which count from 1, so that it is their number; 0 without orders."""
    return max((int(key) for key in keys if key.isascii() and key.isdigit() and len(key) < _MOST_DIGITS), default=0)


_MOST_DIGITS = 19


def _result_packet(packet: Mapping[str, msgspec.Raw]) -> StreamPacket:
    results = _object(get_any(packet, "Results")) or {}
    charts = _object(get_any(results, "Charts")) or {}
    equity = equity_of(charts)
    return StreamPacket(
        fraction=_fraction(_decoded(get_any(packet, "Progress"))),
        values=dict(zip(equity.dates, equity.values, strict=True)),
        orders=largest_order(_object(get_any(results, "Orders")) or {}),
    )


def _lines(beginning: str, message: str) -> Iterable[str]:
    for line in message.splitlines():
        if line.strip():
            yield f"{beginning}{line.rstrip()}"
            beginning = ""


def _fraction(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(min(max(value, 0), 1))


def _object(content: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    """Decode an object of JSON, its values left encoded; None for anything else."""
    if content is None:
        return None
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    return None


def _decoded(content: msgspec.Raw | None) -> Any:
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(content) if content is not None else None
    return None


def _text(content: msgspec.Raw | None) -> str:
    value = _decoded(content)
    return value if isinstance(value, str) else ""
