"""Requests that the HTTP API refuses, who may come in, and how a server starts and ends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import faults
from tests.support.api_market import BODY, MARKET, Serve
from tests.support.served import Served

# --- bad requests ---


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/backtests", {}, 422, "configuration"),
        ("/api/backtests", {**BODY, "symbols": ["../../x"]}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "symbols": ["SPY", "Ibm"]}, 422, "invalid_request"),
        ("/api/downloads", {**BODY, "symbols": ["BRK-B"]}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "symbols": []}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "start": "2024-06-31"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "start": "2024-06-08"}, 422, "configuration"),
        ("/api/backtests", {**BODY, "resolution": "week"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "provider": "unknown"}, 422, "configuration"),
        ("/api/backtests", {**BODY, "engine": "zipline"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "fill": "no"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "allow_damaged": 1}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "fill": None}, 422, "invalid_request"),
        ("/api/downloads", {**BODY, "fill": True}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "surprise": 1}, 422, "invalid_request"),
        ("/api/downloads", {"symbols": ["SPY"]}, 422, "invalid_request"),
        ("/api/backtests/0123456789ab/retry", {}, 404, "not_found"),
        ("/api/nothing", {}, 404, "not_found"),
        ("/health", {}, 405, "method_not_allowed"),
    ],
)
def test_bad_requests(served: Served, path: str, body: Any, status: int, code: str) -> None:
    """Each gets a stable code and a sentence."""
    error = served.post(path, body, status=status)["error"]

    assert error["code"] == code
    assert error["message"]


def test_a_body_that_is_no_json(served: Served) -> None:
    """400, in the same form."""
    answer = served.http.post(f"{served.url}/api/backtests", data=b"{", headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_json")


# --- who may come in ---


def test_foreign_names_origins_and_large_bodies_stay_out(served: Served) -> None:
    """Another Host, another page's origin, and bodies over the limit."""
    url = f"{served.url}/api/backtests"
    host = served.http.get(url, headers={"Host": "rebound.example"})
    origin = served.http.post(url, json=BODY, headers={"Origin": "https://evil.example"})
    site = served.http.post(url, json=BODY, headers={"Sec-Fetch-Site": "cross-site"})
    large = served.http.post(url, data=b"[" + b" " * 70_000 + b"]", headers={"Content-Type": "application/json"})

    assert [answer.status_code for answer in (host, origin, site, large)] == [421, 403, 403, 413]
    assert served.http.post(url, json=BODY, headers={"Origin": served.url}).status_code == 202


def test_every_answer_has_the_security_headers(served: Served) -> None:
    """Also errors."""
    for path in ("/health", "/api/nothing", "/api/providers"):
        headers = served.http.get(served.url + path).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_token_keeps_others_out(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """Without it nothing but the health and the login page answers."""
    served = serve(polygon_server(MARKET).url, environ={"BACKTEST_SERVER_TOKEN": "let-me-in-please"})

    assert served.http.get(f"{served.url}/api/backtests").status_code == 401
    assert served.http.get(f"{served.url}/metrics").status_code == 401
    assert served.http.get(f"{served.url}/health").status_code == 200
    wrong = served.http.get(f"{served.url}/api/backtests", headers={"Authorization": "Bearer let-me-in-pleas"})
    assert wrong.status_code == 401
    right = served.http.get(f"{served.url}/api/backtests", headers={"Authorization": "Bearer let-me-in-please"})
    assert right.status_code == 200
    assert "let-me-in" not in right.text + str(right.headers) + "\n".join(served.errors)


def test_another_address_needs_a_token(tmp_path: Path) -> None:
    """Else the server refuses to start, and says what to do."""
    with pytest.raises(RuntimeError, match="BACKTEST_SERVER_TOKEN"):
        Served(tmp_path, "http://127.0.0.1:9", "--host", "0.0.0.0")


def test_one_server_for_each_data_folder(served: Served, tmp_path: Path) -> None:
    """A second one says so and ends."""
    with pytest.raises(RuntimeError, match="another server runs on this data folder"):
        Served(tmp_path, "http://127.0.0.1:9")


def test_a_port_in_use(tmp_path: Path) -> None:
    """One line, and the server ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="cannot be listened on"):
            Served(tmp_path, "http://127.0.0.1:9", "--port", str(taken.getsockname()[1]))


def test_the_server_ends(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """SIGTERM ends it though a job runs and a stream is open; the job is interrupted."""
    polygon = polygon_server(MARKET, faults=[faults.slow(60)])
    served = serve(polygon.url)
    path = served.post("/api/backtests", BODY)["url"]
    with requests.get(f"{served.url}{path}/events", stream=True, timeout=30) as open_stream:
        next(open_stream.iter_lines())
        served.stop()

    assert serve(polygon.url).get(path)["state"] == "interrupted"
