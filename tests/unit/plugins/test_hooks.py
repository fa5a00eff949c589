"""Hooks: every listener is called, and one that fails does not affect the others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from server.core.events import Event
from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from server.plugins import hookspecs
from server.plugins.manager import Plugins, build_plugin_manager

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


def test_backtest_data_providers_may_be_left_out_or_give_none(install: Install) -> None:
    """A plugin that only listens is a plugin."""
    install("listener", "@hookimpl\ndef backtest_progress(event): pass")
    install("nothing", "@hookimpl\ndef backtest_data_providers(): return None")
    install("generator", "@hookimpl\ndef backtest_data_providers():\n    yield spec('made')")

    plugins = build_plugin_manager()

    assert plugins.problems == ()
    assert set(plugins.providers) == {"polygon", "lean-cli", "made"}


LISTENER = """
calls = []
@hookimpl
def {hook}({fact}):
    calls.append({fact})
    {after}
"""


@pytest.mark.parametrize("others_first", [True, False])
def test_backtest_progress_reaches_every_listener_and_a_failing_one_once(install: Install, others_first: bool) -> None:
    """The caller sees no error, and the other listeners are called on."""
    good = LISTENER.format(hook="backtest_progress", fact="event", after="")
    bad = LISTENER.format(hook="backtest_progress", fact="event", after="raise ValueError('ouch')")
    names = {"good": good, "bad": bad}
    modules = {name: install(name, names[name]) for name in sorted(names, reverse=others_first)}
    plugins = build_plugin_manager()

    for _ in range(3):
        plugins.notify(EVENT)

    assert sys.modules[modules["good"]].calls == [EVENT] * 3
    assert sys.modules[modules["bad"]].calls == [EVENT]


def test_backtest_progress_may_fail_in_several_threads_at_once(install: Install) -> None:
    """Events come from several threads; a failing listener ends none of them."""
    module = install(
        "bad",
        """
import threading
barrier = threading.Barrier(4)
calls = []
@hookimpl
def backtest_progress(event):
    calls.append(event)
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

    plugins.notify(EVENT)
    assert errors == []
    assert len(sys.modules[module].calls) == 4


def test_backtest_progress_may_leave_out_what_it_does_not_need(install: Install) -> None:
    """As everywhere in pluggy, a hook takes the arguments it names."""
    module = install("counter", "count = []\n@hookimpl\ndef backtest_progress():\n    count.append(1)")
    plugins = build_plugin_manager()

    plugins.notify(EVENT)

    assert sys.modules[module].count == [1]


def test_backtest_download_finished_reaches_every_listener_and_a_failing_one_once(install: Install) -> None:
    """As for progress."""
    hook = {"hook": "backtest_download_finished", "fact": "report"}
    good = install("good", LISTENER.format(**hook, after=""))
    bad = install("bad", LISTENER.format(**hook, after="raise SystemExit(0)"))
    plugins = build_plugin_manager()

    finished = Event(kind="finished", report=REPORT)
    plugins.notify(finished)
    plugins.notify(finished)

    assert sys.modules[good].calls == [REPORT, REPORT]
    assert sys.modules[bad].calls == [REPORT]


def test_every_hook_of_the_contract_has_a_test() -> None:
    """For each hook of the contract there are tests with its name."""
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "backtest_server_spec")]
    tests: list[Any] = [name for name in globals() if name.startswith("test_")]

    assert len(hooks) >= 3
    for hook in hooks:
        assert any(name.startswith(f"test_{hook}_") for name in tests), hook
        assert vars(hookspecs)[hook].__doc__, hook


UNPRINTABLE = """
class NoTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


"""


def test_an_exception_without_text_stays_with_its_plugin(install: Install) -> None:
    """While it is loaded, while it names its providers, and in a hook; the others work."""
    install("loads", f"{UNPRINTABLE}raise NoTextError()")
    install("names", f"{UNPRINTABLE}@hookimpl\ndef backtest_data_providers():\n    raise NoTextError()")
    install("hooks", f"{UNPRINTABLE}@hookimpl\ndef backtest_progress(event):\n    raise NoTextError()")

    plugins = build_plugin_manager()
    plugins.notify(Event(kind="notice", message="one"))

    assert set(plugins.providers) == {"polygon", "lean-cli"}
    assert reasons(plugins) == {
        "loads": "it cannot be loaded: NoTextError",
        "names": "it fails to name its providers: NoTextError",
    }
