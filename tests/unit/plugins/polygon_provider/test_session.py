"""Where the API key goes."""

from __future__ import annotations

import pytest
import requests

from server.core.secret import Secret
from server.plugins.polygon_provider.session import BearerAuth


@pytest.mark.parametrize(
    "url", ["https://other.example/x", "http://api.polygon.io.evil.example/", "https://api.polygon.io:444/"]
)
def test_the_key_goes_to_the_configured_host_only(url: str) -> None:
    """Any other request is left without it."""
    request = requests.Request("GET", url, auth=BearerAuth(Secret("key"), "https://api.polygon.io")).prepare()

    assert "Authorization" not in request.headers
