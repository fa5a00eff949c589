"""The pages as the server renders them: empty, full, failing, and with text that means harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from server.backtest_server import BacktestManager
from server.jobs import JobState, JobStore
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.web.access import Access
from server.web.app import create_app
from server.web.pages import PER_PAGE
from server.workspace import Workspace
from tests.support.plugin_package import BROKEN, BROKEN_REASON, write_plugin

WEB = Path(__file__).parents[2] / "server" / "web"
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t-key-of-a-user"
HARM = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
STYLES = {"base.css", "parts.css", "views.css"}
PAGES = ("/", "/coverage", "/performance", "/providers")


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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """``site(**environ)`` gives a running application."""
    with ExitStack() as stack:

        def start(**environ: str) -> Site:
            settings = load_settings(
                flags={"data-folder": tmp_path / "data"},
                environ={"POLYGON_API_KEY": SECRET, **environ},
                cwd=tmp_path,
            )
            workspace = Workspace.open(settings, build_plugin_manager(), lambda: NOW)
            stack.callback(workspace.close)
            store = JobStore(None, lambda: NOW)
            manager = BacktestManager(workspace, environ={}, store=store)
            app = create_app(
                workspace,
                manager,
                access=Access(),
                projects=tmp_path,
                benchmarks=tmp_path / "results",
                metrics=lambda: (b"", "text/plain"),
            )
            portal = stack.enter_context(
                start_blocking_portal()
            )  # a loop of its own: a browser's may run in this thread
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            manager.jobs.close()  # what the tests put into the store stays as it is
            return Site(app, store, portal)

        yield start


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


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_server(site: Callable[..., Site], path: str) -> None:
    """Every page renders with nothing to show, and marks itself in the navigation."""
    page = site().page(path)

    (current,) = [attributes["href"] for _, attributes in page.tags if attributes.get("aria-current") == "page"]
    assert current == path


def test_the_list_says_what_there_is(site: Callable[..., Site]) -> None:
    """Without a script: the states, what was asked for, and how long it took; the newest first."""
    one = site()
    for state in ("completed", "failed", "cancelled", "interrupted", "running", "queued"):
        one.job(state, result())
    page = one.page("/")

    states = [attributes["data-state"] for attributes in page.with_testid("job-state")]
    assert states == ["queued", "running", "interrupted", "cancelled", "failed", "completed"]
    assert page.with_testid("jobs")[0]["data-active"] == "yes"
    assert "SPY AAPL minute 2024-01-02 to 2024-01-31 2024-06-03 12:00:00 UTC 0.00 s" in page.text


def test_pages_of_the_list(site: Callable[..., Site]) -> None:
    """More jobs than fit are paged; a page that is not there says so."""
    one = site()
    for _ in range(PER_PAGE + 1):
        one.job("completed", result())

    first, second, third = one.page("/"), one.page("/?page=2"), one.page("/?page=3")
    assert (len(first.with_testid("job")), len(second.with_testid("job")), len(third.with_testid("job"))) == (20, 1, 0)
    assert [link["href"] for link in first.with_testid("older")] == ["/?page=2"]
    assert [link["href"] for link in second.with_testid("newer")] == ["/?page=1"]
    assert not first.with_testid("newer")
    assert not second.with_testid("older")
    assert "There is no page 3." in third.text
    assert "does not fit" in one.page("/?page=0", 422).text


def test_a_completed_backtest(site: Callable[..., Site]) -> None:
    """Phases, data, statistics, what LEAN did not find, notes."""
    one = site()
    page = one.page(f"/backtests/{one.job('completed', result())}")

    assert "Data done in 1 min 01 s Engine done in 1 min 01 s" in page.text
    assert "42 symbol-days: 0 were on disk, 42 downloaded, 0 without bars." in page.text
    assert "Fetched 1.2 MB Requests 3 Cache hits 1 Retries 2" in page.text
    assert "Total Return 1.234%" in page.text
    assert "Failed data requests: 1 equity/usa/minute/spy/20240103_trade.zip" in page.text
    assert "Prices are as traded." in page.text
    assert page.with_testid("retry")
    assert not page.with_testid("cancel")
    (equity,) = page.with_testid("equity")
    assert equity["aria-label"] == "Equity curve from 100000.00 on 2024-01-02 to 101234.00 on 2024-01-03"


def test_nothing_was_missing(site: Callable[..., Site]) -> None:
    """A run that asked for nothing says so."""
    one = site()
    download = report(days_present=42, days_downloaded=0, api_calls=0)
    page = one.page(f"/backtests/{one.job('completed', result(download=download))}")

    assert "All 42 symbol-days were on disk; no request was sent." in page.text


def test_a_failed_backtest(site: Callable[..., Site]) -> None:
    """The error is one sentence, with what the fallback did and which days are missing."""
    one = site()
    failure = {"symbol": "SPY", "resolution": "minute", "days": ["2024-01-02", "2024-01-03"], "error": "it is down"}
    download = report(
        days_downloaded=40, days_failed=2, failures=[failure], fallback="lean-cli", notices=["polygon failed"]
    )
    error = {"code": "provider_unavailable", "message": "it is down; set `retry-seconds`"}
    facts = result(download=download, engine=None, error=error, phases=result()["phases"][:1])
    page = one.page(f"/backtests/{one.job('failed', facts)}")

    assert "it is down; set retry-seconds provider_unavailable" in page.text
    assert "The fallback lean-cli was used, too: 2 of 42 symbol-days are still missing." in page.text
    assert "SPY 2024-01-02 to 2024-01-03, 2 days it is down" in page.text
    assert "Data failed in 1 min 01 s Engine not reached" in page.text
    assert not page.with_testid("result")
    assert one.page("/").with_testid("job")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("queued", "Queued: two jobs run at once, in order."),
        ("running", "Cancel"),
        ("cancelled", "Cancelled. What was fetched is kept"),
        ("interrupted", "The server stopped while this ran. Retry it"),
    ],
)
def test_a_backtest_without_a_result(site: Callable[..., Site], state: str, says: str) -> None:
    """A job that has come to nothing yet, or never will, has a page too."""
    one = site()

    assert says in one.page(f"/backtests/{one.job(state)}").text


def test_a_download(site: Callable[..., Site]) -> None:
    """A download has no engine; its page is found under both addresses."""
    one = site()
    identity = one.job("completed", result(engine=None, engine_choice=None), only_data=True)

    for path in (f"/downloads/{identity}", f"/backtests/{identity}"):
        page = one.page(path)
        assert page.with_testid("phase-data_download")
        assert not page.with_testid("phase-engine")
        assert [tag["data-api"] for _, tag in page.tags if "data-api" in tag] == [f"/api/downloads/{identity}"]


def test_a_request_that_leaves_all_to_the_project(site: Callable[..., Site]) -> None:
    """Before it has begun, nothing but the project is known."""
    one = site()
    project = {"project": "/projects/Momentum", "symbols": None, "resolution": None, "start": None, "end": None}
    identity = one.job("queued", **project)

    assert "Momentum" in one.page("/").text
    page = one.page(f"/backtests/{identity}")
    assert "Symbols of the project" in page.text
    assert "/projects/" not in page.text


def test_harm_is_only_text(site: Callable[..., Site]) -> None:
    """Nothing that a vendor, a project or an address says becomes markup."""
    one = site()
    failure = {"symbol": HARM, "resolution": "minute", "days": ["2024-01-02"], "error": HARM}
    engine = {**result()["engine"], "summary": [HARM], "notes": [HARM], "statistics": {HARM: HARM}}
    engine |= {"failed_data_requests": [HARM], "results_folder": HARM}
    facts = result(
        symbols=[HARM],
        engine=engine,
        engine_choice=HARM,
        error={"code": HARM, "message": HARM},
        download=report(notices=[HARM], failures=[failure], days_failed=1, fallback=HARM, provider=HARM),
    )
    identity = one.job("failed", facts, project=f"/p/{HARM.replace('/', '')}", provider=HARM)
    paths = ["/", f"/backtests/{identity}", f"/backtests/{HARM}", f"/{HARM}"]
    paths += [f"/coverage?symbol={HARM}&start={HARM}&end={HARM}&resolution={HARM}"]
    for path in paths:
        answer = one.get(path)
        page = check(answer.text)
        assert not [tag for tag, _ in page.tags if tag == "img"], path
        assert "<script>alert" not in answer.text, path
    assert HARM in one.page(f"/backtests/{identity}").text


def test_there_is_no_such_backtest(site: Callable[..., Site]) -> None:
    """An unknown id is a page that says so."""
    assert "There is no such backtest." in site().page("/backtests/0123456789ab", 404).text


def test_coverage_takes_what_it_can_from_the_address(site: Callable[..., Site]) -> None:
    """Symbols, resolution and days stand in the form; what does not fit is left out."""
    one = site()

    def form(query: str) -> tuple[list[str | None], list[str | None]]:
        page = one.page(f"/coverage{query}")
        fields = [page.with_testid(name)[0]["value"] for name in ("symbols", "start", "end")]
        chosen = [attributes.get("selected", "no") for name, attributes in page.tags if name == "option"]
        return fields, chosen

    assert form("?symbol=SPY&symbol=BRK.B&resolution=second&start=2024-01-02&end=2024-02-02") == (
        ["SPY, BRK.B", "2024-01-02", "2024-02-02"],
        ["no", "no", "no", None],
    )
    assert form("?resolution=week&start=yesterday") == (["", "2023-01-01", "2024-06-03"], [None, "no", "no", "no"])


def test_providers_keep_secrets(site: Callable[..., Site]) -> None:
    """Settings with their source; of a key only that it is set."""
    page = site(BACKTEST_SERVER_FALLBACK_DATA_PROVIDER="lean-cli").page("/providers")

    assert [provider["data-provider"] for provider in page.with_testid("provider")] == ["polygon", "lean-cli"]
    assert "api-key set environment variable POLYGON_API_KEY" in page.text
    assert "Missing days come from polygon , since it is the default. What it cannot get now is asked of" in page.text
    assert SECRET not in page.text


def test_providers_that_cannot_be_used(
    site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page and API list a provider that lacks a setting, and report a plugin that failed to load with its reason."""
    needy = """
@frozen
class Needy:
    account: str = setting(env=("NEEDY_ACCOUNT",))

@hookimpl
def backtest_data_providers():
    return [spec("needy", Needy)]
"""
    for name, code in (("needy", needy), ("ticktape", BROKEN)):
        monkeypatch.syspath_prepend(write_plugin(tmp_path, name, code)[0])
    lean = {"backtest-server": {"data-provider": "ticktape", "providers": {"ticktape": {"token": "x"}}}}
    (tmp_path / "lean.json").write_text(json.dumps(lean))
    one = site()
    lacking = "needy's account is not set; set NEEDY_ACCOUNT or write backtest-server.providers.needy.account"

    page = one.page("/providers")
    answer = one.get("/api/providers")

    assert page.with_testid("plugin-problem")
    assert f"The plugin ticktape was left out: {BROKEN_REASON}" in page.text
    assert lacking in page.text.replace("`", "")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["problems"] == [{"plugin": "ticktape", "reason": BROKEN_REASON}]
    assert (found["chosen"], found["fallback"]) == ("ticktape", None)
    assert f"it is not available: the plugin ticktape was left out: {BROKEN_REASON}" in found["why"]
    problems = {provider["name"]: provider["problem"] for provider in found["providers"]}
    assert problems == {"lean-cli": None, "needy": f"{lacking} in lean.json", "polygon": None}
    native = [row["value"] for row in found["settings"] if row["setting"] == "use-polygon-native-downloader"]
    assert native == ["true"]


