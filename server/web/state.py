"""State that the routes share, and what they read from it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from server.backtest_server import BacktestManager
from server.core.disk_space import check_writable
from server.core.errors import BusyError, NotFoundError, WriteFailedError
from server.jobs import Job, JobStore
from server.jobs.database import WRITE_SECONDS
from server.observability.benchmark_archive import read_runs
from server.plugins.overview import SettingValue, provider_overview, reason_of_choice
from server.web import models
from server.web.access import Access
from server.web.events import EventHub
from server.web.wrong_tokens import WrongTokens
from server.workspace import Workspace

_MOST_RUNS = 100
_MOST_WRITERS = 16
"""Requests that may write the job database at once; each has one of the 40 threads of the framework."""


def not_found(what: str) -> NotFoundError:
    """The error for something that does not exist."""
    return NotFoundError(f"there is no {what}")


@frozen(kw_only=True, eq=False)
class State:
    """The server's workspace, manager, rules and folders; created once, at start."""

    workspace: Workspace
    manager: BacktestManager
    access: Access
    projects: Path
    benchmarks: Path
    hub: EventHub
    wrong_tokens: WrongTokens
    _writers: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(_MOST_WRITERS), init=False)

    @property
    def store(self) -> JobStore:
        """The stored jobs."""
        return self.manager.jobs.store

    def job(self, identity: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: No job has this id.
        """
        try:
            return self.manager.status(identity)
        except KeyError as error:
            raise not_found(f"job {identity}") from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Limit the requests that wait for the job database, so that they leave threads to those that only read.

        Raises:
            BusyError: Others have waited all the time.
        """
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writers.acquire()
        except TimeoutError as error:
            raise BusyError("too many requests wait for the job database; try again later") from error
        try:
            yield
        finally:
            self._writers.release()

    def check_disk(self) -> None:
        """Write a temporary file into the state folder.

        Raises:
            WriteFailedError: It cannot be written; `DiskFullError` where the disk is full.
        """
        check_writable(self.workspace.settings.state_folder)

    def cancel(self, identity: str) -> Job:
        """Cancel a job, and wait at most two seconds for its end.

        Raises:
            NotFoundError: No job has this id.
        """
        try:
            self.manager.cancel(identity)
            return self.manager.jobs.wait(identity, 2.0)
        except KeyError as error:
            raise not_found(f"job {identity}") from error

    def known_provider(self, name: str | None) -> str | None:
        """Return the name, if the provider is installed.

        Raises:
            ConfigurationError: It is not installed.
        """
        return self.workspace.plugins.provider(name).spec.name if name is not None else None

    def providers(self) -> models.ProvidersAnswer:
        """The installed providers, the chosen one, and the settings in force."""
        overview = provider_overview(self.workspace.settings, self.workspace.plugins)
        return models.ProvidersAnswer(
            chosen=overview.choice.name,
            why=reason_of_choice(overview),
            fallback=overview.fallback,
            providers=[
                models.ProviderInfo(
                    name=one.name,
                    summary=one.summary,
                    distribution=one.distribution,
                    settings=_setting_values(one.settings),
                    problem=one.problem,
                )
                for one in overview.providers
            ],
            problems=[models.PluginProblemInfo(plugin=one.plugin, reason=one.reason) for one in overview.problems],
            settings=_setting_values(overview.settings),
        )

    def engines(self) -> models.EnginesAnswer:
        """What each engine finds and lacks, and which one is chosen; programs are asked, so not on the event loop."""
        overview = self.manager.engines()
        return models.EnginesAnswer(
            chosen=overview.chosen,
            why=overview.why,
            engines=[
                models.EngineInfo(
                    name=one.name,
                    ready=one.ready,
                    found=one.found,
                    lacks=[models.MissingRequirementInfo(what=lack.what, fix=lack.fix) for lack in one.lacks],
                )
                for one in overview.engines
            ],
        )

    def benchmark_runs(self) -> list[dict[str, Any]]:
        """The runs of the archive (``<date>-<commit>/results.json``), the newest first; unreadable ones left out."""
        return read_runs(self.benchmarks, _MOST_RUNS)

    def health(self) -> models.Health:
        """Check whether the server can work, and why not."""
        folder = self.workspace.settings.data_folder
        writable = os.access(folder if folder.is_dir() else folder.parent, os.W_OK)
        problem = None if writable else f"{folder} cannot be written"
        try:
            self.check_disk()
        except WriteFailedError as error:
            problem = problem or str(error)
        workers = self.manager.jobs.alive
        checks = [
            models.HealthCheck(name="data folder", ok=problem is None, detail=problem or "writable"),
            models.HealthCheck(
                name="job workers", ok=workers, detail="running" if workers else "they have ended; restart the server"
            ),
        ]
        return models.Health(ok=all(check.ok for check in checks), checks=checks)


def _setting_values(rows: Iterable[SettingValue]) -> list[models.SettingValue]:
    return [models.SettingValue(setting=row.setting, value=row.value, source=str(row.source)) for row in rows]
