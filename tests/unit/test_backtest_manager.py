"""What a backtest request comes to: the request's own values, else the project's, else an error."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.backtest_server import BacktestManager, BacktestRequest, BacktestResult, JobState, Phase, resolve
from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError
from server.core.events import EventListener, EventStream
from server.data_download.errors import ProviderUnavailable
from server.jobs.queue import MAX_RUNNING
from server.lean.series import Resolution

PARAMETERS = """
SYMBOLS = ["AAPL", "msft"]
RESOLUTION = "daily"
START_DATE = "2024-01-03"
END_DATE = "2024-01-10"
"""
OWN = {"symbols": ("SPY",), "resolution": Resolution.SECOND, "start": date(2024, 2, 1), "end": date(2024, 2, 2)}
PROJECTS = {
    "symbols": ("AAPL", "MSFT"),
    "resolution": Resolution.DAILY,
    "start": date(2024, 1, 3),
    "end": date(2024, 1, 10),
}
NOW = datetime(2024, 6, 3, tzinfo=UTC)


def project(folder: Path, parameters: str | None = PARAMETERS) -> Path:
    """A LEAN project with these parameters."""
    (folder / "config").mkdir(parents=True)
    (folder / "main.py").write_text("")
    if parameters is not None:
        (folder / "config" / "parameters.py").write_text(parameters)
    return folder


def values(request: BacktestRequest) -> dict[str, Any]:
    """What a request asks for."""
    return {name: getattr(request, name) for name in OWN}


def test_the_project_says_everything(tmp_path: Path) -> None:
    """A request that names only the project takes symbols, resolution and days from it."""
    assert values(resolve(BacktestRequest(project=project(tmp_path)))) == PROJECTS


def test_the_projects_main_file_names_it_as_well(tmp_path: Path) -> None:
    """As LEAN's CLI takes it."""
    assert values(resolve(BacktestRequest(project=project(tmp_path) / "main.py"))) == PROJECTS


@pytest.mark.parametrize("name", ["symbols", "resolution", "start", "end"])
def test_the_request_stands_above_the_project(tmp_path: Path, name: str) -> None:
    """Each value by itself; the others stay the project's."""
    own = OWN[name] if name != "start" else date(2024, 1, 5)
    resolved = resolve(BacktestRequest(project=project(tmp_path), **{name: own}))

    assert values(resolved) == {**PROJECTS, name: own}


def test_a_complete_request_needs_no_parameters(tmp_path: Path) -> None:
    """The project's file is not even looked for."""
    folder = project(tmp_path, None)

    assert values(resolve(BacktestRequest(project=folder, **OWN))) == OWN


def test_without_a_project_the_request_says_everything() -> None:
    """The resolution is minute where nobody says."""
    request = BacktestRequest(symbols=("SPY",), start=date(2024, 2, 1), end=date(2024, 2, 2))

    assert values(resolve(request)) == {**OWN, "resolution": Resolution.MINUTE}


def test_a_project_that_says_no_resolution_means_minute(tmp_path: Path) -> None:
    """Though the file is read for it."""
    folder = project(tmp_path, PARAMETERS.replace('RESOLUTION = "daily"', ""))

    assert resolve(BacktestRequest(project=folder)).resolution is Resolution.MINUTE


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (BacktestRequest(), "needs --symbols, --start, --end"),
        (BacktestRequest(symbols=("SPY",), start=date(2024, 1, 2)), "needs --end"),
        (BacktestRequest(symbols=(), start=date(2024, 1, 2), end=date(2024, 1, 3)), "no symbol was given"),
        (
            BacktestRequest(symbols=("SPY",), start=date(2024, 1, 3), end=date(2024, 1, 2)),
            "the end 2024-01-02 lies before the start 2024-01-03",
        ),
        (BacktestRequest(symbols=("../x",), start=date(2024, 1, 2), end=date(2024, 1, 3)), "is not a US equity symbol"),
    ],
)
def test_a_request_that_makes_no_backtest(request_: BacktestRequest, words: str) -> None:
    """It is refused with what is missing or wrong."""
    with pytest.raises(ConfigurationError, match=words):
        resolve(request_)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (None, "has no config/parameters.py"),
        ("", "gives no symbols and no start and no end; add it there or give --symbols and --start and --end"),
        (PARAMETERS.replace("END_DATE", "LAST"), "gives no end; add it there or give --end"),
        (PARAMETERS.replace('"2024-01-10"', "today()"), "parameters.py:5: END_DATE cannot be known without running"),
        (PARAMETERS.replace('"daily"', '"hour"'), "RESOLUTION does not fit: 'hour' is not a resolution"),
        (PARAMETERS.replace("2024-01-10", "2024-01-01"), "the end 2024-01-01 lies before the start 2024-01-03"),
        ("SYMBOLS = [", "not valid Python"),
    ],
)
def test_a_project_that_makes_no_backtest(tmp_path: Path, parameters: str | None, words: str) -> None:
    """It is refused with the file's name and what is missing or wrong."""
    with pytest.raises(ConfigurationError, match=words):
        resolve(BacktestRequest(project=project(tmp_path, parameters)))


