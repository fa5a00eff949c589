"""The API keeps to its OpenAPI document: whatever it is asked, the answer is one that the document describes."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.support import faults
from tests.support.faults import Fault
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.served import Served

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY"], DAYS, "minute", bars_per_day=30) | Market.synthetic(["SPY"], DAYS, "daily")
BODY = {"symbols": ["SPY"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-07"}
EVENTS = "/events"
CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    allow_header_conformance,
]
EXAMPLES = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def only_spy(request: Request, n: int) -> Fault | None:
    """A vendor that refuses whatever the fuzzer thinks up, so that its jobs are over at once."""
    return None if "/SPY/" in request.path else faults.not_entitled()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one backtest done."""
    folder = tmp_path_factory.mktemp("contract")
    project(folder / "projects" / "Mine")
    with (
        PolygonServer(MARKET, on_request=only_spy) as polygon,
        Served(folder, polygon.url, "--projects", "projects") as server,
    ):
        server.ended(server.post("/api/backtests", BODY)["url"])
        yield server


def project(folder: Path) -> None:
    """A LEAN project."""
    (folder / "config").mkdir(parents=True)
    (folder / "main.py").write_text("")
    (folder / "config" / "parameters.py").write_text('symbols = ["SPY"]\nstart = "2024-06-03"\nend = "2024-06-07"\n')


@pytest.fixture(scope="module")
def everything(served: Served) -> list[APIOperation]:
    """What the server's own OpenAPI document offers."""
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


@pytest.fixture(scope="module")
def operations(everything: list[APIOperation]) -> list[APIOperation]:
    """The same without the streams, which have no end of their own."""
    return [operation for operation in everything if not operation.path.endswith(EVENTS)]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_documented(
    operations: list[APIOperation], served: Served, mode: GenerationMode, subtests: pytest.Subtests
) -> None:
    """Status, content type, headers and schema, for good requests and bad ones; bad ones are refused."""
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not (operation.body or list(operation.iter_parameters())):
            continue  # there is nothing to ask badly
        with subtests.test(operation=operation.label):
            try_out(served, operation.as_strategy(generation_mode=mode), bad_data_rejection, unsupported_method)
    if mode is GenerationMode.POSITIVE:
        assert served.get("/api/backtests")["total"] > 3  # not everything was refused


def test_every_answer_about_what_is_there_is_documented(
    operations: list[APIOperation], served: Served, subtests: pytest.Subtests
) -> None:
    """The same for a job and a symbol that exist."""
    for operation in operations:
        known = {"identity": served.get("/api/backtests", per_page=1)["jobs"][0]["id"], "symbol": "SPY"}
        named = {name: known[name] for name in known if "{" + name + "}" in operation.path}
        if named:
            with subtests.test(operation=operation.label):
                try_out(served, operation.as_strategy(path_parameters=named))


def bad_data_rejection(ctx: Any, response: Any, case: Case) -> bool | None:
    """Bad data is refused; a body that is too large is, too, whatever is in it."""
    return None if response.status_code == 413 else negative_data_rejection(ctx, response, case)


def try_out(served: Served, cases: SearchStrategy[Case], *more: Any) -> None:
    """Send requests of all sorts, the same in every run, and hold the answers against the document."""

    @EXAMPLES
    @given(cases)
    def run(case: Case) -> None:
        case.call_and_validate(session=served.http, checks=[*CHECKS, *more])

    run()


# --- what is not asked at random ---


def ask(served: Served, operation: APIOperation, **more: Any) -> requests.Response:
    """Ask for a job or a symbol that is not there; the answer must be documented."""
    path = operation.path.format(identity="0123456789ab", symbol="SPY")
    answer = served.http.request(operation.method, served.url + path, timeout=30, **more)
    operation.validate_response(answer)
    assert str(answer.status_code) in operation.definition.raw["responses"], (operation.label, answer.status_code)
    return answer


def code(answer: requests.Response) -> tuple[int, str]:
    """An error's status and its word."""
    return answer.status_code, answer.json()["error"]["code"]


def test_what_the_gate_answers_is_documented(everything: list[APIOperation], served: Served) -> None:
    """Of every operation: the wrong host, another site's page, a body over the limit."""
    large = {"data": b" " * 70_000, "headers": {"Content-Type": "application/json"}}
    for operation in everything:
        assert code(ask(served, operation, headers={"Host": "rebound.example"})) == (421, "unknown_host")
        assert code(ask(served, operation, **large)) == (413, "body_too_large")
        if operation.method != "get":
            answer = ask(served, operation, headers={"Origin": "https://evil.example"})
            assert code(answer) == (403, "foreign_origin")


