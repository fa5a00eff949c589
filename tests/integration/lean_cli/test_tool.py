"""The provider lean-cli with a `lean` that is missing, is not ready, or does not end."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from server.core.errors import (
    BacktestServerError,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
)
from server.core.secret import Secret
from server.data_download.errors import AuthenticationError
from server.lean.series import Resolution
from server.plugins.lean_cli_provider import provider
from tests.support import fake_lean
from tests.support.lean_cli_setup import (
    JULY,
    WEDNESDAY,
    Setup,
    gap,
)
from tests.support.patience import PATIENCE


def test_a_missing_tool_says_how_to_install_it(setup: Setup) -> None:
    """Before anything is made on disk."""
    with pytest.raises(ToolMissingError, match=r"no-such-lean.*pip install lean.*lean login"):
        setup.fetch(gap("SPY", WEDNESDAY), executable="no-such-lean")

    assert not setup.staging.exists()


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("docker", ToolMissingError, "needs Docker, which is not installed or not running"),
        ("login", ToolFailedError, "run `lean login`"),
        ("licence", ToolFailedError, "licence for the Polygon module"),
        (
            "no-image",
            ToolMissingError,
            r"quantconnect/lean:latest is not .*; run: docker pull quantconnect/lean:latest",
        ),
        ("no-modules", ToolMissingError, r"has no list of modules and could not fetch it \(no answer\); run any lean"),
        ("no-network", ToolMissingError, r"could not reach www\.quantconnect\.com .*check the network connection"),
    ],
)
def test_a_tool_that_is_not_ready_says_what_to_do(
    setup: Setup, mode: str, error: type[BacktestServerError], words: str
) -> None:
    """The error holds for all days; another run would fail in the same way, so none is started."""
    setup.lean.behave(mode)

    with pytest.raises(error, match=words):
        setup.fetch(gap("SPY", WEDNESDAY, JULY))

    assert len(setup.lean.calls) == 1


def test_a_hanging_tool_is_stopped_at_the_time_limit(setup: Setup) -> None:
    """The error names the limit and the setting."""
    setup.lean.behave("hang")

    with pytest.raises(ToolFailedError, match=r"after 0\.6 s .*BACKTEST_SERVER_LEAN_TIME_LIMIT"):
        setup.fetch(gap("SPY", WEDNESDAY), time_limit=0.6)

    assert setup.left_over == []


def test_without_a_key_nothing_is_run(setup: Setup) -> None:
    """The error says where to put it."""
    with pytest.raises(AuthenticationError, match=r"POLYGON_API_KEY.*polygon-api-key in lean\.json"):
        setup.fetch(gap("SPY", WEDNESDAY), api_key=Secret(""))

    assert setup.lean.calls == []


@pytest.mark.parametrize("text", ["{}", None], ids=["no organization", "no lean.json"])
def test_without_an_organization_nothing_is_run(
    setup: Setup, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CLI would ask a question; the error says what to do instead."""
    monkeypatch.chdir(setup.root)
    if text is None:
        (setup.root / "lean.json").unlink()
    else:
        (setup.root / "lean.json").write_text(text)

    with pytest.raises(ConfigurationError, match=r"organization.*lean init.*BACKTEST_SERVER_LEAN_CONFIG"):
        setup.fetch(gap("SPY", WEDNESDAY))

    assert setup.lean.calls == []


def test_the_lean_json_of_the_settings_is_the_one_that_counts(setup: Setup, tmp_path: Path) -> None:
    """Not the one above the data folder."""
    mine = tmp_path / "mine.json"
    mine.write_text('{"job-organization-id": "mine"}')

    setup.fetch(gap("SPY", WEDNESDAY), lean_config=mine)

    config = setup.lean.calls[0]["config"]
    assert config["job-organization-id"] == "mine"
    assert "organization-id" not in config


@pytest.mark.parametrize("mode", ["hang", "stubborn", "hanging-grandchild", "escaped-grandchild"])
def test_a_cancel_ends_the_run(setup: Setup, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tool does about it; nothing is handed over, and nothing is left behind."""
    monkeypatch.setattr(provider, "INTERRUPT_GRACE", 0.3)
    setup.lean.behave(mode)
    cancelled_at: list[float] = []

    def cancel_once_it_runs() -> None:
        word = "grandchild.pid" if "grandchild" in mode else fake_lean.CALLS
        while not (setup.lean.folder / word).exists():
            time.sleep(0.02)
        time.sleep(0.4)
        cancelled_at.append(time.monotonic())
        setup.token.cancel()

    thread = threading.Thread(target=cancel_once_it_runs)
    thread.start()
    try:
        sink = setup.fetch(gap("SPY", WEDNESDAY, JULY))
        took = time.monotonic() - cancelled_at[0]
    finally:
        thread.join()
        with suppress(OSError):
            os.kill(int((setup.lean.folder / "grandchild.pid").read_text()), signal.SIGKILL)

    assert took < PATIENCE
    assert sink.files == {}
    assert sink.missing == {}
    assert len(setup.lean.calls) == 1
    assert setup.left_over == []


def test_a_grandchild_does_not_hold_up_a_good_end(setup: Setup) -> None:
    """The tool has ended with 0 and its files are there: they are taken."""
    setup.lean.behave("grandchild")

    sink = setup.fetch(gap("SPY", WEDNESDAY))

    assert list(sink.files) == [("SPY", Resolution.MINUTE, WEDNESDAY)]
