"""The HTTP API: jobs, data on disk, projects and providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from server.backtest import BacktestRequest
from server.core.errors import ConfigurationError
from server.core.json import to_json
from server.coverage import read_coverage
from server.data_download.request import DownloadRequest
from server.lean.feed import FeedRequest, Mode
from server.lean.layout import layout_of
from server.lean.series import NEW_YORK, Resolution, Series
from server.web import models
from server.web.job_answer import job_answer
from server.web.projects import find_project, list_projects
from server.web.state import State

router = APIRouter(prefix="/api")

_ERRORS = {
    400: "Malformed HTTP or JSON",
    401: "The server's token is missing",
    403: "The request came from a page of another site",
    404: "Not found",
    413: "The body is too large",
    415: "The body is not JSON",
    421: "The Host header names another server",
    422: "The request is invalid",
    429: "Too many wrong tokens came from the client's address",
    500: "The server failed; its log has the details",
    502: "The data folder or a provider failed",
    503: "Another process has locked the job database; try again later",
    507: "The disk is full",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI: these, and those of every route."""
    return {
        status: {"model": models.ErrorAnswer, "description": _ERRORS[status]}
        for status in sorted({*statuses, 413, 421, 500})
    }


_READING = answers(401, 422, 502)
_POSTING = answers(400, 401, 403, 415, 422, 502, 503, 507)
_MOST_FILES_OF_MINUTES, _MOST_FILES_OF_SECONDS, _MOST_DAYS_OF_ONE_FILE = 370, 31, 40_000
"""Days of bars that one request may ask for, by the number of bars in a day."""

Id = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]
Start = Annotated[models.Day, Query(description="First day, included")]
End = Annotated[models.Day, Query(description="Last day, included")]
SymbolPath = Annotated[models.SymbolText, Path()]


def state_of(request: Request) -> State:
    """Return the state that the routes share."""
    state: State = request.app.state.server
    return state


Server = Annotated[State, Depends(state_of)]


async def _writing(server: Server) -> AsyncIterator[None]:
    """Limit the requests that wait for the job database, so that they leave threads to those that only read."""
    async with server.writing():
        yield


_WRITING = (Depends(_writing),)


# --- jobs ---


def _accepted(request: Request, identity: str, kind: str) -> models.QueuedJob:
    return models.QueuedJob(id=identity, url=str(request.app.url_path_for(f"get_{kind}", identity=identity)))


@router.post("/backtests", status_code=202, responses=_POSTING, dependencies=_WRITING)
def start_backtest(body: models.BacktestBody, server: Server, request: Request) -> models.QueuedJob:
    """Queue a backtest."""
    wanted = BacktestRequest(
        project=find_project(server.projects, body.project) if body.project is not None else None,
        symbols=tuple(body.symbols) if body.symbols else None,
        resolution=body.resolution,
        start=body.start,
        end=body.end,
        engine=body.engine,
        provider=server.known_provider(body.provider),
        fill=body.fill,
        allow_damaged=body.allow_damaged,
    )
    server.check_disk()
    return _accepted(request, server.manager.submit(wanted), "backtests")


@router.post("/downloads", status_code=202, responses=_POSTING, dependencies=_WRITING)
def start_download(body: models.DownloadBody, server: Server, request: Request) -> models.QueuedJob:
    """Queue a download: the data of a backtest, without an engine."""
    wanted = BacktestRequest(
        symbols=tuple(body.symbols),
        resolution=body.resolution,
        start=body.start,
        end=body.end,
        provider=server.known_provider(body.provider),
        only_data=True,
    )
    server.check_disk()
    return _accepted(request, server.manager.submit(wanted), "downloads")


