"""The pages of coverage, of engines and of providers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.plugin_package import BROKEN, BROKEN_REASON, write_plugin
from tests.support.rendered_pages import SECRET, Site


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


def test_engines_with_what_they_lack(site: Callable[..., Site]) -> None:
    """Page and API have each engine, what it lacks and the fix, and the one that is chosen."""
    one = site(BACKTEST_SERVER_LEAN_LAUNCHER="/nowhere/lean")

    page, answer = one.page("/engines"), one.get("/api/engines")

    engines = page.with_testid("engine")
    assert [(engine["data-engine"], engine["data-ready"]) for engine in engines] == [
        ("lean-native", "no"),
        ("lean-docker", "no"),
        ("lean-cli", "no"),
        ("smoke", "yes"),
    ]
    assert len(page.with_testid("engine-role")) == 1
    found = answer.json()
    assert (answer.status_code, found["chosen"]) == (200, "smoke")
    lacks = [lack for engine in found["engines"] for lack in engine["lacks"]]
    assert "/nowhere/lean" in lacks[0]["what"]
    for lack in lacks:
        assert " ".join(lack["what"].split()) in page.text
        assert lack["fix"] in page.text
    assert found["why"] in page.text
