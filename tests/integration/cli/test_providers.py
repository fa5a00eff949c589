"""The command providers."""

from __future__ import annotations

import json

import attrs
import pytest

from server.plugins import manager
from server.plugins.hookspecs import ProviderSpec, setting
from server.plugins.manager import OfferedProvider
from tests.support.cli_market import MINUTES, Serve
from tests.support.command_line import CommandLine


@pytest.mark.parametrize(
    ("variables", "flags", "chosen", "why"),
    [
        ({}, (), "polygon", "it is the default"),
        (
            {"BACKTEST_SERVER_DATA_PROVIDER": "lean-cli"},
            (),
            "lean-cli",
            "data-provider is lean-cli (environment variable BACKTEST_SERVER_DATA_PROVIDER)",
        ),
        (
            {"BACKTEST_SERVER_DATA_PROVIDER": "lean-cli"},
            ("--provider", "polygon"),
            "polygon",
            "data-provider is polygon (flag --provider)",
        ),
        (
            {"USE_POLYGON_NATIVE_DOWNLOADER": "false"},
            (),
            "lean-cli",
            "lean-cli replaces polygon: use-polygon-native-downloader is false "
            "(environment variable USE_POLYGON_NATIVE_DOWNLOADER)",
        ),
    ],
)
def test_providers_says_which_is_chosen_and_why(
    command: CommandLine, variables: dict[str, str], flags: tuple[str, ...], chosen: str, why: str
) -> None:
    """A star before it, the reason below, in words and in JSON."""
    command.set(**variables)

    words, found = command.run("providers", *flags), json.loads(command.run("providers", *flags, "--json").out)

    assert words.code == 0
    assert next(line for line in words.out.splitlines() if line.startswith("* ")).split()[1] == chosen
    assert words.out.splitlines()[-1] == f"chosen: {chosen}, since {why}; no fallback"
    assert (found["chosen"], found["why"], found["fallback"]) == (chosen, why, None)
    assert [provider["name"] for provider in found["providers"]] == ["lean-cli", "polygon"]
    settings = {row["setting"]: row for row in found["providers"][1]["settings"]}
    assert settings["api-key"] == {
        "setting": "api-key",
        "value": "set",
        "source": "environment variable POLYGON_API_KEY",
    }
    assert settings["max-concurrent-requests"]["value"] == "5"
    assert command.files() == {}


def test_a_provider_that_lacks_a_setting_is_no_trouble_to_the_others(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed with what it lacks, and chosen it is an error that says what to set."""

    @attrs.frozen
    class Config:
        account: str = setting(env=("ACME_ACCOUNT",))

    spec = ProviderSpec(
        name="acme", summary="needs an account", config_class=Config, create=lambda config, context: None
    )
    found = manager.build_plugin_manager()
    offered = OfferedProvider(spec=spec, plugin="acme", distribution="acme-plugin")
    plugins = attrs.evolve(found, providers={**found.providers, "acme": offered})
    monkeypatch.setattr(manager, "build_plugin_manager", lambda: plugins)
    served()

    assert command.run("download", "SPY", *MINUTES).code == 0
    listed = command.run("providers")
    assert listed.code == 0
    assert "cannot be used: acme's account is not set; set ACME_ACCOUNT" in listed.out
    answer = command.run("download", "SPY", *MINUTES, "--provider", "acme")
    assert answer.code == 2
    assert answer.errors[0].startswith("error: acme's account is not set; set ACME_ACCOUNT")
