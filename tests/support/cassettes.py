"""Replies of the real vendor, replayed from tests/cassettes (see the README there)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import vcr
import vcr.cassette
import vcr.request
import vcr.stubs

FOLDER = Path(__file__).parents[1] / "cassettes"
KEY_NAMES = ("POLYGON_API_KEY", "MASSIVE_API_KEY")

RECORDABLE = frozenset({"aapl-daily-2023-01-03-10", "aapl-daily-2025-01-06-07", "empty-range"})
"""Cassettes that asking again would fill with the same story; the others stay as they are under --record."""

_KEPT_HEADERS = frozenset(
    {"content-type", "date", "server", "strict-transport-security", "vary", "x-request-id", "retry-after"}
)

UseCassette = Callable[[str], AbstractContextManager[vcr.cassette.Cassette]]


def key_to_record_with() -> str:
    """The user's key.

    Raises:
        pytest.UsageError: No key is set.
    """
    for name in KEY_NAMES:
        if key := os.environ.get(name, "").strip():
            return key
    raise pytest.UsageError(f"--record asks the real API and needs a key: set {' or '.join(KEY_NAMES)}")


@contextmanager
def use_cassette(name: str, *, folder: Path = FOLDER, key: str | None = None) -> Iterator[Any]:
    """Answer requests from a cassette; with a key, record it again (if it is one that can be).

    Whatever library sends the requests, only what the cassette holds is answered; anything else is an error.
    """
    path = folder / f"{name}.yaml"
    recording = key is not None and (name in RECORDABLE or not path.exists())
    tapes = vcr.VCR(
        record_mode="all" if recording else "none",
        drop_unused_requests=recording,
        decode_compressed_response=True,
        match_on=("method", "scheme", "host", "port", "path", "query"),
        filter_headers=["authorization"],
        filter_query_parameters=["apiKey", "apikey"],
        before_record_request=_scrub_request,
        before_record_response=lambda response: _scrub_response(response, key),
    )
    with pytest.MonkeyPatch.context() as patch:
        # requests-cache copies this attribute of urllib3's responses, which vcrpy's lack (vcrpy issue 881).
        patch.setattr(vcr.stubs.VCRHTTPResponse, "_request_url", None, raising=False)
        with tapes.use_cassette(str(path)) as cassette:
            yield cassette


def _scrub_request(request: vcr.request.Request) -> vcr.request.Request:
    request.headers = {}
    return request


def _scrub_response(response: dict[str, Any], key: str | None) -> dict[str, Any]:
    """Keep the header lines that say something about the vendor; no cookie and no key goes to disk."""
    headers = {name: value for name, value in response["headers"].items() if name.lower() in _KEPT_HEADERS}
    body = response["body"]["string"]
    if key:
        for spelling in (key, quote(key, safe="")):
            body = body.replace(spelling.encode(), b"KEY")
    return {**response, "headers": headers, "body": {**response["body"], "string": body}}