def test_what_pages_refer_to_is_there(site: Callable[..., Site]) -> None:
    """Every style, script and import is served from here; what comes from npm, once `make assets` has run."""
    one = site()
    wanted = {
        tag["src"] if name == "script" else tag["href"]
        for path in (*PAGES, f"/backtests/{one.job('queued')}")
        for name, tag in one.page(path).tags
        if name in ("script", "link")
    }
    seen: set[str] = set()
    while wanted:
        path = wanted.pop()
        assert path is not None
        seen.add(path)
        answer = one.get(path)
        assert answer.status_code == 200, f"{path} is missing; run make assets"
        folder = path.rpartition("/")[0]
        found = re.findall(r'(?:from|import\()\s*"(\./[^"]+|\.\./[^"]+)"', answer.text) if path.endswith(".js") else []
        absolute = re.findall(r'url\("([^"]+)"\)', answer.text) if path.endswith(".css") else []
        wanted |= {httpx.URL("http://127.0.0.1").join(f"{folder}/{name}").path for name in found} | set(absolute)
        wanted -= seen
    assert {Path(path).name for path in seen} >= STYLES
    scripts = {path.name for path in (WEB / "static" / "js").glob("*.js")}
    assert scripts == {Path(path).name for path in seen if "/js/" in path}, "each script is used by some page"


def test_scripts_make_no_markup_from_text() -> None:
    """Data becomes text, never markup; nothing is evaluated; nothing is asked of another host."""
    for path in [*(WEB / "static" / "js").glob("*.js"), *(WEB / "static" / "css").glob("*.css")]:
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, f"{path.name} uses {word}"
        hosts = set(re.findall(r"https?://([^/\"']+)", text))
        assert hosts <= {"www.w3.org"}, f"{path.name} names {hosts}"


def test_the_lock_file_names_no_registry() -> None:
    """Packages are held by version and hash, wherever they are fetched from."""
    lock = json.loads((WEB / "assets" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: facts for name, facts in lock["packages"].items() if name}

    assert packages
    assert all("resolved" not in facts and facts["integrity"] for facts in packages.values())
    assert "://" not in (WEB / "assets" / "package.json").read_text(encoding="utf-8")
