"""The stream of events that downloads and backtests emit, and the event itself.

The terminal's progress bar, a job's page, the log, the metrics, plugins and the counts of a report are listeners.
Removing one does not change a download.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from attrs import Factory, define, evolve, field, fields, frozen

from server.core.json import json_options

if TYPE_CHECKING:
    from server.lean.series import Resolution, Series

EventKind = Literal[
    "started",
    "symbol",
    "days",
    "request",
    "retry",
    "wait",
    "notice",
    "phase",
    "engine_progress",
    "round",
    "finished",
]
"""What an event reports:

started: a download begins; ``days`` symbol-days are missing, ``days_present`` are present.
symbol: the gap of one series begins; ``days`` of it are missing.
days: ``days`` of ``series`` had the ``outcome``, with ``bars`` bars.
request: ``api_calls`` requests were answered with ``bytes`` bytes, or ``cache_hits`` by the HTTP cache.
retry: a request failed and is sent again after ``wait_seconds``; ``message`` says why it failed.
wait: the request budget or another run makes this one wait ``wait_seconds``.
notice: ``message`` is text for the user; it is part of the report unless it is ``transient``.
phase: a backtest entered ``phase``.
engine_progress: the engine has come further; ``progress`` says how far.
round: a run of LEAN and what was fetched after it are over; ``message`` says what.
finished: the download is over.
"""

Outcome = Literal["", "downloaded", "provisional", "empty", "failed"]

_KINDS = frozenset(get_args(EventKind))
_EPOCH = datetime.fromtimestamp(0, UTC)


def _is_kind(instance: object, attribute: object, value: str) -> None:
    if value not in _KINDS:
        raise ValueError(f"{value!r} is not a kind of event; use one of {', '.join(sorted(_KINDS))}")


@frozen(kw_only=True)
class Event:
    """An event of a download or backtest. Counts are increments, so a listener adds them up.

    Attributes:
        kind: What it reports; see `EventKind`.
        at: The instant, in UTC; set by the stream.
        phase: The phase of the run: ``data_download``, ``corporate_actions`` or ``engine``.
        provider: The name of the data provider.
        symbol: The ticker of the series, or the symbol concerned where there is no series.
        resolution: The resolution of the series, or of the download.
        outcome: What became of the days, for the kind ``days``.
        days, days_present, bars, bytes, api_calls, cache_hits, retries: Increments of counts; `bytes` as received.
        status: The HTTP status of the response, if there is one.
        wait_seconds: How long the run waits.
        message: Text for the user.
        transient: Whether a notice is left out of the report.
        progress: The `EngineProgress`, for the kind ``engine_progress``; its equity curve replaces the one so far from
            its own first day on.
        report: The `DownloadReport`, for the last event of a download.
    """

    kind: EventKind = field(validator=_is_kind)
    at: datetime = _EPOCH
    phase: str = "data_download"
    provider: str = ""
    series: Series | None = field(default=None, metadata=json_options(omit=True))
    symbol: str | None = field()
    resolution: Resolution | None = field()
    outcome: Outcome = ""
    days: int = 0
    days_present: int = 0
    bars: int = 0
    bytes: int = 0
    api_calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    status: int | None = None
    wait_seconds: float = 0.0
    message: str = ""
    transient: bool = field(default=False, metadata=json_options(omit=True))
    progress: Any = field(default=None, repr=False)
    report: Any = field(default=None, eq=False, repr=False, metadata=json_options(omit=True))

    @symbol.default
    def _symbol_of_series(self) -> str | None:
        return self.series.ticker if self.series else None

    @resolution.default
    def _resolution_of_series(self) -> Resolution | None:
        return self.series.resolution if self.series else None


@define
class EventCounts:
    """The counts of events, added up, and the notices for the report (an `EventListener`). Thread-safe."""

    api_calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    bytes: int = 0
    bars: int = 0
    notices: list[str] = Factory(list)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __call__(self, event: Event, /) -> None:
        """Add an event."""
        with self._lock:
            if event.kind == "notice" and not event.transient and event.message not in self.notices:
                self.notices.append(event.message)
            self._add(event)

    def _add(self, event: Event) -> None:
        self.api_calls += event.api_calls
        self.cache_hits += event.cache_hits
        self.retries += event.retries
        self.bytes += event.bytes
        self.bars += event.bars


class EventListener(Protocol):
    """Receives events from several threads at once; must return quickly and must not raise."""

    def __call__(self, event: Event, /) -> None:
        """Receive an event."""


class EventStream:
    """Passes events to listeners and fills in the fields of its scope. Immutable and thread-safe."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        listeners: Sequence[EventListener] = (),
        scope: dict[str, Any] | None = None,
    ) -> None:
        """Create a stream.

        Args:
            clock: Returns the current instant in UTC.
            listeners: Receive every event.
            scope: Values for fields of `Event` that an event leaves at their default.
        """
        self.clock = clock
        self._listeners = tuple(listeners)
        self._scope = scope or {}

    def emit(self, event: Event) -> None:
        """Pass an event to every listener."""
        if not self._listeners:
            return
        event = evolve(event, **self._missing(event), at=self.clock())
        for listener in self._listeners:
            listener(event)

    def scoped(self, **fields: Any) -> EventStream:
        """Return a stream to the same listeners that also fills in these fields."""
        return EventStream(self.clock, self._listeners, {**self._scope, **fields})

    def with_listeners(self, *listeners: EventListener) -> EventStream:
        """Return a stream with the same scope that also passes events to these listeners."""
        return EventStream(self.clock, (*self._listeners, *listeners), self._scope)

    def _missing(self, event: Event) -> dict[str, Any]:
        return {name: value for name, value in self._scope.items() if getattr(event, name) == _DEFAULTS[name]}


_DEFAULTS = {attribute.name: attribute.default for attribute in fields(Event)} | {"symbol": None, "resolution": None}
