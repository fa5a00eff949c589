"""Settings of the Polygon provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from attrs import frozen, validators

from server.core.secret import Secret
from server.data_download.errors import AuthenticationError
from server.plugins.hookspecs import setting

DEFAULT_URL = "https://api.polygon.io"
MAX_CONCURRENT_REQUESTS = 5


def is_this_machine(url: str) -> bool:
    """Return whether an address is on this machine's loopback interface."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _is_base_url(instance: object, attribute: Any, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine(value)):
        raise ValueError("must be an https address such as https://api.polygon.io (http only on this machine)")
    if not parts.hostname or parts.query or parts.fragment or parts.username or parts.path not in ("", "/"):
        raise ValueError("must be a scheme and a host and nothing else, such as https://api.massive.com")


def _is_key(instance: object, attribute: Any, value: Secret) -> None:
    key = value.reveal()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("must be letters, digits and signs without spaces or line ends; copy it again")


@frozen(kw_only=True)
class PolygonConfig:
    """The vendor's address, the API key, and the limits of requests and retries."""

    api_key: Secret = setting(
        env=("POLYGON_API_KEY", "MASSIVE_API_KEY"),
        lean="polygon-api-key",
        help="your key; never shown anywhere",
        default=Secret(""),
        validator=_is_key,
        repr=False,
    )
    api_url: str = setting(
        env=("POLYGON_API_URL",),
        lean="polygon-api-url",
        help="the vendor's address, https://api.massive.com works too",
        default=DEFAULT_URL,
        converter=lambda url: url.rstrip("/"),
        validator=_is_base_url,
    )
    max_concurrent_requests: int = setting(
        env=("BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS",),
        help="requests in flight at once, 1 to 5",
        default=MAX_CONCURRENT_REQUESTS,
        validator=[validators.ge(1), validators.le(MAX_CONCURRENT_REQUESTS)],
    )
    requests_per_minute: int | None = setting(
        env=("BACKTEST_SERVER_REQUESTS_PER_MINUTE",),
        help="the plan's budget; 5 on the free plan, none on paid plans",
        default=None,
        validator=validators.optional(validators.ge(1)),
    )
    retry_attempts: int = setting(
        env=("BACKTEST_SERVER_RETRY_ATTEMPTS",),
        help="how often one request is tried",
        default=8,
        validator=validators.ge(1),
    )
    retry_seconds: float = setting(
        env=("BACKTEST_SERVER_RETRY_SECONDS",),
        help="how long one request is tried in all",
        default=300.0,
        validator=validators.ge(0),
    )

    def require_key(self) -> None:
        """Check that an API key is set.

        Raises:
            AuthenticationError: No key is set.
        """
        if not self.api_key:
            raise AuthenticationError(
                "there is no Polygon API key: set polygon-api-key in lean.json, or POLYGON_API_KEY in the environment"
            )
