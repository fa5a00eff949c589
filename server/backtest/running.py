"""A backtest under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from attrs import define, evolve

from server.backtest.result import BacktestResult, Phase
from server.backtest.rounds import Round
from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.events import Event, EventStream
from server.engines.base import EngineProgress

DATA_DOWNLOAD, ENGINE = "data_download", "engine"
"""The phases of a backtest."""

_T = TypeVar("_T")


@define
class RunningBacktest:
    """A backtest under way.

    Attributes:
        result: Its result so far.
        cancel: Stops it.
        events: Receive what happens.
        watch: Receives the result each time it grows.
    """

    result: BacktestResult
    cancel: CancelToken
    events: EventStream
    watch: Callable[[BacktestResult], object]

    def advance(self, **changes: Any) -> None:
        """Add to the result and pass it on."""
        self.result = evolve(self.result, **changes)
        self.watch(self.result)

    def notice(self, message: str) -> None:
        """Emit a line of text of the engine's phase."""
        self.events.emit(Event(kind="notice", phase=ENGINE, message=message))

    def report_progress(self, progress: EngineProgress, added: EngineProgress) -> None:
        """Pass on how far the engine has come, and as an event what is new of it."""
        self.advance(progress=progress)
        self.events.emit(Event(kind="engine_progress", phase=ENGINE, progress=added))

    def finish_round(self, part: Round) -> None:
        """Add a run of LEAN that is over."""
        self.advance(rounds=(*self.result.rounds, part))
        self.events.emit(Event(kind="round", phase=ENGINE, message=part.sentence))

    def stop_if_cancelled(self, where: str) -> None:
        """Raise where the backtest was cancelled.

        Raises:
            Cancelled: It was; the text has `where`.
        """
        if self.cancel.cancelled:
            raise Cancelled(f"the backtest was stopped before it {where}")

    def timed(self, name: str, clock: Callable[[], datetime], work: Callable[[], _T]) -> _T:
        """Run a phase and add its start and duration to the result.

        Args:
            name: The phase.
            clock: Returns the current instant in UTC.
            work: The phase itself.
        """
        self.events.emit(Event(kind="phase", phase=name))
        started_at, started = clock(), time.perf_counter()
        try:
            return work()
        finally:
            phase = Phase(name=name, started_at=started_at, duration_s=time.perf_counter() - started)
            self.advance(phases=(*self.result.phases, phase))
