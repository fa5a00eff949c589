"""Who may come in: hosts, tokens, cookies, origins; and the gate that asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from starlette.requests import ClientDisconnect

from server.core.errors import ConfigurationError
from server.web.access import COOKIE, MAX_BODY, SECURITY_HEADERS, Access, BodyTooLarge, Gate, is_loopback

OURS = Access.of("127.0.0.1", None)
CLOSED = Access.of("0.0.0.0", "let-me-in-please")
HOST = {"host": "localhost:8000"}

tokens = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text.strip())


def as_header(text: str) -> str:
    """A text as HTTP carries it: a character for each byte."""
    return text.encode().decode("latin-1")


# --- hosts ---


@pytest.mark.parametrize(
    "header",
    ["localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"],
)
def test_a_loopback_server_has_these_names(header: str) -> None:
    """With any port, in any case."""
    assert OURS.admits_host(header)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", " ", ":8000", "rebound.example", "localhost.", "127.1", "0x7f.0.0.1", "2130706433", "0.0.0.0"),
        *("user@localhost", "localhost:80@evil.example", "evil.example#localhost", "localhost#x", "localhost/x"),
        *("localhost?x", "local\thost", "localhost\n", " localhost", "localhost:", "localhost:abc", "localhost:123456"),
        *("[::1", "::1", "[::1]x", "[::1]:", "localhost,evil.example", "\xe9", "localhost\0"),
    ],
)
def test_other_host_headers_are_refused(header: str | None) -> None:
    """Other names, and what is no host and port at all."""
    assert not OURS.admits_host(header)


def test_more_names_may_be_allowed() -> None:
    """In any case; a server on all addresses takes every name but nonsense, since its token is asked for."""
    named = Access.of("127.0.0.1", None, ["Quant.Example"])
    assert named.admits_host("quant.example:8000")
    assert named.admits_host("localhost")
    assert CLOSED.admits_host("anything.example")
    assert not CLOSED.admits_host("any thing")
    assert not Access.of("0.0.0.0", "secret", ["quant.example"]).admits_host("localhost")


@given(st.text())
def test_no_host_header_is_too_odd(header: str) -> None:
    """Whatever it is, it is answered; nothing but our names gets in."""
    if OURS.admits_host(header):
        assert header.lower().startswith(("localhost", "127.0.0.1", "[::1]"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.0.2", "localhost.example", "", "127.0.0.1.example")],
)
def test_which_addresses_are_this_machines_only(host: str, loopback: bool) -> None:
    """By number, not by what a name resolves to."""
    assert is_loopback(host) is loopback


# --- tokens ---


@pytest.mark.parametrize("token", [None, "", " ", "\n"])
def test_others_need_a_token(token: str | None) -> None:
    """Blanks are not a token."""
    assert OURS.token is None
    with pytest.raises(ConfigurationError, match="BACKTEST_SERVER_TOKEN"):
        Access.of("0.0.0.0", token)


@given(tokens, tokens)
def test_the_token_lets_in_and_nothing_else_does(token: str, other: str) -> None:
    """As a bearer, whatever signs it has and whatever blanks are around it."""
    access = Access.of("127.0.0.1", token)

    assert access.admits_token({"authorization": f"Bearer {as_header(token.strip())}"})
    assert access.admits_token({"authorization": f"bearer  {as_header(token.strip())} "})
    assert access.admits_login(token.strip())
    if other.strip() != token.strip():
        assert not access.admits_token({"authorization": f"Bearer {as_header(other.strip())}"})
        assert not access.admits_login(other)
    for header in (as_header(token), f"Basic {as_header(token)}", "Bearer", "Bearer ", ""):
        assert not access.admits_token({"authorization": header})
    assert not access.admits_token({})


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_no_header_is_too_odd(authorization: str, cookie: str) -> None:
    """Whatever bytes they are, they are answered with no."""
    assert not CLOSED.admits_token({"authorization": authorization, "cookie": cookie})
    assert not CLOSED.admits_login(authorization)


def test_the_token_is_not_in_the_cookie() -> None:
    """Nor anywhere else it could be printed."""
    assert "let-me-in-please" not in CLOSED.session + repr(CLOSED) + str(CLOSED)
    assert CLOSED.session != Access.of("0.0.0.0", "let-me-in-pleasf").session


@pytest.mark.parametrize(
    "header",
    ["{}", "a=1; {}", "{}; a=1", "[x]=1; {}", 'a="b; {}', "a b=c;{}", "=; {};", "other={{1,2}}; {}"],
)
def test_other_programs_cookies_do_not_matter(header: str) -> None:
    """A cookie holds for a host, whatever the port: other programs' are sent as well."""
    assert CLOSED.admits_token({"cookie": header.format(f"{COOKIE}={CLOSED.session}")})


@pytest.mark.parametrize("shown", ["", "x", "let-me-in-please", "0" * 64])
def test_a_wrong_cookie_lets_no_visitor_in(shown: str) -> None:
    """Not even one with the token itself."""
    assert not CLOSED.admits_token({"cookie": f"{COOKIE}={shown}"})
    assert not CLOSED.admits_token({"cookie": f"x{COOKIE}={CLOSED.session}"})


