"""Pages as the server renders them, taken apart and checked, and reports to render."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI

from server.jobs import JobState, JobStore

WEB = Path(__file__).parents[2] / "server" / "web"
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t-key-of-a-user"
PAGES = ("/", "/coverage", "/performance", "/engines", "/providers")


class Page(HTMLParser):
    """A page taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the tag."""
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Remember the text, and refuse what is a script or style in the page itself."""
        if data.strip():
            assert not {"script", "style"} & set(self._inside[-1:]), data
            self.words.append(data)

    def with_testid(self, testid: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of this test id."""
        return [attributes for _, attributes in self.tags if attributes.get("data-testid") == testid]


def check(text: str) -> Page:
    """A page that keeps the content security policy and the rules for every page."""
    page = Page(text)
    names = [name for name, _ in page.tags]
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert dict(page.tags)["html"] == {"lang": "en"}
    for name, attributes in page.tags:
        assert name not in ("style", "iframe", "object", "base"), name
        assert "style" not in attributes, attributes
        assert not [attribute for attribute in attributes if attribute.startswith("on")], attributes
        if name in ("script", "img", "link"):
            assert (attributes.get("src") or attributes.get("href") or "").startswith("/static/"), attributes
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for reference in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(reference, ids[0]) in ids, attributes
    return page


class Site:
    """An application without a socket; `store` holds its jobs, and no worker touches them."""

    def __init__(self, app: FastAPI, store: JobStore, portal: BlockingPortal) -> None:
        self.store = store
        self._portal = portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")

    def get(self, path: str) -> httpx.Response:
        """What a browser that opens this gets."""
        return self._portal.call(partial(self._client.get, path, headers={"Accept": "text/html"}))

    def page(self, path: str, status: int = 200) -> Page:
        """A page that is as every page must be."""
        answer = self.get(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return check(answer.text)

    def job(self, state: str, result: dict[str, Any] | None = None, **request: Any) -> str:
        """A job in this state."""
        asked = {"project": None, "symbols": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-01-02"}
        asked |= {"end": "2024-01-31", "engine": None, "provider": None, "only_data": False, **request}
        job = self.store.create("download" if asked["only_data"] else "backtest", asked)
        if state != "queued":
            self.store.update(job.id, JobState.RUNNING, {})
            self.store.update(job.id, JobState(state), result or {})
        return job.id


def report(**facts: Any) -> dict[str, Any]:
    """What a download came to."""
    counts = {"days_requested": 42, "days_present": 0, "days_downloaded": 42, "days_empty": 0, "days_failed": 0}
    return {
        "provider": "polygon",
        **counts,
        "api_calls": 3,
        "http_cache_hits": 1,
        "retries": 2,
        "bytes_fetched": 1_234_567,
        "bars": 16_380,
        "duration_s": 1.5,
        "failures": [],
        "notices": [],
        "fallback": None,
        "cancelled": False,
        **facts,
    }


def result(**facts: Any) -> dict[str, Any]:
    """What a backtest came to."""
    phases = [{"name": name, "started_at": NOW.isoformat(), "duration_s": 61.0} for name in ("data_download", "engine")]
    return {
        "state": "completed",
        "project": None,
        "symbols": ["SPY", "AAPL"],
        "resolution": "minute",
        "start": "2024-01-02",
        "end": "2024-01-31",
        "phases": phases,
        "download": report(),
        "engine_choice": "the smoke test, as asked for",
        "engine": {
            "engine": "smoke",
            "summary": ["Buy and hold came to something."],
            "statistics": {"Total Return": "1.234%"},
            "equity": {"dates": ["2024-01-02", "2024-01-03"], "values": [100_000.0, 101_234.0]},
            "bars": 16_380,
            "days": 21,
            "failed_data_requests": ["equity/usa/minute/spy/20240103_trade.zip"],
            "duration_s": 1.0,
            "results_folder": None,
            "notes": ["Prices are as traded."],
        },
        "error": None,
        **facts,
    }
