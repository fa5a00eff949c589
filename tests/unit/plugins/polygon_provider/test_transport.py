"""What the Polygon client sends, and how it stops."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
import requests
import urllib3

from server.core.errors import Cancelled
from server.data_download.errors import ProviderUnavailable
from tests.support.polygon_client import KEY, MakeKit, Reply


def test_a_request_carries_the_key_in_its_header_only(kit: MakeKit) -> None:
    """The address has none; gzip is asked for."""
    made = kit()
    made.get()

    (request,) = made.vendor.sent
    assert request.url == (
        "https://api.polygon.io/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-08"
        "?adjusted=false&sort=asc&limit=50000"
    )
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["User-Agent"].startswith("backtest-server/")


@pytest.mark.parametrize("url", ["https://api.massive.com", "https://api.massive.com/"])
def test_the_vendors_address_is_a_setting(kit: MakeKit, url: str) -> None:
    """With or without a slash at its end."""
    made = kit(api_url=url)
    made.get()

    assert made.vendor.sent[0].url is not None
    assert made.vendor.sent[0].url.startswith("https://api.massive.com/v2/aggs/")


def test_a_netrc_does_not_replace_the_key(kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does anything else of the user's environment."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.polygon.io login another-user password another-key")
    monkeypatch.setenv("NETRC", str(netrc))
    made = kit()
    made.get()
    monkeypatch.delenv("NETRC")

    assert made.vendor.sent[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_wait_that_is_cancelled_ends_the_try(kit: MakeKit) -> None:
    """Nothing more is sent."""
    made = kit(Reply(500), pause=lambda seconds: True)
    with pytest.raises(Cancelled):
        made.get()

    assert len(made.vendor.sent) == 1


def test_a_cancelled_run_reads_no_further(kit: MakeKit) -> None:
    """Even if the answer has begun."""
    made = kit()
    made.cancelled.append(True)

    with pytest.raises(Cancelled):
        made.get()


def test_a_cancelled_run_reads_no_cached_response(kit: MakeKit) -> None:
    """Threads that a cancelled run left behind end without another request."""
    made = kit()
    made.get(store=True)
    made.cancelled.append(True)

    with pytest.raises(Cancelled):
        made.get()
    assert made.count("cache_hits") == 0


def test_an_error_that_quotes_the_proxy_is_not_a_cause(kit: MakeKit) -> None:
    """Tracebacks show causes, and the address may contain a password."""
    cause = urllib3.exceptions.LocationParseError("http://user:s3cret@proxy:99999")
    made = kit(requests.exceptions.InvalidURL(cause), retry_attempts=1)

    with pytest.raises(ProviderUnavailable) as caught:
        made.get()

    assert "the proxy cannot be used" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
