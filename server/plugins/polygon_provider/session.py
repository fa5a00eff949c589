"""The HTTP session: where the API key goes, proxies, certificates, no redirects."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import InvalidProxyURL
from requests.utils import get_environ_proxies, select_proxy

from server import __version__
from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.plugins.polygon_provider.config import is_this_machine
from server.plugins.polygon_provider.open_requests import watch_connections

_PROXY_PORTS = {"http": 80, "https": 443}
"""The ports of proxies whose address has none; SOCKS has 1080."""

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Environment variables that name the certificates to trust; the first one counts."""

_UNREADABLE = "with an unreadable address"
"""Instead of host and port, in messages."""


class BearerAuth(AuthBase):
    """Puts the API key into the Authorization header of requests to the configured host, and to no other."""

    def __init__(self, key: Secret, base_url: str) -> None:
        self._key = key
        self._host = urlsplit(base_url).netloc

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header, if the request goes to the configured host."""
        if urlsplit(request.url or "").netloc == self._host:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request


class _Adapter(HTTPAdapter):
    """Opens connections that are closed at the deadline of their request."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        watch_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            watch_connections(manager)
        return manager


class PolygonSession(requests.Session):
    """Connections to the vendor. Retries, caching and the request budget belong to its caller.

    Attributes:
        proxy: Host and port of the proxy that requests are sent through; None without one.
    """

    def __init__(self, *, base_url: str, connections: int) -> None:
        """Send nothing.

        Args:
            base_url: Scheme and host of the vendor.
            connections: Connections to keep open.
        """
        super().__init__()
        self.trust_env = False  # a .netrc must not replace the key; the rest of the environment is read here
        self.proxies = {} if is_this_machine(base_url) else get_environ_proxies(base_url)
        self.proxy = proxy_text(select_proxy(base_url, self.proxies))
        self._bundle_variable = next((name for name in _CA_BUNDLES if os.environ.get(name)), None)
        self.verify = os.environ[self._bundle_variable] if self._bundle_variable else True
        self.headers.update({"Accept-Encoding": "gzip", "User-Agent": f"backtest-server/{__version__}"})
        adapter = _Adapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, unless the address of the proxy cannot be read: requests fails on some with a TypeError.

        Raises:
            InvalidProxyURL: It cannot be read; the text does not contain it.
            ConfigurationError: The file of trusted certificates cannot be read.
        """
        if self._bundle_variable and not os.access(str(self.verify), os.R_OK):
            raise ConfigurationError(
                f"the file of trusted certificates {self.verify} cannot be read; "
                f"correct or remove the environment variable {self._bundle_variable}"
            )
        if self.proxy == _UNREADABLE:
            raise InvalidProxyURL("the address of the proxy cannot be read")
        return super().send(request, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: redirects are not followed, so their targets are not parsed."""


def proxy_text(address: str | None) -> str | None:
    """Return host and port of a proxy, without its user and password.

    Args:
        address: The proxy's address from the environment, with or without a scheme; None without a proxy.
    """
    if not address:
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port or _PROXY_PORTS.get(parts.scheme, 1080)
    except ValueError:
        host, port = None, 0
    if not host or not host.isprintable():
        return _UNREADABLE
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
