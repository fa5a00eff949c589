"""Rounds of LEAN over a data folder: a run that finds out what is missing as LEAN does, and its downloader."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from server.backtest.run_data import RunData
from server.core.cancel import CancelToken
from server.data_download.hosted_provider import HostedProvider
from server.engines.base import AlgorithmFailedError, EngineResult
from server.engines.results import read_run
from tests.support.harness import NOW, Rig, calendar
from tests.support.lean_runs import ENGINE_START, log_text, result_of, write_run

FAILED = {"Status": "RuntimeError", "RuntimeError": "no bars", "StackTrace": ""}


class LeanRuns:
    """Runs of LEAN that request files of a data folder and leave a results folder each."""

    def __init__(self, folder: Path, data: Path, start: date, end: date) -> None:
        self.folder, self.data = folder, data
        self.start, self.end = start, end
        self.requests: list[str] = []
        self.benchmark = "SPY"
        self.fails_without: str | None = None
        self.runs: list[tuple[str, ...]] = []

    def request(self, *paths: str) -> None:
        """Request these files in each run."""
        self.requests += paths

    def __call__(self) -> EngineResult:
        """Run once; the algorithm fails where the file of `fails_without` is missing."""
        missing = [path for path in self.requests if not (self.data / path).is_file()]
        self.runs.append(tuple(missing))
        state: dict[str, Any] = {"state": FAILED} if self.fails_without in missing else {}
        log = log_text(
            ENGINE_START, f"UniverseSelection.AddPending(): Adding internal benchmark data feed {self.benchmark},"
        )
        folder = write_run(
            self.folder / str(len(self.runs)),
            result=result_of(self.start.isoformat(), self.end.isoformat(), **state),
            log=log,
            failed=[f"/{path}" for path in missing],
            succeeded=[f"/{path}" for path in self.requests if path not in missing],
        )
        run = read_run(folder, NOW, ended=True)
        if state:
            raise AlgorithmFailedError("the algorithm failed: no bars", run)
        at = datetime(2024, 6, 3, tzinfo=UTC)
        return EngineResult(
            engine="lean-native",
            summary=(),
            statistics={},
            bars=0,
            days=0,
            started_at=at,
            finished_at=at,
            duration_s=0.0,
            results_folder=folder,
            verdict=run.verdict,
            missing=run.missing,
            lean_run=run,
        )


@contextmanager
def run_data(root: Path, provider: HostedProvider) -> Iterator[RunData]:
    """The data folder ``data`` below a root, whose bars come from a provider."""
    rig = Rig(root)
    with rig.downloader(provider) as downloader:
        yield RunData(
            folder=downloader.folder,
            calendar=calendar(),
            clock=lambda: NOW,
            downloader=downloader,
            cancel=CancelToken(),
        )


def minute_path(ticker: str, day: date) -> str:
    """The path of a file of minutes."""
    return f"equity/usa/minute/{ticker.lower()}/{day:%Y%m%d}_trade.zip"


def write_daily(data: Path, ticker: str, days: Iterable[date], folder: str = "daily") -> str:
    """Write a daily file, or one of hours with a row at 10:00; return its path."""
    hour = "00:00" if folder == "daily" else "10:00"
    rows = "\n".join(f"{day:%Y%m%d} {hour},1000000,1000000,1000000,1000000,100" for day in days)
    path = f"equity/usa/{folder}/{ticker.lower()}.zip"
    (data / path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(data / path, "w") as archive:
        archive.writestr(f"{ticker.lower()}.csv", rows)
    return path
