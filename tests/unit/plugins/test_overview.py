"""The overview of providers and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ConfigurationError
from server.plugins.manager import build_plugin_manager
from server.plugins.overview import ProviderOverview, SettingValue, provider_overview, reason_of_choice
from server.settings import Source, load_settings
from tests.support.plugin_package import BROKEN, BROKEN_REASON
from tests.support.settings import KEY, write_lean

NEEDY = """
from pathlib import Path

@frozen
class Needy:
    account: str = setting(env=("NEEDY_ACCOUNT",))
    keep: bool = setting(default=True)
    folder: Path | None = setting(default=None)

@hookimpl
def backtest_data_providers():
    return [spec("needy", Needy)]
"""
ROLLBACK = "USE_POLYGON_NATIVE_DOWNLOADER"
Install = Callable[..., str]


def overview_of(folder: Path, environ: dict[str, str] | None = None, **flags: Any) -> ProviderOverview:
    settings = load_settings(flags=flags, environ=environ or {}, cwd=folder)
    return provider_overview(settings, build_plugin_manager())


def test_installed_providers(tmp_path: Path) -> None:
    """Providers by name with their package and settings; a key is only set or not set."""
    lean = write_lean(tmp_path, {"backtest-server": {"providers": {"polygon": {"retry-attempts": 3}}}})
    overview = overview_of(tmp_path, {"POLYGON_API_KEY": KEY})

    assert [one.name for one in overview.providers] == ["lean-cli", "polygon"]
    assert {one.distribution for one in overview.providers} == {"backtest-server"}
    cli, polygon = overview.providers
    assert SettingValue("api-key", "set", Source("environment", "POLYGON_API_KEY")) in polygon.settings
    assert SettingValue("retry-attempts", "3", Source("lean.json", str(lean))) in polygon.settings
    assert SettingValue("requests-per-minute", "none", Source("default")) in polygon.settings
    assert SettingValue("license-type", "Individual", Source("default")) in cli.settings
    assert KEY not in repr(overview)
    without_key = overview_of(tmp_path).providers[1].settings
    assert SettingValue("api-key", "not set", Source("default")) in without_key


def test_settings_of_the_server(tmp_path: Path) -> None:
    """Each of the server's settings as text."""
    overview = overview_of(tmp_path, {ROLLBACK: "0"})

    assert [row.setting for row in overview.settings][:3] == ["data-folder", "data-provider", "fallback-data-provider"]
    values = {row.setting: row.value for row in overview.settings}
    assert values["data-folder"] == str(tmp_path / "data")
    assert values["fallback-data-provider"] == "none"
    assert values["use-polygon-native-downloader"] == "false"


@pytest.mark.parametrize(
    ("environ", "flags", "reason"),
    [
        ({}, {}, "it is the default"),
        ({}, {"provider": "lean-cli"}, "data-provider is lean-cli (flag --provider)"),
        (
            {ROLLBACK: "no"},
            {},
            f"lean-cli replaces polygon: use-polygon-native-downloader is false (environment variable {ROLLBACK})",
        ),
    ],
)
def test_reason_of_the_choice(tmp_path: Path, environ: dict[str, str], flags: dict[str, str], reason: str) -> None:
    """The sentence names the setting and its source."""
    assert reason_of_choice(overview_of(tmp_path, environ, **flags)) == reason


def test_provider_that_lacks_a_setting(tmp_path: Path, install: Install) -> None:
    """It is listed with the setting that it lacks, and the others are listed as usual."""
    install("needy", NEEDY)

    overview = overview_of(tmp_path)

    assert [one.name for one in overview.providers] == ["lean-cli", "needy", "polygon"]
    needy = overview.providers[1]
    assert needy.settings == ()
    assert needy.problem == (
        "needy's account is not set; set NEEDY_ACCOUNT or write backtest-server.providers.needy.account in lean.json"
    )
    assert all(one.settings and one.problem is None for one in overview.providers if one.name != "needy")
    (needy,) = [one for one in overview_of(tmp_path, {"NEEDY_ACCOUNT": "me"}).providers if one.name == "needy"]
    assert [row.value for row in needy.settings] == ["me", "true", "none"]


def test_value_that_does_not_fit(tmp_path: Path) -> None:
    """A value that does not fit is an error, not a property of the provider."""
    with pytest.raises(ConfigurationError, match="polygon's retry-attempts is 'x'"):
        overview_of(tmp_path, {"BACKTEST_SERVER_RETRY_ATTEMPTS": "x"})


def test_chosen_provider_whose_plugin_failed(tmp_path: Path, install: Install) -> None:
    """The reason of the choice includes why the provider is not available; the fallback is not in effect."""
    install("ticktape", BROKEN)
    lean = write_lean(tmp_path, {"backtest-server": {"data-provider": "ticktape"}})

    overview = overview_of(tmp_path)

    assert overview.choice.name == "ticktape"
    assert overview.unavailable == overview.problems
    assert reason_of_choice(overview) == (
        f"data-provider is ticktape (lean.json:{lean}); "
        f"it is not available: the plugin ticktape was left out: {BROKEN_REASON}"
    )
    write_lean(tmp_path, {"backtest-server": {"fallback-data-provider": "ticktape"}})
    assert overview_of(tmp_path).fallback is None
