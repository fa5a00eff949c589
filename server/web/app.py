"""Assembles the application: API, pages, metrics and health, behind the access rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

from server import __version__
from server.backtest_server import BacktestManager
from server.core.errors import BacktestServerError, BusyError, ConfigurationError, DiskFullError, NotFoundError
from server.observability import mask
from server.web import api, api_docs, login, models, pages
from server.web.access import TOO_MANY, Access, Gate, wants_page
from server.web.events import EventHub
from server.web.state import State
from server.web.wrong_tokens import WrongTokens
from server.workspace import Workspace

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "not_json",
    429: TOO_MANY,
}
"""Codes of errors of the framework by their HTTP status; `http` for all others."""

_STATUSES = {NotFoundError: 404, ConfigurationError: 422, BusyError: 503, DiskFullError: 507}
"""HTTP statuses of errors; 502 for all others."""


def create_app(
    workspace: Workspace,
    manager: BacktestManager,
    *,
    access: Access,
    projects: Path,
    benchmarks: Path,
    metrics: Callable[[], tuple[bytes, str]],
) -> FastAPI:
    """Assemble the application; its start starts the job queue, its shutdown stops it.

    Args:
        workspace: The data folder with its providers and settings.
        manager: Runs the backtests.
        access: Who may use the server.
        projects: The folder below which LEAN projects may be named.
        benchmarks: The archive of benchmark runs.
        metrics: Returns the body and the content type of /metrics.
    """
    wrong_tokens = WrongTokens()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.server = State(
            workspace=workspace,
            manager=manager,
            access=access,
            projects=projects,
            benchmarks=benchmarks,
            hub=EventHub(manager.jobs),
            wrong_tokens=wrong_tokens,
        )
        app.state.workspace, app.state.manager = workspace, manager
        yield
        manager.close()

    app = FastAPI(
        title="backtest-server",
        version=__version__,
        summary="Backtests on QuantConnect LEAN that fetch only the market data they lack",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(api.router)
    app.include_router(pages.router)
    app.include_router(login.router)
    app.include_router(api_docs.router)
    app.mount("/static", StaticFiles(packages=[("server.web", "static")]), name="static")

    unready: dict[str, Any] = {"model": models.Health, "description": "The server cannot work, and why"}

    @app.get("/health", responses={**api.answers(), 503: unready})
    def health(request: Request, response: Response) -> models.Health:
        """Whether the server can work."""
        found = api.state_of(request).health()
        response.status_code = 200 if found.ok else 503
        return found

    @app.get("/metrics", response_class=PlainTextResponse, responses=api.answers(401))
    def prometheus() -> Response:
        """Metrics for Prometheus."""
        body, content_type = metrics()
        return Response(body, media_type=content_type)

    _add_error_answers(app)
    app.add_middleware(Gate, access=access, wrong_tokens=wrong_tokens)
    return app


def _add_error_answers(app: FastAPI) -> None:
    """Answer every error in one form: a stable code, a message, the facts."""

    @app.exception_handler(BacktestServerError)
    async def ours(request: Request, error: BacktestServerError) -> Response:
        status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 502)
        headers = {"Retry-After": "10"} if status == 503 else None
        if _wants_page(request):
            values = {"title": "Not possible", "message": mask(str(error))}
            return pages.render(request, "error.html", status_code=status, **values)
        facts = {"symbol": error.symbol, "resolution": error.resolution, "days": error.days, "status": error.status}
        known = {name: value for name, value in facts.items() if value}
        return _error(status, error.code, str(error), jsonable_encoder(known), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if _wants_page(request):
            message = "The address asks for something that does not fit."
            return pages.render(request, "error.html", status_code=422, title="Not possible", message=message)
        fields = {".".join(str(part) for part in one["loc"][1:]) or one["loc"][0]: one["msg"] for one in error.errors()}
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return _error(400, "not_json", "the body is not JSON", {})
        if "body" in fields and "json" not in request.headers.get("content-type", ""):
            return _error(415, "not_json", "send the body as JSON, with Content-Type: application/json", {})
        first = next(iter(fields.items()))
        return _error(422, "invalid_request", f"{first[0]}: {first[1]}", {"fields": fields})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = _allowed(request)
        if _wants_page(request):
            title = {404: "Not found"}.get(error.status_code, "Not possible")
            message = "There is no such page." if error.status_code == 404 else str(error.detail)
            page = pages.render(request, "error.html", status_code=error.status_code, title=title, message=message)
            page.headers.update(headers)
            return page
        return _error(error.status_code, _CODES.get(error.status_code, "http"), str(error.detail), {}, headers)


def _allowed(request: Request) -> str:
    """List the methods of a path; the framework itself names those of its first route only."""
    routes = request.app.routes
    scopes = ({**request.scope, "method": method} for method in ("DELETE", "GET", "POST"))
    return ", ".join(
        scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)
    )


def _wants_page(request: Request) -> bool:
    return wants_page(request.url.path, request.headers)


def _error(status: int, code: str, message: str, facts: Any, headers: Any = None) -> JSONResponse:
    content = {"error": {"code": code, "message": mask(message), "facts": facts}}
    return JSONResponse(content, status_code=status, headers=headers)
