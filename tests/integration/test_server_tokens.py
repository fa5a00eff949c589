"""A server that is sent wrong tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.command_line import CommandLine
from tests.support.patience import PATIENCE
from tests.support.served import Served

TOKEN = "the-right-one"
MOST = 10
RIGHT, WRONG = ({"Authorization": f"Bearer {token}"} for token in (TOKEN, "wrong"))
NO_VENDOR = "http://127.0.0.1:9"

Serve = Callable[..., Served]


class FromAddress(HTTPAdapter):
    """Connects from one of this machine's addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: object, **more: object) -> None:  # type: ignore[override]
        """Set the address."""
        super().init_poolmanager(*arguments, **more, source_address=(self._address, 0))  # type: ignore[arg-type]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(*options)`` gives a running server that requires the token."""
    running: list[Served] = []

    def start(*options: str) -> Served:
        running.append(Served(tmp_path, NO_VENDOR, *options, environ={"BACKTEST_SERVER_TOKEN": TOKEN}))
        return running[-1]

    yield start
    for served in running:
        served.stop()


def ask(served: Served, headers: Mapping[str, str], address: str = "127.0.0.1") -> requests.Response:
    """Ask for the jobs from an address."""
    with requests.Session() as session:
        session.mount("http://", FromAddress(address))
        return session.get(f"{served.url}/api/backtests", headers=headers, timeout=PATIENCE, allow_redirects=False)


def log_in(served: Served, token: str) -> requests.Response:
    """Send a token with the login form."""
    return requests.post(f"{served.url}/login", data={"token": token}, timeout=PATIENCE, allow_redirects=False)


def test_ten_wrong_tokens_and_then_429(serve: Serve) -> None:
    """As a bearer, as a cookie and in the login form together; the right bearer and other addresses are let in."""
    served = serve()
    cookie = {"Cookie": "backtest_server_session=wrong"}
    first = [ask(served, WRONG).status_code for _ in range(4)]
    first += [ask(served, cookie).status_code for _ in range(3)]
    first += [log_in(served, "wrong").status_code for _ in range(3)]

    refused = [ask(served, WRONG), ask(served, cookie), log_in(served, "wrong"), log_in(served, TOKEN)]

    assert first == [401] * MOST
    assert [answer.status_code for answer in refused] == [429] * 4
    assert refused[0].json()["error"]["code"] == "too_many_wrong_tokens"
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    assert ask(served, RIGHT).status_code == 200
    assert ask(served, WRONG, "127.0.0.2").status_code == 401
    assert ask(served, RIGHT, "127.0.0.2").status_code == 200
    assert ask(served, {}).status_code == 401
    assert served.get("/health")["ok"]


def test_requests_without_a_token_do_not_count(serve: Serve) -> None:
    """They guess nothing."""
    served = serve()

    assert [ask(served, {}).status_code for _ in range(MOST + 5)] == [401] * (MOST + 5)
    assert log_in(served, TOKEN).status_code == 303


def test_an_outdated_cookie_is_removed(serve: Serve) -> None:
    """So that a page that is still open does not use up the attempts to log in."""
    served = serve()
    with requests.Session() as browser:
        browser.cookies.set("backtest_server_session", "outdated", domain="127.0.0.1", path="/")
        for _ in range(MOST + 5):
            answer = browser.get(served.url, headers={"Accept": "text/html"}, timeout=PATIENCE)
            assert (answer.status_code, answer.url) == (200, f"{served.url}/login")

    assert log_in(served, TOKEN).status_code == 303


@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        ((), {429}),
        (("--trusted-proxy", "127.0.0.2"), {429}),
        (("--trusted-proxy", "127.0.0.1"), {401}),
        (("--trusted-proxy", "10.0.0.1", "--trusted-proxy", "127.0.0.0/24"), {401}),
    ],
)
def test_whose_forwarded_address_counts(serve: Serve, options: tuple[str, ...], statuses: set[int]) -> None:
    """That of a trusted proxy; any other client could invent a new one for each attempt."""
    served = serve(*options)
    for number in range(MOST):
        assert ask(served, {**WRONG, "X-Forwarded-For": f"192.0.2.{number}"}).status_code == 401

    assert {ask(served, {**WRONG, "X-Forwarded-For": f"192.0.2.{number}"}).status_code for number in (100, 101)} == (
        statuses
    )


def test_a_client_behind_a_trusted_proxy_is_limited(serve: Serve) -> None:
    """What it writes into the header itself precedes what the proxy adds, and does not count."""
    served = serve("--trusted-proxy", "127.0.0.1")
    statuses = [
        ask(served, {**WRONG, "X-Forwarded-For": f"203.0.113.{number}, 192.0.2.1"}).status_code
        for number in range(MOST + 1)
    ]

    assert statuses == [401] * MOST + [429]
    assert ask(served, {**WRONG, "X-Forwarded-For": "192.0.2.2"}).status_code == 401


@pytest.mark.parametrize("value", ["proxy.example", "*", "10.0.0.1,10.0.0.2", "10.0.0.1/8"])
def test_a_proxy_is_named_by_its_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Anything else is refused with one line."""
    answer = CommandLine(tmp_path, capsys, monkeypatch).run("serve", "--trusted-proxy", value)

    assert answer.code == 2
    assert len(answer.errors) == 1
    assert f"{value!r} is not an IP address or network" in answer.errors[0]
