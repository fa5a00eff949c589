"""The pages: rendered from templates here, updated in the browser by the scripts in static/js."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jinja2
from attrs import evolve
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from server.backtest.running import ENGINE
from server.backtest_server import BacktestManager
from server.core.text import list_text
from server.engines.choose import ENGINES
from server.jobs import Job, failed_as_damaged
from server.lean.series import Resolution
from server.plugins.overview import provider_overview, reason_of_choice
from server.web.result_view import progress_view, result_view, round_view, verdict_view
from server.web.template_filters import FILTERS
from server.workspace import Workspace

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

PER_PAGE = 20

STATES = {
    "present": "on disk and whole",
    "provisional": "fetched before the day was settled; fetched again once it is",
    "empty": "the provider has no bars for this day",
    "missing": "not on disk",
    "damaged": "on disk, but the file cannot be read",
}
"""The states of a trading day (see `DayState`) in words."""


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("server.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def render(request: Request, name: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Render one template.

    Args:
        request: The request that is answered.
        name: The template's file.
        status_code: The HTTP status of the response.
        values: The variables of the template.
    """
    text = _environment().get_template(name).render(path=request.url.path, **values)
    return HTMLResponse(text, status_code=status_code, headers={"Cache-Control": "no-store"})


@router.get("/")
def backtests(request: Request, page: int = Query(1, ge=1, le=1_000_000)) -> HTMLResponse:
    """The form for a new backtest, and the list of all jobs."""
    manager, workspace = _manager(request), _workspace(request)
    counts = manager.jobs.store.count()
    jobs = manager.jobs.store.newest(limit=PER_PAGE, offset=(page - 1) * PER_PAGE)
    total = sum(counts.values())
    return render(
        request,
        "backtests.html",
        jobs=[_job_view(job) for job in jobs],
        counts=counts,
        total=total,
        page=page,
        pages=max(1, -(-total // PER_PAGE)),
        engines=ENGINES,
        engine=workspace.settings.engine,
        **_choices(workspace),
    )


@router.get("/backtests/{identity}")
@router.get("/downloads/{identity}")
def backtest(request: Request, identity: str) -> HTMLResponse:
    """One backtest or download: its progress and its result."""
    manager = _manager(request)
    try:
        job = manager.status(identity)
    except KeyError:
        message = "There is no such backtest. Its history may have been removed with the state folder."
        return render(request, "error.html", status_code=404, title="Not found", message=message)
    return render(request, "backtest.html", job=_job_view(job))


@router.get("/coverage")
def coverage(
    request: Request,
    symbol: list[str] = Query(default=[]),  # noqa: B008
    resolution: str = "",
    start: str = "",
    end: str = "",
) -> HTMLResponse:
    """The form for a range; the script reads /api/coverage and draws a calendar for each symbol and year."""
    workspace = _workspace(request)
    choices = _choices(workspace)
    last: date = choices["last_session"]
    return render(
        request,
        "coverage.html",
        symbols=symbol,
        resolution=resolution if resolution in choices["resolutions"] else Resolution.DAILY.value,
        start=_day(start) or date(last.year - 1, 1, 1),
        end=_day(end) or last,
        states=STATES,
        **choices,
    )


@router.get("/performance")
def performance(request: Request) -> HTMLResponse:
    """The archive of benchmark runs."""
    return render(request, "performance.html")


@router.get("/providers")
def providers(request: Request) -> HTMLResponse:
    """What is installed, which provider is chosen and why, and the settings in force."""
    workspace = _workspace(request)
    overview = provider_overview(workspace.settings, workspace.plugins)
    chosen = overview.choice.name
    return render(
        request,
        "providers.html",
        chosen=chosen,
        why=reason_of_choice(overview),
        fallback=overview.fallback,
        providers=sorted(overview.providers, key=lambda one: one.name != chosen),
        problems=overview.problems,
        settings=overview.settings,
    )


@router.get("/engines")
def engines(request: Request) -> HTMLResponse:
    """What each engine finds and lacks, and which one is chosen; the framework runs this in a thread of its own."""
    overview = _manager(request).engines()
    return render(request, "engines.html", chosen=overview.chosen, why=overview.why, engines=overview.engines)


def _choices(workspace: Workspace) -> dict[str, Any]:
    """The choices of the forms."""
    return {
        "resolutions": [resolution.value for resolution in Resolution],
        "providers": sorted(workspace.plugins.providers),
        "provider": workspace.settings.chosen_provider.name,
        "first_day": workspace.calendar.first_day,
        "last_session": workspace.calendar.last_session(workspace.clock()),
    }


def _job_view(job: Job) -> dict[str, Any]:
    """A job for the templates; one whose stored values have another form than a job's is shown as failed."""
    try:
        return _view(job)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return _view(evolve(failed_as_damaged(job, "its values are not those of a job"), request={}))


def _view(job: Job) -> dict[str, Any]:
    """A job for the templates. Requests of earlier versions are unresolved, so the result's values come first."""
    result, request = job.result, job.request
    known: Mapping[str, Any] = result if result.get("symbols") else request
    project = request.get("project")
    symbols = list(known.get("symbols") or [])
    error = result.get("error")
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state.value,
        "over": job.state.over,
        "title": Path(project).name if project else list_text(symbols, most=4),
        "project": Path(project).name if project else None,
        "symbols": symbols,
        "resolution": known.get("resolution"),
        "start": known.get("start"),
        "end": known.get("end"),
        "engine": request.get("engine"),
        "provider": request.get("provider"),
        "retry_of": job.retry_of,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "duration_s": _seconds(job.started_at, job.finished_at),
        "phases": result.get("phases", []),
        "engine_choice": result.get("engine_choice"),
        "engine_name": result.get("engine_name") or request.get("engine"),
        "engine_failed": any(phase["name"] == ENGINE for phase in result.get("phases", [])),
        "download": result.get("download"),
        "outcome": result_view(result),
        "verdict": verdict_view((result.get("engine") or {}).get("verdict")),
        "rounds": [round_view(one) for one in result.get("rounds") or []],
        "progress": progress_view(result.get("progress")),
        "error": {"code": error["code"], "message": error["message"]} if error else None,
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _manager(request: Request) -> BacktestManager:
    manager: BacktestManager = request.app.state.manager
    return manager


def _workspace(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    return workspace
