"""What holds for every page: it renders empty, escapes text, and loads only what the server has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.rendered_pages import PAGES, WEB, Site, check, report, result

HARM = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
STYLES = {"base.css", "parts.css", "views.css"}


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_server(site: Callable[..., Site], path: str) -> None:
    """Every page renders with nothing to show, and marks itself in the navigation."""
    page = site().page(path)

    (current,) = [attributes["href"] for _, attributes in page.tags if attributes.get("aria-current") == "page"]
    assert current == path


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
