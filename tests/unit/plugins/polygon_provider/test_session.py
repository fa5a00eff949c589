"""Where the API key goes."""

from __future__ import annotations

import pytest
import requests

from server.core.secret import Secret
from server.plugins.polygon_provider.session import BearerAuth, PolygonSession, proxy_text


@pytest.mark.parametrize(
    "url", ["https://other.example/x", "http://api.polygon.io.evil.example/", "https://api.polygon.io:444/"]
)
def test_the_key_goes_to_the_configured_host_only(url: str) -> None:
    """Any other request is left without it."""
    request = requests.Request("GET", url, auth=BearerAuth(Secret("key"), "https://api.polygon.io")).prepare()

    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (None, None),
        ("", None),
        ("http://proxy.example:3128", "proxy.example:3128"),
        ("http://user:s3cret@proxy.example:3128", "proxy.example:3128"),
        ("user:s3cret@proxy.example:3128", "proxy.example:3128"),
        ("http://us%40er:s3:cr@et@10.0.0.1", "10.0.0.1:80"),
        ("https://proxy.example/", "proxy.example:443"),
        ("socks5h://user:s3cret@[::1]", "[::1]:1080"),
        ("http://user:s3cret@proxy.example:bad", "with an unreadable address"),
        ("http://user:s3cret@", "with an unreadable address"),
        ("http://user:s3cret@[::1", "with an unreadable address"),
    ],
)
def test_a_proxy_in_messages(address: str | None, text: str | None) -> None:
    """Host and port, never the user or the password."""
    assert proxy_text(address) == text


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://u:p@a.example:1"}, "a.example:1"),
        ({"https_proxy": "http://u:p@a.example:1"}, "a.example:1"),
        ({"ALL_PROXY": "http://u:p@b.example:2"}, "b.example:2"),
        ({"HTTP_PROXY": "http://u:p@c.example:3"}, None),
        ({"HTTPS_PROXY": "http://u:p@a.example:1", "NO_PROXY": "polygon.io"}, None),
        ({"HTTPS_PROXY": "http://u:p@a.example:1", "NO_PROXY": "*"}, None),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], proxy: str | None
) -> None:
    """The one that requests uses for the vendor's address."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with PolygonSession(base_url="https://api.polygon.io", connections=1) as session:
        assert session.proxy == proxy