def test_a_request_and_a_project_that_do_not_go_together(tmp_path: Path) -> None:
    """A start of one's own after the project's end."""
    with pytest.raises(ConfigurationError, match="the end 2024-01-10 lies before the start 2024-02-01"):
        resolve(BacktestRequest(project=project(tmp_path), start=date(2024, 2, 1)))


def test_there_is_no_such_project(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(ConfigurationError, match=r"there is no LEAN project at .*nowhere"):
        resolve(BacktestRequest(project=tmp_path / "nowhere"))


class Untouchable:
    """A workspace of which only the stream of events may be used."""

    def events(self, *listeners: EventListener) -> EventStream:
        """The stream."""
        return EventStream(lambda: NOW, listeners)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def manager(**workspace: Any) -> BacktestManager:
    """A manager over a workspace that has only these attributes."""
    found: Any = Untouchable()
    found.__dict__.update(workspace)
    return BacktestManager(found, environ={})


def test_a_bad_request_is_a_failed_result() -> None:
    """`run` raises nothing of ours, touches nothing, and gives the error."""
    found = manager()

    result = found.run(BacktestRequest())

    assert result.state is JobState.FAILED
    assert isinstance(result.error, ConfigurationError)
    assert (result.phases, result.download, result.engine_result) == ((), None, None)
    found.close()


def test_a_bad_request_is_not_queued() -> None:
    """`submit` refuses it there and then."""
    found = manager()

    with pytest.raises(ConfigurationError):
        found.submit(BacktestRequest())
    found.close()


def test_a_backtest_that_is_cancelled_before_it_begins_does_nothing() -> None:
    """Not even the first phase is entered."""
    cancel = CancelToken()
    cancel.cancel()
    found = manager()

    result = found.run(BacktestRequest(**OWN), cancel)

    assert result.state is JobState.CANCELLED
    assert result.phases == ()
    found.close()


@pytest.mark.parametrize("method", ["status", "cancel", "retry"])
def test_an_unknown_job(method: str) -> None:
    """It is a KeyError."""
    found = manager(clock=lambda: datetime(2024, 6, 3, tzinfo=UTC))

    with pytest.raises(KeyError):
        getattr(found, method)("nothing")
    found.close()


def test_a_job_that_breaks_unexpectedly_has_failed() -> None:
    """It does not stay running for ever."""

    class Boom(Untouchable):
        def downloader(self, **_: object) -> None:
            raise ZeroDivisionError

        def clock(self) -> datetime:
            return NOW

    found = BacktestManager(Boom(), environ={})  # type: ignore[arg-type]
    job = found.jobs.wait(found.submit(BacktestRequest(**OWN, only_data=True)), 10)

    assert job.state is JobState.FAILED
    assert "ended unexpectedly (ZeroDivisionError)" in job.result["error"]["message"]
    found.close()


def test_a_job_that_waits_for_its_turn_is_cancelled_at_once() -> None:
    """It does not wait for those before it to end."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Busy(Untouchable):
        def downloader(self, **_: object) -> None:
            begun.release()
            go_on.wait(10)
            raise ProviderUnavailable("it is down")

        def clock(self) -> datetime:
            return NOW

    found = BacktestManager(Busy(), environ={})  # type: ignore[arg-type]
    jobs = [found.submit(BacktestRequest(**OWN, only_data=True)) for _ in range(MAX_RUNNING + 1)]
    for _ in range(MAX_RUNNING):
        assert begun.acquire(timeout=10)
    assert found.status(jobs[-1]).state is JobState.QUEUED

    found.cancel(jobs[-1])

    assert found.status(jobs[-1]).state is JobState.CANCELLED
    assert [found.status(job).state for job in jobs[:-1]] == [JobState.RUNNING] * MAX_RUNNING
    go_on.set()
    found.close()


def test_a_request_survives_being_stored() -> None:
    """A job's request is kept as JSON and made again from it."""
    for request in (
        BacktestRequest(),
        BacktestRequest(project=Path("examples"), **OWN, engine="smoke", provider="polygon", only_data=True),
    ):
        assert BacktestRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


def test_a_result_in_json() -> None:
    """It has what was asked, what was done and what went wrong, in JSON's own types."""
    result = BacktestResult(
        state=JobState.FAILED,
        request=BacktestRequest(project=Path("examples"), **OWN),
        phases=(Phase(name="data_download", started_at=datetime(2024, 6, 3, tzinfo=UTC), duration_s=0.12345678),),
        error=ProviderUnavailable("it is down"),
    )

    assert result.as_json() == {
        "state": "failed",
        "project": "examples",
        "symbols": ["SPY"],
        "resolution": "second",
        "start": "2024-02-01",
        "end": "2024-02-02",
        "phases": [{"name": "data_download", "started_at": "2024-06-03T00:00:00+00:00", "duration_s": 0.123457}],
        "download": None,
        "engine_choice": None,
        "engine": None,
        "error": {"code": "provider_unavailable", "message": "it is down"},
    }


def test_a_request_survives_json() -> None:
    """A job's request is read back from the store as it was given."""
    full = BacktestRequest(project=Path("examples"), **OWN, engine="smoke", provider="polygon", only_data=True)

    assert BacktestRequest.from_json(full.as_json()) == full
    assert BacktestRequest.from_json(BacktestRequest().as_json()) == BacktestRequest()
