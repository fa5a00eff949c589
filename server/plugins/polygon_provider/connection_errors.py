"""Why a connection failed, for people: the network, the proxy, TLS, HTTP, or a limit of this process. Pure."""

from __future__ import annotations

import errno
import http.client
import ssl
from collections.abc import Iterator, Sequence

import requests
import urllib3

from server.plugins.polygon_provider.requests import on_one_line


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        error = inner if isinstance(inner, BaseException) else error.__cause__


_INVALID_PROXY = (
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
    urllib3.exceptions.ProxySchemeUnknown,
)
"""Errors of the address of a proxy; that of the vendor was checked before."""

_CERTIFICATE = "its certificate is not accepted; check the clock and the proxy"

_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)
"""OpenSSL's reasons, by version, where the other end does not speak TLS."""

_BAD_BUNDLE = ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")

_TLS_ALERTS = ("\x15\x03", "\\x15\\x03")
"""How a TLS alert begins, as text or as its repr."""

_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)

_CHECK_PROXY = "check HTTPS_PROXY, ALL_PROXY and NO_PROXY"


def quotes_proxy(error: Exception) -> bool:
    """Return whether an error may contain the address of the proxy, whose password must not be shown."""
    return any(isinstance(cause, _INVALID_PROXY) for cause in _chain(error))


def never_sent(error: Exception) -> bool:
    """Return whether a request failed before it left this machine."""
    never = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.ProxyError,
        *_INVALID_PROXY,
    )
    return any(isinstance(cause, never) for cause in _chain(error))


def reason(error: Exception, connect_seconds: float, read_seconds: float, *, plain: bool = False) -> str:
    """Return the cause of a broken connection for people, without the URL.

    Args:
        error: The error of requests or urllib3.
        connect_seconds: The time limit for a connection.
        read_seconds: The time limit for the first byte of a response and between two of them.
        plain: Whether the vendor's address has the scheme http.
    """
    causes = list(_chain(error))
    if quotes_proxy(error):
        socks = any(isinstance(cause, requests.exceptions.InvalidSchema) for cause in causes)
        what = "SOCKS needs the package PySocks" if socks else "its address does not fit"
        return f"the proxy cannot be used ({what}); {_CHECK_PROXY}"
    if any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
        return _proxy_reason(causes)
    if any(isinstance(cause, OSError) and cause.errno in _TOO_MANY_FILES for cause in causes):
        return "this process may not open more files or connections; raise its limit (ulimit -n)"
    for kind, text in (
        (urllib3.exceptions.NameResolutionError, "its name cannot be resolved; check the network and polygon-api-url"),
        (urllib3.exceptions.NewConnectionError, "no connection; check the network and polygon-api-url"),  # base of next
        (urllib3.exceptions.ConnectTimeoutError, f"no connection within {connect_seconds:.0f} s; check the network"),
        (urllib3.exceptions.ReadTimeoutError, f"no answer within {read_seconds:.0f} s"),
        (requests.ReadTimeout, f"no answer within {read_seconds:.0f} s"),
        (urllib3.exceptions.IncompleteRead, "an answer broke off"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return text
    return _protocol_reason(causes, plain=plain) or f"the connection broke ({type(causes[-1]).__name__})"


def _protocol_reason(causes: Sequence[BaseException], *, plain: bool) -> str | None:
    """Return why TLS or HTTP failed on a connection; None where that is not the cause."""
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause)
        if isinstance(cause, http.client.RemoteDisconnected):
            advice = "; if its port is for TLS only, write https:// in polygon-api-url" if plain else ""
            return f"it closed the connection without an answer{advice}"
        if isinstance(cause, http.client.BadStatusLine):
            if str(cause).lstrip("'").startswith(_TLS_ALERTS):
                return "it answers with TLS; write https:// in polygon-api-url"
            return "it answers with something else than HTTP"
    if any(isinstance(cause, urllib3.exceptions.SSLError) for cause in causes):
        return _CERTIFICATE
    return None


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        what = on_one_line(error.verify_message)
        return f"{_CERTIFICATE} ({what})"
    if error.reason in _NOT_TLS:
        return "its port does not speak TLS; check the scheme and the port of polygon-api-url and the proxy"
    if error.reason in _BAD_BUNDLE:
        return "the file of trusted certificates has none; check REQUESTS_CA_BUNDLE"
    return f"TLS failed ({on_one_line(error.reason or type(error).__name__)}); check the proxy and polygon-api-url"


def _proxy_reason(causes: Sequence[BaseException]) -> str:
    """Return the cause of a failed connection to a proxy, or of its refusal to connect to the vendor."""
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return f"the name of the proxy cannot be resolved; {_CHECK_PROXY}"
        if isinstance(cause, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
            return f"no connection to the proxy; {_CHECK_PROXY}"
        if isinstance(cause, urllib3.exceptions.SSLError):
            return f"the proxy's certificate is not accepted, or it does not speak TLS; {_CHECK_PROXY}"
    return f"the proxy does not connect to it ({on_one_line(str(causes[-1]))[:80]}); {_CHECK_PROXY}"
