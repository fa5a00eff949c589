"""The HTTP API over the BacktestManager: jobs, and what is known of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from server.backtest import BacktestRequest
from server.core.errors import ConfigurationError
from server.data_download.request import DownloadRequest
from server.jobs import Job
from server.lean.series import Resolution, Series
from server.web import models
from server.web.projects import find_project, list_projects, name_of
from server.web.state import State

router = APIRouter(prefix="/api")

_ERRORS = {
    400: "Not HTTP or JSON that can be read",
    401: "The server's token was not shown",
    403: "A page of another site asked",
    404: "There is none",
    413: "The body is too large",
    415: "The body is not JSON",
    421: "The Host header names another server",
    422: "The request does not fit",
    500: "The server failed; its log says more",
    502: "The data folder or a provider failed",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route can give, for its description: these, and those that any route can give."""
    return {
        status: {"model": models.ErrorAnswer, "description": _ERRORS[status]}
        for status in sorted({*statuses, 413, 421, 500})
    }


_READING = answers(401, 422, 502)
_POSTING = answers(400, 401, 403, 415, 422, 502)
_MOST_DAYS = {Resolution.DAILY: 40_000, Resolution.MINUTE: 370, Resolution.SECOND: 31}

Id = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]
Start = Annotated[models.Day, Query(description="First day, included")]
End = Annotated[models.Day, Query(description="Last day, included")]
SymbolPath = Annotated[models.SymbolText, Path()]


def state_of(request: Request) -> State:
    """What the app was made with."""
    state: State = request.app.state.server
    return state


Server = Annotated[State, Depends(state_of)]


# --- jobs ---


def _job(server: State, job: Job) -> dict[str, Any]:
    answer = job.as_json()
    project = answer["request"].get("project")
    if project:
        name = name_of(server.projects, FilePath(project))
        answer["request"] = {**answer["request"], "project": name}
        if answer["result"].get("project"):
            answer["result"] = {**answer["result"], "project": name}
    return answer


def _accepted(request: Request, identity: str, kind: str) -> models.Accepted:
    return models.Accepted(id=identity, url=str(request.app.url_path_for(f"get_{kind}", identity=identity)))


@router.post("/backtests", status_code=202, responses=_POSTING)
def start_backtest(body: models.BacktestBody, server: Server, request: Request) -> models.Accepted:
    """Queue a backtest."""
    wanted = BacktestRequest(
        project=find_project(server.projects, body.project) if body.project is not None else None,
        symbols=tuple(body.symbols) if body.symbols else None,
        resolution=Resolution(body.resolution) if body.resolution else None,
        start=body.start,
        end=body.end,
        engine=body.engine,
        provider=server.known_provider(body.provider),
    )
    return _accepted(request, server.manager.submit(wanted), "backtests")


@router.post("/downloads", status_code=202, responses=_POSTING)
def start_download(body: models.DownloadBody, server: Server, request: Request) -> models.Accepted:
    """Queue a download: a backtest's data without the backtest."""
    wanted = BacktestRequest(
        symbols=tuple(body.symbols),
        resolution=Resolution(body.resolution),
        start=body.start,
        end=body.end,
        provider=server.known_provider(body.provider),
        only_data=True,
    )
    return _accepted(request, server.manager.submit(wanted), "downloads")


