"""Finding plugins: what they offer, and that one that fails does not affect the others."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from server.core.errors import ConfigurationError
from server.core.events import Event
from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from server.plugins.manager import BUILT_IN, Plugins, build_plugin_manager
from tests.support.plugin_package import ACME, BROKEN, BROKEN_REASON

Install = Callable[..., str]

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
EVENT = Event(kind="notice", at=NOW, message="hello")
REPORT = DownloadReport(
    provider="acme",
    resolution=Resolution.DAILY,
    symbols=("SPY",),
    start=date(2024, 1, 2),
    end=date(2024, 1, 3),
    days_requested=2,
    days_present=2,
    days_downloaded=0,
    days_empty=0,
    days_failed=0,
    api_calls=0,
    http_cache_hits=0,
    retries=0,
    bytes_fetched=0,
    bars=0,
    started_at=NOW,
    finished_at=NOW,
    duration_s=0.0,
)


def reasons(plugins: Plugins) -> dict[str, str]:
    """Why each plugin was left out."""
    assert len({problem.plugin for problem in plugins.problems}) == len(plugins.problems)
    return {problem.plugin: problem.reason for problem in plugins.problems}


# --- what is found ---


def test_the_built_in_providers_come_through_entry_points() -> None:
    """They are found in the installed package's metadata like third-party ones, without a problem."""
    found = {point.name: point.value for point in importlib.metadata.entry_points(group="backtest_server")}
    assert found["polygon"] == "server.plugins.polygon_provider.plugin"
    assert found["lean_cli"] == "server.plugins.lean_cli_provider.plugin"

    plugins = build_plugin_manager()

    assert plugins.problems == ()
    assert {"polygon", "lean-cli"} <= set(plugins.providers)
    assert (plugins.providers["polygon"].plugin, plugins.providers["lean-cli"].plugin) == ("polygon", "lean_cli")
    assert plugins.providers["polygon"].distribution == "backtest-server"


def test_a_checkout_that_is_not_installed_has_the_built_ins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found without any metadata."""
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])

    plugins = build_plugin_manager()

    assert set(plugins.providers) == {"polygon", "lean-cli"}
    assert set(BUILT_IN) == {"polygon", "lean_cli"}


def test_a_third_party_provider(install: Install) -> None:
    """It is named with its plugin and its distribution."""
    install("acme", ACME)

    offered = build_plugin_manager().provider("acme")

    assert (offered.spec.name, offered.plugin, offered.distribution) == ("acme", "acme", "acme-plugin")


def test_a_plugin_can_be_left_unloaded(install: Install) -> None:
    """It is not even imported."""
    module = install("acme", "raise SystemError")

    plugins = build_plugin_manager(disabled=["acme"])

    assert plugins.problems == ()
    assert module not in sys.modules


def test_an_unknown_provider_is_an_error_that_names_the_installed_ones(install: Install) -> None:
    """The plugin that was left out is named with its reason."""
    install("acme", "raise ImportError('no module named pandaz')")

    with pytest.raises(ConfigurationError) as error:
        build_plugin_manager().provider("acme")

    assert "there is no data provider 'acme'; installed are: lean-cli, polygon" in str(error.value)
    assert "the plugin acme was left out: it cannot be loaded: ImportError: no module named pandaz" in str(error.value)


def test_discovery_opens_nothing() -> None:
    """No heavy package is imported, no connection, process or database opened, no key read."""
    code = """
import json, os, sys
seen = []
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "sqlite3.", "os.exec", "os.fork", "os.posix_spawn")):
        seen.append(event)
class Environment(dict):
    def __getitem__(self, name):
        if "KEY" in name:
            seen.append(name)
        return super().__getitem__(name)
