"""A backtest as it is asked for, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from server.core.errors import BacktestServerError, ConfigurationError
from server.core.events import Event
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.engines.base import EngineResult
from server.jobs import JobState
from server.lean.series import Resolution
from server.observability.download_log import describe_event
from server.project import read_project_parameters


@frozen(kw_only=True)
class BacktestRequest:
    """A backtest as it was asked for; what is None is taken from the project's ``config/parameters.py``.

    Attributes:
        engine, provider: Instead of the settings'.
        only_data: Fetch the data and run nothing.
    """

    project: Path | None = None
    symbols: tuple[str, ...] | None = None
    resolution: Resolution | None = None
    start: date | None = None
    end: date | None = None
    engine: str | None = None
    provider: str | None = None
    only_data: bool = False

    def as_json(self) -> dict[str, Any]:
        """The request in JSON's types."""
        return {
            "project": str(self.project) if self.project else None,
            "symbols": list(self.symbols) if self.symbols is not None else None,
            "resolution": self.resolution.value if self.resolution else None,
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "engine": self.engine,
            "provider": self.provider,
            "only_data": self.only_data,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BacktestRequest:
        """The request that `as_json` gave."""
        return cls(
            project=Path(values["project"]) if values["project"] else None,
            symbols=tuple(values["symbols"]) if values["symbols"] is not None else None,
            resolution=Resolution(values["resolution"]) if values["resolution"] else None,
            start=date.fromisoformat(values["start"]) if values["start"] else None,
            end=date.fromisoformat(values["end"]) if values["end"] else None,
            engine=values["engine"],
            provider=values["provider"],
            only_data=values["only_data"],
        )


@frozen(kw_only=True)
class Phase:
    """One phase that a backtest went through, and how long it took in seconds."""

    name: str
    started_at: datetime
    duration_s: float

    def as_json(self) -> dict[str, Any]:
        """The phase in JSON's types."""
        return {
            "name": self.name,
            "started_at": self.started_at.isoformat(),
            "duration_s": round(self.duration_s, 6),
        }


@frozen(kw_only=True)
class BacktestResult:
    """What became of a backtest.

    Attributes:
        request: With symbols, resolution and days filled in, once they are known.
        phases: `data_download`, then `engine`.
        engine_choice: Which engine was chosen and why, in one line.
        engine_name: The name of the chosen engine; not part of `as_json`.
        error: One sentence on what went wrong and what to do, if it failed.
    """

    state: JobState
    request: BacktestRequest
    phases: tuple[Phase, ...] = ()
    download: DownloadReport | None = None
    engine_choice: str | None = None
    engine_name: str | None = None
    engine_result: EngineResult | None = None
    error: BacktestServerError | None = None

    def as_json(self) -> dict[str, Any]:
        """The result in JSON's types."""
        request = self.request
        return {
            "state": self.state.value,
            "project": str(request.project) if request.project else None,
            "symbols": list(request.symbols or ()),
            "resolution": request.resolution.value if request.resolution else None,
            "start": request.start.isoformat() if request.start else None,
            "end": request.end.isoformat() if request.end else None,
            "phases": [phase.as_json() for phase in self.phases],
            "download": self.download.as_json() if self.download else None,
            "engine_choice": self.engine_choice,
            "engine": self.engine_result.as_json() if self.engine_result else None,
            "error": {"code": self.error.code, "message": str(self.error)} if self.error else None,
        }


def resolve(request: BacktestRequest) -> BacktestRequest:
    """Fill in from the project what the request leaves open; the resolution is minute where nobody says.

    Raises:
        ConfigurationError: Something is missing, and where to give it.
    """
    asked = {"symbols": request.symbols, "start": request.start, "end": request.end, "resolution": request.resolution}
    given = [name for name, value in asked.items() if value is not None]
    missing = [name for name in ("symbols", "start", "end") if name not in given]
    if request.project is not None and (missing or request.resolution is None):
        parameters = read_project_parameters(request.project, skip=given)
        request = evolve(request, **{name: getattr(parameters, name) for name, value in asked.items() if value is None})
        missing = [name for name in missing if getattr(request, name) is None]
        if missing:
            flags = " and --".join(missing)
            raise ConfigurationError(
                f"{parameters.source} gives no {' and no '.join(missing)}; add it there or give --{flags}"
            )
    if missing:
        raise ConfigurationError(
            f"a backtest without a project needs --{', --'.join(missing)}; "
            "or name a LEAN project with config/parameters.py"
        )
    resolved = evolve(request, resolution=request.resolution or Resolution.MINUTE)
    download_request(resolved)
    return resolved


def download_request(request: BacktestRequest) -> DownloadRequest:
    """The data that a resolved request needs."""
    assert request.symbols is not None  # noqa: S101 - resolved before
    assert request.resolution is not None  # noqa: S101
    assert request.start is not None  # noqa: S101
    assert request.end is not None  # noqa: S101
    try:
        return DownloadRequest(
            symbols=request.symbols, resolution=request.resolution, start=request.start, end=request.end
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


_NOT_SHOWN = frozenset({"series", "transient", "report"})


def event_json(event: Event) -> dict[str, Any]:
    """An event in JSON's types, with its level and its sentence for people; what is nothing is left out."""
    level, text = describe_event(event)
    facts = {
        name: value
        for name, value in asdict(event, filter=lambda attribute, _: attribute.name not in _NOT_SHOWN).items()
        if value not in (None, "", 0)
    }
    facts["at"] = event.at.isoformat()
    if event.resolution:
        facts["resolution"] = event.resolution.value
    return {**facts, "level": level, "text": text}
