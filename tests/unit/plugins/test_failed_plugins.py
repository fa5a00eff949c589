"""Commands work although a plugin failed to load and settings mention its provider; the reason is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import cli
from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError
from server.data_download.hosted_provider import HostedProvider
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace
from tests.support.plugin_package import BROKEN, BROKEN_REASON
from tests.support.settings import write_lean

Install = Callable[..., str]
LEFT_OUT = f"the plugin ticktape was left out: {BROKEN_REASON}"
OWN = {"backtest-server": {"providers": {"ticktape": {"token": "x", "speed": 3}}}}
CHOSEN = {"backtest-server": {"data-provider": "ticktape", **OWN["backtest-server"]}}
FALLBACK = {"backtest-server": {"fallback-data-provider": "ticktape"}}
RANGE = ("SPY", "--resolution", "daily", "--start", "2024-01-02", "--end", "2024-01-03")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``run(*arguments)`` runs a command in the test's folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        shown = capsys.readouterr()
        return int(str(ended.value.code)), shown.out, shown.err

    return command


def workspace_of(folder: Path, environ: dict[str, str] | None = None) -> Workspace:
    return Workspace.open(load_settings(environ=environ or {}, cwd=folder), build_plugin_manager())


@pytest.mark.parametrize("lean", [OWN, CHOSEN, FALLBACK])
@pytest.mark.parametrize("flags", [(), ("--provider", "polygon")])
def test_providers_reports_the_reason(
    tmp_path: Path, install: Install, run: Callable[..., Any], lean: Any, flags: tuple[str, ...]
) -> None:
    """Whatever setting mentions the provider, `providers` works and gives the reason."""
    install("ticktape", BROKEN)
    write_lean(tmp_path, lean)

    code, out, err = run("providers", "--json", *flags)

    assert code == 0
    assert f"warning: {LEFT_OUT}\n" in err
    found = json.loads(out)
    assert found["problems"] == [{"plugin": "ticktape", "reason": BROKEN_REASON}]
    assert [one["name"] for one in found["providers"]] == ["lean-cli", "polygon"]
    assert found["fallback"] is None
    chosen = "ticktape" if lean is CHOSEN and not flags else "polygon"
    assert found["chosen"] == chosen
    assert (LEFT_OUT in found["why"]) == (chosen == "ticktape")


def test_providers_in_words(tmp_path: Path, install: Install, run: Callable[..., Any]) -> None:
    """The reason is part of the text as well; the last line is the choice."""
    install("ticktape", BROKEN)
    lean = write_lean(tmp_path, CHOSEN)

    code, out, _ = run("providers")

    assert code == 0
    assert LEFT_OUT in out.splitlines()
    assert out.splitlines()[-1] == (
        f"chosen: ticktape, since data-provider is ticktape (lean.json:{lean}); it is not available: {LEFT_OUT}; "
        "no fallback"
    )


@pytest.mark.parametrize("lean", [OWN, CHOSEN, FALLBACK])
def test_commands_that_need_no_provider_work(
    tmp_path: Path, install: Install, run: Callable[..., Any], lean: Any
) -> None:
    """`coverage` and `verify` work, with a warning line."""
    install("ticktape", BROKEN)
    write_lean(tmp_path, lean)

    code, out, err = run("coverage", *RANGE, "--json")
    assert code == 1  # days are missing
    assert set(json.loads(out)["symbols"]["SPY"]["days"].values()) == {"missing"}
    assert f"warning: {LEFT_OUT}\n" in err
    (tmp_path / "data").mkdir()
    code, _, err = run("verify", "--resolution", "daily")
    assert code == 0
    assert f"warning: {LEFT_OUT}\n" in err


def test_download_by_a_provider_whose_plugin_failed(tmp_path: Path, install: Install, run: Callable[..., Any]) -> None:
    """Its days fail with the reason; nothing is written."""
    install("ticktape", BROKEN)
    write_lean(tmp_path, CHOSEN)

    code, out, err = run("download", *RANGE, "--json")

    assert code == 1
    report = json.loads(out)
    assert (report["provider"], report["days_failed"]) == ("ticktape", 2)
    assert f"error: there is no data provider 'ticktape'; installed are: lean-cli, polygon; {LEFT_OUT} [SPY: " in err
    assert not (tmp_path / "data").exists()
    code, _, err = run("download", *RANGE, "--dry-run")
    assert code == 2
    assert LEFT_OUT in err


def test_provider_with_another_name_than_its_plugin(tmp_path: Path, install: Install) -> None:
    """A plugin that failed before it named its providers may be the one; a warning names the unused settings."""
    install("acme_data", BROKEN)
    write_lean(tmp_path, OWN)

    workspace = workspace_of(tmp_path, {"BACKTEST_SERVER_TICKTAPE_TOKEN": "x"})

    assert workspace.warnings() == [
        f"the plugin acme_data was left out: {BROKEN_REASON}",
        "the settings of 'ticktape' have no effect: it is not installed",
        "the environment variable 'BACKTEST_SERVER_TICKTAPE_TOKEN' has no effect: no installed provider declares it",
    ]
    workspace.close()


def test_provider_of_a_plugin_that_named_its_providers(tmp_path: Path, install: Install) -> None:
    """Where only one named provider was left out, settings of another unknown provider are still an error."""
    install("mixed", "@hookimpl\ndef backtest_data_providers():\n    return [spec('mine', str)]")
    write_lean(tmp_path, {"backtest-server": {"providers": {"mine": {"x": 1}}}})
    workspace_of(tmp_path).close()
    write_lean(tmp_path, {"backtest-server": {"providers": {"polygn": {"x": 1}}}})

    with pytest.raises(ConfigurationError, match="'polygn' under backtest-server"):
        workspace_of(tmp_path)


@pytest.mark.parametrize(
    ("lean", "environ", "message"),
    [
        (OWN, {}, "'ticktape' under backtest-server.providers is not a setting"),
        (CHOSEN, {}, "'ticktape' under backtest-server.providers is not a setting"),
        (FALLBACK, {}, "there is no data provider 'ticktape'; installed are: lean-cli, polygon$"),
        ({}, {"BACKTEST_SERVER_TICKTAPE_TOKEN": "x"}, "'BACKTEST_SERVER_TICKTAPE_TOKEN' is not a setting"),
    ],
)
def test_without_a_failed_plugin(tmp_path: Path, lean: Any, environ: dict[str, str], message: str) -> None:
    """Where every plugin was loaded, an unknown name is an error as before."""
    write_lean(tmp_path, lean)
    with pytest.raises(ConfigurationError, match=message):
        workspace_of(tmp_path, environ)


def test_fallback_whose_plugin_failed(tmp_path: Path, install: Install) -> None:
    """The chosen provider works without it, and a warning says so."""
    install("ticktape", BROKEN)
    write_lean(tmp_path, FALLBACK)

    workspace = workspace_of(tmp_path, {"POLYGON_API_KEY": "k"})

    assert workspace.downloader().fallback is None
    assert workspace.warnings() == [LEFT_OUT, "the fallback 'ticktape' is not available"]
    workspace.close()


def test_opening_a_provider_whose_plugin_failed(tmp_path: Path, install: Install) -> None:
    """Check and open raise the reason."""
    install("ticktape", BROKEN)
    workspace = workspace_of(tmp_path)
    provider: HostedProvider = workspace.hosted_provider("ticktape")
    for call in (provider.check, lambda: provider.open(CancelToken())):
        with pytest.raises(ConfigurationError, match="the plugin ticktape was left out: it cannot be loaded"):
            call()
    workspace.close()