from server.plugins.manager import build_plugin_manager
sys.addaudithook(hook)
os.environ._data = Environment(os.environ._data)
plugins = build_plugin_manager()
heavy = ["requests", "urllib3", "requests_cache", "numpy", "pandas", "exchange_calendars", "sqlite3", "rich"]
print(json.dumps([sorted(plugins.providers), [name for name in heavy if name in sys.modules], seen]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(answer.stdout) == [["lean-cli", "polygon"], [], []]


# --- what fails ---


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "it cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("this is no python", "it cannot be loaded: SyntaxError: invalid syntax"),
        ("raise RuntimeError('two\\nlines')", "it cannot be loaded: RuntimeError: two lines"),
        ("import sys\nsys.exit(3)", "it cannot be loaded: SystemExit: 3"),
        ("@hookimpl\ndef backtest_nonsense(): pass", "it does not keep the contract: "),
        ("@hookimpl\ndef backtest_progress(nothing): pass", "it does not keep the contract: "),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_reported_and_the_others_work(
    install: Install, code: str, reason: str
) -> None:
    """It offers nothing; a plugin found after it works."""
    install("broken", ACME + code)
    install("zeta", ACME.replace("acme", "zeta"))

    plugins = build_plugin_manager()

    assert reasons(plugins).keys() == {"broken"}
    assert reasons(plugins)["broken"].startswith(reason)
    assert "\n" not in reasons(plugins)["broken"]
    assert set(plugins.providers) == {"polygon", "lean-cli", "zeta"}
    plugins.notify(EVENT)


def test_an_unknown_hook_is_named(install: Install) -> None:
    """The problem contains the misspelt name."""
    install("slip", "@hookimpl\ndef backtest_progres(event): pass")

    assert "backtest_progres" in reasons(build_plugin_manager())["slip"]


def test_two_plugins_of_one_name(install: Install) -> None:
    """One stays; the problem names both distributions."""
    install("acme", ACME, distribution="acme-one")
    install("acme", ACME, distribution="acme-two")

    plugins = build_plugin_manager()

    assert "acme" in plugins.providers
    assert "both bring a plugin of this name" in reasons(plugins)["acme"]
    assert "acme-one" in reasons(plugins)["acme"]
    assert "acme-two" in reasons(plugins)["acme"]


def test_a_built_in_name_cannot_be_taken(install: Install) -> None:
    """Neither the plugin's nor the provider's, wherever on the path the other one is."""
    install("polygon", ACME, distribution="a-thief")
    install("aaa", ACME.replace("acme", "polygon"))

    plugins = build_plugin_manager()

    assert plugins.provider("polygon").distribution == "backtest-server"
    assert "a-thief" in reasons(plugins)["polygon"]
    assert "its provider 'polygon' has the name of one of the plugin polygon, which stays" in reasons(plugins)["aaa"]


def test_a_plugin_with_one_good_provider_and_bad_ones_keeps_the_good_one(install: Install) -> None:
    """Each of the others is a problem of its own, by name."""
    install(
        "mixed",
        """
class Plain: pass

@frozen
class Unresolvable:
    key: "NoSuchType" = setting(default=None)

@hookimpl
def backtest_data_providers():
    return [
        "words", spec("good"), spec("polygon"), spec("Not A Name"), spec("none"), spec("plain", Plain),
        spec("unresolvable", Unresolvable),
    ]
""",
    )

    plugins = build_plugin_manager()

    assert set(plugins.providers) == {"polygon", "lean-cli", "good"}
    reasons_of_mixed = [problem.reason for problem in plugins.problems if problem.plugin == "mixed"]
    assert len(reasons_of_mixed) == 6 == len(plugins.problems)
    words = ["a str, which is no ProviderSpec", "polygon", "Not A Name", "none", "plain", "unresolvable"]
    for reason, word in zip(reasons_of_mixed, words, strict=True):
        assert word in reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("speed: complex = setting(default=1)", "no setting can have the type complex"),
        ("speed: list[int] = setting(factory=list)", "no setting can have the type list[int]"),
        ("speed = attrs.field(default=1)", "no setting can have the type None"),
        (
            "speed: int = setting(default=1, env=('ACME_SPEED', 'BACKTEST_SERVER_ENGINE'))",
            "BACKTEST_SERVER_ENGINE is a variable of the server and cannot set speed",
        ),
    ],
)
def test_settings_that_cannot_be_filled(install: Install, fields: str, reason: str) -> None:
    """A type that no setting can have and a variable of the server are reported when the plugin is loaded."""
    code = f"import attrs\n@attrs.define\nclass Odd:\n    {fields}\n"
    code += "@hookimpl\ndef backtest_data_providers():\n    return [spec('acme', Odd), spec('fine')]"
    install("acme_data", code)

    plugins = build_plugin_manager()

    assert "fine" in plugins.providers
    assert "acme" not in plugins.providers
    (problem,) = plugins.problems
    assert (problem.plugin, problem.provider) == ("acme_data", "acme")
    assert problem.reason.startswith("the provider acme does not declare its settings well: ")
    assert reason in problem.reason


def test_problems_of_a_provider(install: Install) -> None:
    """The problem of the plugin or provider of this name; else of plugins that did not get to name theirs."""
    install("tick_tape", BROKEN)
    install("other", BROKEN)
    install("mixed", "@hookimpl\ndef backtest_data_providers():\n    return [spec('mine', str)]")

    plugins = build_plugin_manager()

    assert [problem.plugin for problem in plugins.problems_of("tick-tape")] == ["tick_tape"]
    assert [problem.plugin for problem in plugins.problems_of("mine")] == ["mixed"]
    assert sorted(problem.plugin for problem in plugins.problems_of("elsewhere")) == ["other", "tick_tape"]
    assert str(plugins.problems_of("tick-tape")[0]) == f"the plugin tick_tape was left out: {BROKEN_REASON}"


@pytest.mark.parametrize("answer", ["5", "1 / 0", "[{}][1]", "exit(0)"])
def test_a_plugin_that_fails_to_name_its_providers(install: Install, answer: str) -> None:
    """It is reported; the others are called."""
    install("broken", f"@hookimpl\ndef backtest_data_providers():\n    return {answer}")

    plugins = build_plugin_manager()

    assert set(plugins.providers) == {"polygon", "lean-cli"}
    assert "it fails to name its providers" in reasons(plugins)["broken"]


# --- every hook ---
