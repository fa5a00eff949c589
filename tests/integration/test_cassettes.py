"""The recorded replies are whole, hold no secret, and replay under every kind of session that we use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import requests_cache
import yaml
from vcr.errors import CannotOverwriteExistingCassetteException

from tests.support.cassettes import FOLDER, RECORDABLE, UseCassette, use_cassette
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
DAILY = "https://api.polygon.io/v2/aggs/ticker/AAPL/range/1/day/2023-01-03/2023-01-10"
QUERY = {"adjusted": "false", "sort": "asc", "limit": "50000"}
ADDRESSES = re.compile(
    r"https://api\.polygon\.io(?:"
    r"/v2/aggs/ticker/[^?]+\?(?:adjusted=false&sort=asc&limit=50000|cursor=.+)"
    r"|/stocks/v1/(?:splits|dividends)\?(?:ticker=[A-Z]+&limit=5000&sort=\w+_date\.asc|cursor=.+)"
    r"|/v3/reference/(?:splits|dividends)\?ticker=[A-Z]+&limit=1000&order=asc&sort=\w+_date"
    r"|/v3/reference/tickers/[A-Z]+(?:\?date=[0-9-]+)?"
    r"|/v3/reference/tickers\?ticker=[A-Z]+&active=false&limit=1000"
    r"|/vX/reference/tickers/[A-Z]+/events\?types=ticker_change)"
)
"""What we ask, and where next_url led."""


@pytest.mark.parametrize("name", NAMES)
def test_a_cassette_is_whole_and_explained(name: str) -> None:
    """Its URLs are ours, it holds no key and no headers of a request, and the README says where it is from."""
    interactions = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["interactions"]

    for tape in interactions:
        request, response = tape["request"], tape["response"]
        assert ADDRESSES.fullmatch(request["uri"])
        assert "apikey" not in request["uri"].lower()
        assert not request["headers"]
        if response["headers"]["Content-Type"] == ["application/json"]:
            body = json.loads(response["body"]["string"])
            assert body.get("adjusted", False) is False
            if "/aggs/" in request["uri"]:
                assert len(body.get("results", [])) == body.get("resultsCount", 0)
            if "request_id" in body:
                assert response["headers"]["X-Request-Id"] == [body["request_id"]]
    assert f"`{name}`" in (FOLDER / "README.md").read_text()


def test_only_cassettes_that_exist_are_named_as_recordable() -> None:
    """A name that was changed in one place only is noticed."""
    assert set(NAMES) >= RECORDABLE


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_a_cassette_replays_under_requests_cache(cassette: UseCassette, tmp_path: Path, backend: str) -> None:
    """The first request is answered from the cassette and the second from the cache."""
    with (
        requests_cache.CachedSession(str(tmp_path / "http"), backend=backend) as session,
        cassette("aapl-daily-2023-01-03-10") as tape,
    ):
        first = session.get(DAILY, params=QUERY, headers={"Authorization": "Bearer x"})
        second = session.get(DAILY, params=QUERY, headers={"Authorization": "Bearer x"})

        assert tape.play_count == 1
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.json() == second.json()
    assert first.json()["results"][0]["v"] == 112_117_471
    session.close()


def test_replies_come_in_their_order_and_no_others(cassette: UseCassette) -> None:
    """A refusal, then the good reply; a third request and another window are errors."""
    with cassette("error-429") as tape, requests.Session() as session:
        assert [session.get(DAILY, params=QUERY).status_code for _ in range(2)] == [429, 200]
        assert tape.all_played
        for params in (QUERY, {**QUERY, "limit": "5000"}):
            with pytest.raises(CannotOverwriteExistingCassetteException):
                session.get(DAILY, params=params)


def test_pages_replay_by_next_url(cassette: UseCassette) -> None:
    """The first page names the second, which is empty."""
    with cassette("aapl-minute-2023-07-31-paged"), requests.Session() as session:
        url = "https://api.polygon.io/v2/aggs/ticker/AAPL/range/1/minute/2023-07-31/2023-07-31"
        first = session.get(url, params=QUERY).json()
        second = session.get(first["next_url"]).json()

    assert (first["resultsCount"], second["resultsCount"]) == (10, 0)


@pytest.mark.parametrize("cached", [False, True])
def test_recording_leaves_no_key_on_disk(
    tmp_path: Path, polygon_server: Callable[..., PolygonServer], cached: bool
) -> None:
    """Whatever way the key went out and even if the vendor sent it back, the file does not hold it."""
    server = polygon_server(Market())
    path = "/v2/aggs/ticker/AAPL/range/1/day/2023-01-03/2023-01-10"
    session = requests_cache.CachedSession(backend="memory") if cached else requests.Session()
    with use_cassette("new", folder=tmp_path, key=server.key), session:
        session.get(server.url + path, params=QUERY, headers={"authorization": f"Bearer {server.key}"})
        session.get(server.url + path, params={"apiKey": server.key})
        session.get(f"{server.url}/{server.key}/x", headers={"Authorization": "Bearer wrong"})
    text = (tmp_path / "new.yaml").read_text()

    assert text.count("- request:") == 3
    assert "Bearer" not in text
    assert text.count(server.key) == 1  # the path that the test itself asked for
    with use_cassette("new", folder=tmp_path), requests.Session() as replayed:
        assert replayed.get(server.url + path, params=QUERY).json()["resultsCount"] == 0