def _add_job_routes(kind: Literal["backtests", "downloads"]) -> None:
    """The routes of one job, the same for both kinds; either finds any job by its id."""

    def add(method: str, path: str, name: str, endpoint: Callable[..., Any], *errors: int, **more: Any) -> None:
        known = answers(401, 422, *errors)
        router.add_api_route(f"/{kind}{path}", endpoint, methods=[method], name=name, responses=known, **more)

    def get_page(
        server: Server,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        per_page: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> models.JobList:
        """Jobs of both kinds, the newest first."""
        jobs = server.store.newest(limit=per_page, offset=(page - 1) * per_page)
        return models.JobList(
            jobs=[models.JobAnswer(**_job(server, job)) for job in jobs],
            total=sum(server.store.count().values()),
            page=page,
            per_page=per_page,
        )

    def get_one(identity: Id, server: Server) -> models.JobAnswer:
        """One job as it stands."""
        return models.JobAnswer(**_job(server, server.job(identity)))

    def cancel(identity: Id, server: Server) -> models.JobAnswer:
        """Stop a job; one that is over stays as it is. It is over within two seconds."""
        server.job(identity)
        server.manager.cancel(identity)
        return models.JobAnswer(**_job(server, server.manager.jobs.wait(identity, 2.0)))

    def retry(identity: Id, server: Server, request: Request) -> models.Accepted:
        """Queue the same again; what was fetched before is there already."""
        server.job(identity)
        return _accepted(request, server.manager.retry(identity), kind)

    def events(
        identity: Id, server: Server, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        """The job's events from the first, or after Last-Event-ID; ends with the job."""
        server.job(identity)
        after = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 16 else 0
        stream: AsyncIterator[str] = server.hub.stream(identity, after)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    add("GET", "", f"list_{kind}", get_page)
    add("GET", "/{identity}", f"get_{kind}", get_one, 404)
    add("DELETE", "/{identity}", f"cancel_{kind}", cancel, 403, 404)
    add("POST", "/{identity}/retry", f"retry_{kind}", retry, 403, 404, status_code=202)
    add("GET", "/{identity}/events", f"events_{kind}", events, 404, response_class=_EventStream)


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_add_job_routes("backtests")
_add_job_routes("downloads")


# --- the data ---


@router.get("/projects", responses=answers(401))
def projects(server: Server) -> models.Projects:
    """The LEAN projects that can be run."""
    return models.Projects(projects=[models.Project(**found) for found in list_projects(server.projects)])


@router.get("/calendar", responses=_READING)
def calendar(
    server: Server,
    start: Annotated[models.Day | None, Query()] = None,
    end: Annotated[models.Day | None, Query()] = None,
) -> models.Calendar:
    """The first day there is data of, the last session so far, and the sessions of a range of two years at most."""
    found = server.workspace.calendar
    last = found.last_session(server.workspace.clock())
    sessions: list[date] = []
    if start and end:
        first, upto = max(start, found.first_day), min(end, last)
        if upto - first > timedelta(days=732):
            raise ConfigurationError("ask for two years of sessions at most")
        sessions = found.trading_days(first, upto) if first <= upto else []
    return models.Calendar(first_day=found.first_day, last_session=last, sessions=sessions)


@router.get("/symbols", responses=_READING)
def symbols(server: Server, resolution: Annotated[models.ResolutionName, Query()]) -> models.Symbols:
    """Symbols that have files on disk."""
    return models.Symbols(symbols=server.workspace.folder.catalog.tickers(Resolution(resolution)))


@router.get("/coverage", responses=_READING)
def coverage(
    server: Server,
    symbol: Annotated[list[models.SymbolText], Query(min_length=1, max_length=50)],
    resolution: Annotated[models.ResolutionName, Query()],
    start: Start,
    end: End,
) -> models.Coverage:
    """Which trading days are present, provisional, empty, damaged or missing; and what factor and map files say."""
    from server.corporate_actions.summary import share_files

    wanted = _range(symbol, resolution, start, end)
    if end - start > timedelta(days=3660):
        raise ConfigurationError("ask for ten years at most")
    workspace = server.workspace
    plan = workspace.downloader().plan(wanted)
    files = {name: share_files(workspace.folder.path, name, workspace.calendar) for name in plan.states}
    return models.Coverage(
        resolution=resolution,
        start=start,
        end=end,
        symbols={
            name: models.SymbolCoverage(
                counts=Counter(state.value for state in states.values()),
                days={day.isoformat(): state.value for day, state in states.items()},
                **files[name].as_json(start, end),
            )
            for name, states in plan.states.items()
        },
        notices=list(plan.notices),
    )


@router.get("/bars/{symbol}", responses=_READING)
def bars(
    server: Server,
    symbol: SymbolPath,
    resolution: Annotated[models.ResolutionName, Query()],
    start: Start,
    end: End,
    points: Annotated[int, Query(ge=10, le=10_000)] = 1000,
) -> models.BarsAnswer:
    """Bars as they are on disk, at most about so many points; of a renamed share under the ticker of each day."""
    from server.corporate_actions.tickers import TickersOnDisk
    from server.data_download.plan import days_by_ticker, trading_days
    from server.web.bars import read_bars, thinned

    wanted = _range([symbol], resolution, start, end)
    if end - start > timedelta(days=_MOST_DAYS[wanted.resolution]):
        raise ConfigurationError(f"ask for {_MOST_DAYS[wanted.resolution]} days of {resolution} bars at most")
    days, _ = trading_days(start, end, server.workspace.calendar, server.workspace.clock())
    spans, _ = TickersOnDisk(server.workspace.folder.path)(wanted.symbols[0], start, end)
    parts = [
        bars
        for ticker, days_of_ticker in days_by_ticker(spans, days)
        for bars in read_bars(server.workspace.folder, Series(ticker, wanted.resolution), days_of_ticker)
    ]
    return models.BarsAnswer(symbol=wanted.symbols[0], resolution=resolution, **thinned(parts, points))


def _range(names: list[str], resolution: str, start: date, end: date) -> DownloadRequest:
    try:
        return DownloadRequest(symbols=tuple(names), resolution=Resolution(resolution), start=start, end=end)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


# --- the server ---


@router.get("/providers", responses=answers(401))
def providers(server: Server) -> models.ProvidersAnswer:
    """What is installed, which provider is chosen and why, the settings in force; secrets only as set or not set."""
    return server.providers()


@router.get("/benchmarks", responses=answers(401))
def benchmarks(server: Server) -> models.Benchmarks:
    """The archive of benchmark runs."""
    return models.Benchmarks(runs=server.benchmark_runs())