def test_that_a_token_is_missing_is_documented(everything: list[APIOperation], tmp_path: Path) -> None:
    """Of every operation but the health; the answer says how to show it."""
    with Served(tmp_path, "http://127.0.0.1:9", environ={"BACKTEST_SERVER_TOKEN": "let-me-in-please"}) as closed:
        for operation in everything:
            if operation.path != "/health":
                answer = ask(closed, operation, headers={"Accept": "text/html" if "/api/" in operation.path else "*/*"})
                assert code(answer) == (401, "token_missing")
                assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_bodies_that_are_no_json_are_refused(everything: list[APIOperation], served: Served) -> None:
    """400 for what cannot be read, 415 for another type, 413 for a body without a length that goes on and on."""
    as_json = {"Content-Type": "application/json"}

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 8192

    for operation in everything:
        if operation.body:
            assert code(ask(served, operation, data=b"{", headers=as_json)) == (400, "not_json")
            assert code(ask(served, operation, data=b"[" * 60_000, headers=as_json)) == (400, "bad_request")
            assert code(ask(served, operation, data=b"{}", headers={"Content-Type": "text/plain"})) == (415, "not_json")
            assert code(ask(served, operation, data=endless(), headers=as_json)) == (413, "body_too_large")


def test_streams_are_what_the_document_says(everything: list[APIOperation], served: Served) -> None:
    """An event stream for a job there is, in either kind's place; an error for one there is not, or no id at all."""
    done = served.get("/api/backtests", per_page=100)["jobs"][-1]["id"]
    streams = [operation for operation in everything if operation.path.endswith(EVENTS)]
    assert len(streams) == 2
    for operation in streams:
        assert code(ask(served, operation)) == (404, "not_found")
        content = operation.definition.raw["responses"]["200"]["content"]
        path = operation.path.format(identity=done)
        answer = served.http.get(served.url + path, timeout=30)
        assert (answer.status_code, list(content)) == (200, ["text/event-stream"])
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.text.endswith("event: end\ndata: {}\n\n")
        assert served.http.get(served.url + path.replace(done, "x"), timeout=30).status_code == 422


def test_what_goes_wrong_unexpectedly_is_logged_and_not_shown(everything: list[APIOperation], tmp_path: Path) -> None:
    """500 in the form of every error, with the security headers; the traceback is in the log only."""
    state = tmp_path / "data" / ".backtest-server"
    with Served(tmp_path, "http://127.0.0.1:9") as broken:
        (listing,) = (one for one in everything if one.label == "GET /api/backtests")
        ask(broken, listing)
        with closing(sqlite3.connect(state / "jobs.sqlite")) as jobs:
            jobs.execute("DROP TABLE jobs")
        answer = ask(broken, listing)

        assert code(answer) == (500, "unexpected")
        assert not {"Traceback", "sqlite", "no such table"} & set(answer.text.split())
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (line,) = (one for one in broken.errors if "ended unexpectedly" in one)
    assert "GET /api/backtests" in line
    assert not any("Traceback" in one for one in broken.errors)
    assert "no such table" in (state / "logs" / "backtest-server.jsonl").read_text()


# --- what must never be sent ---


def test_no_secret_is_sent_or_written(tmp_path: Path) -> None:
    """The vendor's key and the server's token stand in no answer, header, page, stream, line or file, though the
    vendor repeats the key and a request names both."""
    token = "let-me-in-please"
    shown = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    texts: list[str] = []

    def keep(answer: requests.Response, *_: Any, **__: Any) -> None:
        texts.append(f"{answer.headers} {answer.text}")

    with (
        PolygonServer(MARKET, faults=[faults.status_error(f"the key {KEY} is bad")]) as polygon,
        Served(tmp_path, polygon.url, environ={"BACKTEST_SERVER_TOKEN": token}) as closed,
    ):
        closed.http.headers.update(shown)
        closed.http.hooks["response"] = [keep]
        for _ in range(2):
            job = closed.ended(closed.post("/api/backtests", BODY)["url"])["id"]
            closed.http.get(f"{closed.url}/api/backtests/{job}/events", timeout=30)
            closed.http.get(f"{closed.url}/backtests/{job}", timeout=30)
        for path in ("/", "/coverage", "/performance", "/providers", "/docs", "/login", "/api/providers", "/metrics"):
            closed.http.get(closed.url + path, timeout=30)
        closed.post("/api/backtests", {**BODY, "project": token}, status=422)
        closed.post("/api/backtests", {**BODY, "provider": KEY}, status=422)
        closed.http.get(f"{closed.url}/api/{token}/{KEY}", timeout=30)
        closed.http.post(f"{closed.url}/login", data={"token": token}, allow_redirects=False, timeout=30)

    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(texts) > 20
    assert len(files) > 5
    for secret in (KEY, token):
        assert not [text for text in [*texts, *closed.errors] if secret in text]
        assert not [data for data in files if secret.encode() in data]


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "css/../../app.py", "%00", "a" * 5000])
def test_nothing_but_the_static_files_is_served(served: Served, path: str) -> None:
    """However the way out is written; the path is sent unchanged."""
    with closing(HTTPConnection(served.url.removeprefix("http://"), timeout=30)) as connection:
        connection.request("GET", f"/static/{path}")
        assert connection.getresponse().status == 404


def test_slow_bodies_delay_no_other_request(served: Served) -> None:
    """A hundred requests whose bodies never come."""
    host, port = served.url.removeprefix("http://").split(":")
    head = (
        f"POST /api/backtests HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    with ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            slow.sendall(head.encode())
        assert served.get("/health")["ok"]
