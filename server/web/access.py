"""Access rules, body limit and security headers, as ASGI middleware; the rules are pure functions."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from attrs import field, frozen
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.web.wrong_tokens import WrongTokens

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE = "backtest_server_session"
MAX_BODY = 64 * 1024
"""Largest body of a request in bytes; requests contain symbols and days only."""

TOO_MANY = "too_many_wrong_tokens"
TOO_MANY_TEXT = "too many wrong tokens came from your address; wait a minute, or send the right one as a bearer"

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_OPEN_PATHS = ("/health", "/login")
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-z_.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer", browsers send our own forms with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@frozen(kw_only=True)
class Access:
    """The rules of one server.

    Attributes:
        token: The token that callers must send; None requires none.
        hosts: Host names that the Host header may carry; empty means any, which a token makes safe.
    """

    token: Secret | None = None
    hosts: frozenset[str] = frozenset(LOOPBACK_NAMES)

    @classmethod
    def of(cls, host: str, token: str | None, allowed_hosts: Iterable[str] = ()) -> Access:
        """Return the rules for listening on an address.

        Args:
            host: The address.
            token: The token, if there is one.
            allowed_hosts: Further names that the Host header may carry.

        Raises:
            ConfigurationError: The address is reachable from other machines and there is no token.
        """
        token = (token or "").strip()
        secret = Secret(token) if token else None
        if secret is None and not is_loopback(host):
            raise ConfigurationError(
                f"listening on {host} lets others in: set the environment variable BACKTEST_SERVER_TOKEN to a secret "
                "that they must show, or listen on 127.0.0.1"
            )
        names = {name.lower() for name in allowed_hosts}
        if is_loopback(host):
            names |= {*LOOPBACK_NAMES, host.lower()}
        return cls(token=secret, hosts=frozenset(names))

    def admits_host(self, header: str | None) -> bool:
        """Whether a Host header names this server; it prevents DNS rebinding."""
        name = _host_name(header or "")
        return bool(name) and (not self.hosts or name in self.hosts)

    def admits_token(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the token, as a bearer or in the pages' cookie.

        Args:
            headers: By lower-case names, each byte of a value a character (latin-1), as HTTP has them.
        """
        if self.token is None:
            return True
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(shown.strip(" \t").encode("latin-1"), self.token):
            return True
        return _same(_cookie(headers.get("cookie", "")).encode("latin-1"), Secret(self.session))

    def shows_token(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries anything as the token, right or wrong."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        return (scheme.lower() == "bearer" and bool(shown.strip())) or bool(_cookie(headers.get("cookie", "")))

    def admits_login(self, shown: str) -> bool:
        """Whether the text of the login form is the token."""
        return self.token is not None and _same(shown.encode("utf-8", "replace"), self.token)

    @property
    def session(self) -> str:
        """The value of the pages' cookie: an HMAC of the token."""
        assert self.token is not None  # noqa: S101 - callers check that there is one
        return hmac.new(self.token.reveal().encode(), b"backtest-server pages", hashlib.sha256).hexdigest()

    def admits_origin(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request that changes state comes from the server's own pages, or from no page."""
        if method not in _CHANGING:
            return True
        origin = headers.get("origin")
        if origin is not None:
            host = headers.get("host", "").lower()
            return origin.lower() in (f"http://{host}", f"https://{host}")
        return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


class Gate:
    """ASGI middleware: applies the access rules, limits bodies, adds the security headers."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        access: Access,
        wrong_tokens: WrongTokens | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._wrong_tokens = wrong_tokens or WrongTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Unexpected errors are logged and not sent."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"unsupported ASGI scope {scope['type']}")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._let_in(scope, _limited(receive), send)
        elif refusal.status == 401 and wants_page(scope["path"], headers):
            await _answer(send, 303, b"", {"location": "/login", **refusal.headers})
        else:
            await _refuse(send, refusal)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            pass
        except Exception as error:
            # A response that has begun is cut off; the client sees that from its missing end.
            logger.opt(exception=error).error("{} {} ended unexpectedly", scope["method"], scope["path"])
            if not begun:
                await _refuse(send, _Refusal(500, "unexpected", "the server failed at this; its log says more"))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> _Refusal | None:
        method, path = scope["method"], scope["path"]
        if not self._access.admits_host(headers.get("host")):
            return _Refusal(421, "unknown_host", "the Host header does not name this server")
        if not self._access.admits_origin(method, headers):
            return _Refusal(403, "foreign_origin", "a page of another site may not change anything here")
        if not (path in _OPEN_PATHS or path.startswith("/static/") or self._access.admits_token(headers)):
            return self._refusal_of_token(scope, headers)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > MAX_BODY:
            return _Refusal(413, "body_too_large", f"a request's body may have {MAX_BODY} bytes at most")
        return None

    def _refusal_of_token(self, scope: Scope, headers: Mapping[str, str]) -> _Refusal:
        if self._access.shows_token(headers):
            address = address_of(scope)
            if seconds := self._wrong_tokens.wait(address):
                return _Refusal(429, TOO_MANY, TOO_MANY_TEXT, {"retry-after": str(seconds)})
            self._wrong_tokens.add(address)
        # Without its outdated cookie, an open page does not use up the user's attempts to log in.
        outdated = {"set-cookie": f"{COOKIE}=; Max-Age=0; Path=/"} if _cookie(headers.get("cookie", "")) else {}
        message = "show the server's token: Authorization: Bearer <token>"
        return _Refusal(401, "token_missing", message, {"www-authenticate": "Bearer", **outdated})


@frozen
class _Refusal:
    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(factory=dict)


def address_of(scope: Scope) -> str:
    """Return the address of a request's client."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class BodyTooLarge(HTTPException):
    """A body without a Content-Length exceeds the limit."""

    def __init__(self) -> None:
        super().__init__(413, f"a request's body may have {MAX_BODY} bytes at most")


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise BodyTooLarge
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return sender


async def _refuse(send: Send, refusal: _Refusal) -> None:
    body = json.dumps({"error": {"code": refusal.code, "message": refusal.message, "facts": {}}}).encode()
    await _answer(send, refusal.status, body, {"content-type": "application/json", **refusal.headers})


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def wants_page(path: str, headers: Mapping[str, str]) -> bool:
    """Whether a response is a page rather than JSON."""
    return "text/html" in headers.get("accept", "") and not path.startswith("/api/")


def _host_name(header: str) -> str:
    found = _HOST.fullmatch(header)
    return (found[1] or found[2]).lower() if found else ""


def _cookie(header: str) -> str:
    # Parsed here, since the standard library's parser stops at invalid cookies of other programs.
    for part in header.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


def _same(shown: bytes, wanted: Secret) -> bool:
    return hmac.compare_digest(shown, wanted.reveal().encode("utf-8", "replace"))