def _add_job_routes(kind: Literal["backtests", "downloads"]) -> None:
    """Add the routes of one kind of job; those of both kinds find any job by its id."""

    def add(method: str, path: str, name: str, endpoint: Callable[..., Any], *errors: int, **more: Any) -> None:
        known = answers(401, 422, 502, 503, *errors)
        router.add_api_route(f"/{kind}{path}", endpoint, methods=[method], name=name, responses=known, **more)

    def get_page(
        server: Server,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        per_page: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> models.JobList:
        """Jobs of both kinds, newest first."""
        jobs = server.store.newest(limit=per_page, offset=(page - 1) * per_page)
        return models.JobList(
            jobs=[job_answer(server, job) for job in jobs],
            total=sum(server.store.count().values()),
            page=page,
            per_page=per_page,
        )

    def get_one(identity: Id, server: Server) -> models.JobAnswer:
        """One job."""
        return job_answer(server, server.job(identity))

    def cancel(identity: Id, server: Server) -> models.JobAnswer:
        """Cancel a job, within two seconds; a finished one does not change."""
        return job_answer(server, server.cancel(identity))

    def retry(identity: Id, server: Server, request: Request) -> models.QueuedJob:
        """Queue the same again; days that were downloaded are on disk already."""
        server.job(identity)
        server.check_disk()
        return _accepted(request, server.manager.retry(identity), kind)

    def events(
        identity: Id, server: Server, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        """The job's events from the first, or after Last-Event-ID, until the job ends."""
        server.job(identity)
        after = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 16 else 0
        stream: AsyncIterator[str] = server.hub.stream(identity, after)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    add("GET", "", f"list_{kind}", get_page)
    add("GET", "/{identity}", f"get_{kind}", get_one, 404)
    add("DELETE", "/{identity}", f"cancel_{kind}", cancel, 403, 404, 507, dependencies=_WRITING)
    add("POST", "/{identity}/retry", f"retry_{kind}", retry, 403, 404, 507, status_code=202, dependencies=_WRITING)
    add("GET", "/{identity}/events", f"events_{kind}", events, 404, response_class=_EventStream)


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_add_job_routes("backtests")
_add_job_routes("downloads")


# --- the data ---


@router.get("/projects", responses=answers(401))
def projects(server: Server) -> models.Projects:
    """The LEAN projects of the projects folder."""
    return models.Projects(projects=list_projects(server.projects))


@router.get("/calendar", responses=_READING)
def calendar(
    server: Server,
    start: Annotated[models.Day | None, Query()] = None,
    end: Annotated[models.Day | None, Query()] = None,
) -> models.Calendar:
    """The first day of the calendar, the last session so far, and the sessions of at most two years."""
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
def symbols(server: Server, resolution: Annotated[Resolution, Query()]) -> models.Symbols:
    """The symbols that have files of a resolution."""
    return models.Symbols(symbols=server.workspace.folder.catalog.tickers(resolution))


@router.get("/coverage", responses=_READING)
def coverage(
    server: Server,
    symbol: Annotated[list[models.SymbolText], Query(min_length=1, max_length=50)],
    resolution: Annotated[Resolution, Query()],
    start: Start,
    end: End,
) -> models.CoverageAnswer:
    """The state of each trading day, and the content of the factor and map files."""
    wanted = _range(symbol, resolution, start, end)
    if end - start > timedelta(days=3660):
        raise ConfigurationError("ask for ten years at most")
    found: dict[str, Any] = to_json(read_coverage(server.workspace, wanted))
    return found


@router.get("/bars/{symbol}", responses=_READING)
def bars(
    server: Server,
    symbol: SymbolPath,
    resolution: Annotated[Resolution, Query()],
    start: Start,
    end: End,
    points: Annotated[int, Query(ge=10, le=10_000)] = 1000,
    mode: Annotated[Mode, Query(description="How prices are normalized for splits and dividends")] = Mode.RAW,
    extended_hours: Annotated[bool, Query(description="Also the bars outside the regular session")] = True,
) -> models.BarsAnswer:
    """What LEAN feeds from disk, merged to about `points` points; of a renamed symbol under the ticker of each day."""
    from server.data_download.plan import trading_days
    from server.web.bars import described, read_bars, thinned

    wanted = _range([symbol], resolution, start, end)
    most = _most_days(wanted.resolution)
    if end - start > timedelta(days=most):
        raise ConfigurationError(f"ask for {most} days of {resolution.value} bars at most")
    workspace, found = server.workspace, wanted.symbols[0]
    now = workspace.clock()
    days, _ = trading_days(start, end, workspace.calendar, now)
    if not days:
        nothing: dict[str, Any] = {"symbol": found, "resolution": resolution, **thinned([], points)}
        return models.BarsAnswer(**nothing, mode=mode, extended_hours=extended_hours)
    request = FeedRequest(
        start=days[0],
        end=days[-1],
        mode=mode,
        extended_hours=extended_hours,
        today=now.astimezone(NEW_YORK).date(),
    )
    parts, feed = read_bars(workspace.folder.path, found, resolution, request, workspace.calendar)
    answer: dict[str, Any] = {**thinned(parts, points), **described(feed, request)}
    return models.BarsAnswer(symbol=found, resolution=resolution, **answer)


def _most_days(resolution: Resolution) -> int:
    """The greatest range of days that a request for bars may have."""
    layout = layout_of(Series("A", resolution))
    if layout.one_file:
        return _MOST_DAYS_OF_ONE_FILE
    return _MOST_FILES_OF_MINUTES if layout.bar_ms >= 60_000 else _MOST_FILES_OF_SECONDS


def _range(names: list[str], resolution: Resolution, start: date, end: date) -> DownloadRequest:
    try:
        return DownloadRequest(symbols=tuple(names), resolution=resolution, start=start, end=end)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


# --- the server ---


@router.get("/providers", responses=answers(401))
def providers(server: Server) -> models.ProvidersAnswer:
    """The installed providers, which one is chosen and why, and the settings; secrets only as set or not set."""
    return server.providers()


@router.get("/engines", responses=answers(401, 502))
def engines(server: Server) -> models.EnginesAnswer:
    """What each engine finds and lacks for a Python project, and which one `auto` chooses; asks programs for it."""
    return server.engines()


@router.get("/benchmarks", responses=answers(401))
def benchmarks(server: Server) -> models.Benchmarks:
    """The archive of benchmark runs."""
    return models.Benchmarks(runs=server.benchmark_runs())
