"""How far an engine has come, as jobs, events and listeners have it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.core.errors import ToolFailedError
from server.core.events import Event
from server.data_download.report import DownloadReport
from server.engines.base import EngineProgress, EngineRequest, EngineResult, Equity
from server.engines.choose import EngineChoice
from server.jobs import JobState
from tests.support.managers import DAYS, MARKET, MakeManager, StandIn, ended, managers, request
from tests.support.patience import PATIENCE

NOW = datetime(2024, 6, 3, tzinfo=UTC)
FAR = EngineProgress(
    fraction=0.4, equity=Equity((date(2024, 3, 4), date(2024, 3, 5)), (100_000.0, 100_500.5)), orders=7
)


class PacedEngine:
    """An engine that reports once and waits."""

    name = "paced"

    def __init__(self) -> None:
        self.reported, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None],
    ) -> EngineResult:
        """Run."""
        on_progress(FAR)
        self.reported.set()
        assert self.go_on.wait(PATIENCE)
        if self.error:
            raise self.error
        return EngineResult(
            engine=self.name,
            summary=(),
            statistics={},
            bars=1,
            days=1,
            started_at=NOW,
            finished_at=NOW,
            duration_s=0.0,
            analysis=({"name": "X", "issue": "Y", "sample": {"p": 0.5}, "solutions": ["Z"]},),
        )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> PacedEngine:
    """The engine of every backtest."""
    found = PacedEngine()
    choice = EngineChoice(engine=found, why="of the test")
    monkeypatch.setattr("server.engines.choose.choose_engine", lambda *_, **__: choice)
    return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[MakeManager]:
    """A manager over a provider that has all data."""
    with managers(tmp_path) as make:
        yield lambda **more: make(
            None, also=StandIn(MARKET).spec(), environ={"BACKTEST_SERVER_DATA_PROVIDER": "stand-in"}, **more
        )


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_has_progress_while_its_engine_runs(engine: PacedEngine, manager: MakeManager, fails: bool) -> None:
    """Day, fraction, equity and orders; not before, and not once it has ended, however it ended."""
    if fails:
        engine.error = ToolFailedError("the algorithm failed")
    found = manager()
    identity = found.submit(request())
    assert engine.reported.wait(PATIENCE)

    running = found.status(identity).result
    engine.go_on.set()
    job = ended(found, identity)

    assert running["progress"] == {
        "fraction": 0.4,
        "equity": {"dates": ["2024-03-04", "2024-03-05"], "values": [100_000.0, 100_500.5]},
        "orders": 7,
        "day": "2024-03-05",
    }
    assert job.state is (JobState.FAILED if fails else JobState.COMPLETED)
    assert "progress" not in job.result
    (event,) = [one.data for one in found.jobs.store.events(identity) if one.data["kind"] == "engine_progress"]
    assert (event["progress"], event["phase"]) == (running["progress"], "engine")
    assert event["text"] == "backtest at 2024-03-05: 40%, equity $100,500.50, 7 orders"


def test_listeners_receive_progress(engine: PacedEngine, manager: MakeManager) -> None:
    """Plugins too; the result of a call ends without progress, and has LEAN's analysis."""
    events: list[Event] = []
    results: list[Any] = []
    engine.go_on.set()

    result = manager(listeners=[events.append]).run(request(), watch=results.append)

    assert [event.progress for event in events if event.kind == "engine_progress"] == [FAR]
    assert FAR in [one.progress for one in results]
    assert result.state is JobState.COMPLETED, result.error
    assert result.progress is None
    assert isinstance(result.download, DownloadReport)
    assert result.download.days_downloaded == len(DAYS)
    assert result.engine_result is not None
    assert result.engine_result.analysis[0]["sample"] == {"p": 0.5}