# --- origins ---


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({}, True),
        ({"origin": "http://localhost:8000"}, True),
        ({"origin": "http://LOCALHOST:8000"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "http://localhost:3000"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://localhost:8000.evil.example"}, False),
        ({"origin": "https://localhost:8000@evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_only_our_own_pages_change_anything(method: str, headers: Mapping[str, str], good: bool) -> None:
    """Programs, which send neither header, may as well."""
    assert OURS.admits_origin(method, {**HOST, **headers}) is good


def test_reading_is_open_to_all() -> None:
    """Browsers themselves keep other pages from seeing the answer."""
    assert OURS.admits_origin("GET", {**HOST, "origin": "https://evil.example"})


@given(st.text() | st.sampled_from(["http://[", "//localhost:8000", "http://localhost:8000/", "ftp://localhost:8000"]))
def test_no_origin_is_too_odd(origin: str) -> None:
    """Whatever it is, it is answered."""
    assert OURS.admits_origin("POST", {**HOST, "origin": origin}) is (
        origin.lower() in ("http://localhost:8000", "https://localhost:8000")
    )


# --- the gate ---

App = Callable[..., Awaitable[None]]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body and says something."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def through(
    app: App,
    access: Access = OURS,
    *,
    method: str = "GET",
    path: str = "/api/backtests",
    bodies: tuple[bytes, ...] = (b"",),
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """What the gate before an application answers: status, headers, body."""
    sent: list[Any] = []
    received = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    received[-1]["more_body"] = False

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in {**HOST, **headers}.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Gate(app, access)(scope, receive, send))
    if not sent:
        return 0, {}, b""
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


def test_who_is_let_in_gets_the_answer_with_the_security_headers() -> None:
    """Nothing else is changed."""
    status, headers, body = through(hello)

    assert (status, body) == (200, b"hello")
    assert headers == {name.lower(): value for name, value in SECURITY_HEADERS.items()}


@pytest.mark.parametrize(
    ("access", "more", "status", "code"),
    [
        (OURS, {"host": "rebound.example"}, 421, "unknown_host"),
        (OURS, {"method": "POST", "origin": "https://evil.example"}, 403, "foreign_origin"),
        (OURS, {"content_length": str(MAX_BODY + 1)}, 413, "body_too_large"),
        (OURS, {"content_length": "9" * 5000}, 413, "body_too_large"),
        (OURS, {"content_length": "\xb2"}, 413, "body_too_large"),
        (OURS, {"content_length": "-1"}, 413, "body_too_large"),
        (CLOSED, {}, 401, "token_missing"),
        (CLOSED, {"accept": "text/html"}, 401, "token_missing"),
        (CLOSED, {"path": "/static"}, 401, "token_missing"),
        (CLOSED, {"path": "/health/"}, 401, "token_missing"),
        (CLOSED, {"path": "//login"}, 401, "token_missing"),
    ],
)
def test_who_is_not_let_in(access: Access, more: dict[str, Any], status: int, code: str) -> None:
    """Each reason has its status and its word, and the security headers all the same."""
    found, headers, body = through(hello, access, **more)

    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert headers.items() >= {name.lower(): value for name, value in SECURITY_HEADERS.items()}.items()
    assert ("www-authenticate" in headers) is (status == 401)


def test_people_without_the_token_are_asked_for_it() -> None:
    """Pages lead to the login page, which is open; so are the health and what the login page is made of."""
    status, headers, _ = through(hello, CLOSED, path="/coverage", accept="text/html,*/*")
    assert (status, headers["location"]) == (303, "/login")
    for path in ("/login", "/health", "/static/css/base.css"):
        assert through(hello, CLOSED, path=path)[0] == 200


def test_a_body_without_a_length_is_cut_off() -> None:
    """At the limit and not before."""
    assert through(hello, bodies=(b"x" * MAX_BODY,))[0] == 200

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(BodyTooLarge):
            await hello(scope, receive, send)

    through(reads, bodies=(b"x" * MAX_BODY, b"x"))


def test_what_is_unexpected_is_logged_and_not_shown() -> None:
    """Before the answer has begun there is an error in the usual form; after that it just ends."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), format="")

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("the secret reason")

    async def fails_late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"id: 1\n", "more_body": True})
        raise ZeroDivisionError("the secret reason")

    async def is_left(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    try:
        status, headers, body = through(fails)
        assert through(fails_late)[::2] == (200, b"id: 1\n")
        assert through(is_left) == (0, {}, b"")
    finally:
        logger.remove(sink)
    assert (status, json.loads(body)["error"]["code"]) == (500, "unexpected")
    assert "secret reason" not in body.decode()
    assert "x-frame-options" in headers
    assert lines == ["GET /api/backtests ended unexpectedly"] * 2


def test_only_http_is_spoken() -> None:
    """A web socket would pass by the rules."""
    with pytest.raises(RuntimeError, match="websocket"):
        asyncio.run(Gate(hello, OURS)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
