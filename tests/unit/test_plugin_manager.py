"""Finding plugins: what they offer, and that one that fails takes no other with it."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ConfigurationError
from server.core.events import Event
from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from server.plugins import hookspecs
from server.plugins.manager import BUILT_IN, Plugins, build_plugin_manager

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

HEAD = """
from attrs import frozen
from server.plugins.hookspecs import ProviderSpec, hookimpl, setting

@frozen
class Config:
    speed: int = setting(default=1)

def spec(name, config_class=Config):
    return ProviderSpec(name=name, summary="a test's", config_class=config_class, create=lambda config, context: None)
"""
ACME = """
@hookimpl
def backtest_data_providers():
    return [spec("acme")]
"""
_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(name, code)`` puts a plugin's distribution on the path, as pip does; gives its module's name."""
    modules = []

    def put(name: str, code: str, *, distribution: str | None = None, head: str = HEAD) -> str:
        number = next(_numbers)
        module, site = f"plugin_of_a_test_{number}", tmp_path / f"site-{number}"
        distribution = distribution or f"{name}-plugin"
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(head + code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[backtest_server]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(site)
        modules.append(module)
        return module

    yield put
    for module in modules:
        sys.modules.pop(module, None)


def reasons(plugins: Plugins) -> dict[str, str]:
    """Why each plugin was left out."""
    assert len({problem.plugin for problem in plugins.problems}) == len(plugins.problems)
    return {problem.plugin: problem.reason for problem in plugins.problems}


def module_of(plugins: Plugins, hook: str) -> list[str]:
    """The modules that implement a hook."""
    return [found.plugin.__name__ for found in getattr(plugins._manager.hook, hook).get_hookimpls()]


# --- what is found ---


def test_the_built_in_providers_come_through_entry_points() -> None:
    """They are found in the installed package's metadata like anybody's, without a problem."""
    found = {point.name: point.value for point in importlib.metadata.entry_points(group="backtest_server")}
    assert found["polygon"] == "server.plugins.polygon_provider.plugin"
    assert found["lean_cli"] == "server.plugins.lean_cli_provider.plugin"

    plugins = build_plugin_manager()

    assert plugins.problems == ()
    assert {"polygon", "lean-cli"} <= set(plugins.providers)
    assert (plugins.providers["polygon"].plugin, plugins.providers["lean-cli"].plugin) == ("polygon", "lean_cli")
    assert plugins.providers["polygon"].distribution == "backtest-server"


def test_a_checkout_that_is_not_installed_has_the_built_ins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any metadata they are found all the same."""
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])

    plugins = build_plugin_manager()

    assert set(plugins.providers) == {"polygon", "lean-cli"}
    assert set(BUILT_IN) == {"polygon", "lean_cli"}


def test_a_third_partys_provider_stands_beside_the_built_ins(install: Install) -> None:
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


def test_an_unknown_provider_is_an_error_that_names_those_there_are(install: Install) -> None:
    """Plugins that were left out are named as well, since it may have been theirs."""
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


# --- what fails, and alone ---


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
    """Nothing of it stays registered; a plugin found after it is there."""
    broken = install("broken", ACME + code)
    install("zeta", ACME.replace("acme", "zeta"))

    plugins = build_plugin_manager()

    assert reasons(plugins).keys() == {"broken"}
    assert reasons(plugins)["broken"].startswith(reason)
    assert "\n" not in reasons(plugins)["broken"]
    assert set(plugins.providers) == {"polygon", "lean-cli", "zeta"}
    assert broken not in module_of(plugins, "backtest_data_providers")
    plugins.notify(EVENT)


def test_an_unknown_hook_is_named(install: Install) -> None:
    """So that its author sees the slip."""
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


def test_nobody_takes_a_built_ins_name(install: Install) -> None:
    """Neither the plugin's nor the provider's, wherever on the path it stands."""
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
    told = [problem.reason for problem in plugins.problems if problem.plugin == "mixed"]
    assert len(told) == 6 == len(plugins.problems)
    for reason, word in zip(
        told, ["a str, which is no ProviderSpec", "polygon", "Not A Name", "none", "plain", "unresolvable"], strict=True
    ):
        assert word in reason


@pytest.mark.parametrize("answer", ["5", "1 / 0", "[{}][1]"])
def test_a_plugin_that_fails_to_name_its_providers(install: Install, answer: str) -> None:
    """It is reported; the others are asked."""
    install("broken", f"@hookimpl\ndef backtest_data_providers():\n    return {answer}")

    plugins = build_plugin_manager()

    assert set(plugins.providers) == {"polygon", "lean-cli"}
    assert "it fails to name its providers" in reasons(plugins)["broken"]


# --- every hook ---


def test_backtest_data_providers_may_be_left_out_or_give_none(install: Install) -> None:
    """A plugin that only listens is a plugin."""
    install("listener", "@hookimpl\ndef backtest_progress(event): pass")
    install("nothing", "@hookimpl\ndef backtest_data_providers(): return None")
    install("generator", "@hookimpl\ndef backtest_data_providers():\n    yield spec('made')")

    plugins = build_plugin_manager()

    assert plugins.problems == ()
    assert set(plugins.providers) == {"polygon", "lean-cli", "made"}


LISTENER = """
told = []
@hookimpl
def {hook}({fact}):
    told.append({fact})
    {after}
"""


@pytest.mark.parametrize("others_first", [True, False])
def test_backtest_progress_reaches_every_listener_and_a_failing_one_no_more(
    install: Install, others_first: bool
) -> None:
    """The download does not notice, and the others go on being told."""
    good = LISTENER.format(hook="backtest_progress", fact="event", after="")
    bad = LISTENER.format(hook="backtest_progress", fact="event", after="raise ValueError('ouch')")
    names = {"good": good, "bad": bad}
    modules = {name: install(name, names[name]) for name in sorted(names, reverse=others_first)}
    plugins = build_plugin_manager()

    for _ in range(3):
        plugins.notify(EVENT)

    assert sys.modules[modules["good"]].told == [EVENT] * 3
    assert sys.modules[modules["bad"]].told == [EVENT]


def test_backtest_progress_may_fail_in_several_threads_at_once(install: Install) -> None:
    """Events come from several threads; none of them is ended by a listener."""
    module = install(
        "bad",
        """
import threading
barrier = threading.Barrier(4)
@hookimpl
def backtest_progress(event):
    barrier.wait(5)
    raise ValueError("all together")
""",
    )
    plugins = build_plugin_manager()
    errors: list[BaseException] = []

    def notify() -> None:
        try:
            plugins.notify(EVENT)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=notify) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert module not in module_of(plugins, "backtest_progress")


def test_backtest_progress_may_leave_out_what_it_does_not_need(install: Install) -> None:
    """As everywhere in pluggy, a hook takes the arguments it names."""
    module = install("counter", "count = []\n@hookimpl\ndef backtest_progress():\n    count.append(1)")
    plugins = build_plugin_manager()

    plugins.notify(EVENT)

    assert sys.modules[module].count == [1]


def test_backtest_download_finished_reaches_every_listener_and_a_failing_one_no_more(install: Install) -> None:
    """As for progress."""
    hook = {"hook": "backtest_download_finished", "fact": "report"}
    good = install("good", LISTENER.format(**hook, after=""))
    bad = install("bad", LISTENER.format(**hook, after="raise KeyError('ouch')"))
    plugins = build_plugin_manager()

    finished = Event(kind="finished", report=REPORT)
    plugins.notify(finished)
    plugins.notify(finished)

    assert sys.modules[good].told == [REPORT, REPORT]
    assert sys.modules[bad].told == [REPORT]


def test_every_hook_of_the_contract_has_a_test() -> None:
    """A hook that is added to the contract page is demanded here by its name."""
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "backtest_server_spec")]
    tests: list[Any] = [name for name in globals() if name.startswith("test_")]

    assert len(hooks) >= 3
    for hook in hooks:
        assert any(name.startswith(f"test_{hook}_") for name in tests), hook
        assert vars(hookspecs)[hook].__doc__, hook
