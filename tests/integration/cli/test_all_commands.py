"""Help, encodings, plugins and exceptions of all commands."""

from __future__ import annotations

import re

import attrs
import pytest

from server.plugins import manager
from tests.support.cli_market import MINUTES, Serve
from tests.support.command_line import (
    CommandLine,
    answer_of,
)
from tests.support.polygon_server import KEY


def test_help_and_version(command: CommandLine) -> None:
    """Every command is listed and explains itself; no command at all is bad use."""
    answer = command.run("--help")

    assert answer.code == 0
    for name in ("download", "backtest", "coverage", "bars", "verify", "providers", "demo"):
        assert re.search(rf"^  {name} ", answer.out, re.MULTILINE)
        assert command.run(name, "--help").code == 0
    assert re.fullmatch(r"backtest-server, version \d+\.\d+\.\d+\n", command.run("--version").out)
    nothing = command.run()
    assert (nothing.code, nothing.out) == (2, "")
    assert "Usage: backtest-server" in nothing.err


def test_an_encoding_that_lacks_our_signs_is_no_trouble(command: CommandLine) -> None:
    """A terminal or pipe in plain ASCII shows question marks in place of pictures."""
    command.set(PYTHONIOENCODING="ascii")

    answer = answer_of(command.start("coverage", "SPY", *MINUTES))

    assert answer.code == 1
    assert answer.out.startswith("SPY minute   ? 8 missing")
    assert answer.errors == ["error: SPY minute: 8 of 8 trading days are not there"]


def test_a_plugin_that_was_left_out_is_named(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of warning; the command does its work."""
    served()
    found = manager.build_plugin_manager()
    problem = manager.PluginProblem(plugin="acme", reason="it cannot be loaded: ImportError: no\nsuch thing")
    monkeypatch.setattr(manager, "build_plugin_manager", lambda: attrs.evolve(found, problems=(problem,)))

    answer = command.run("download", "SPY", *MINUTES)

    assert answer.code == 0
    assert "warning: the plugin acme was left out: it cannot be loaded: ImportError: no such thing\n" in answer.err


def test_an_unexpected_exception_is_one_line(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a traceback, unless --debug asks for it; the key is masked even there."""
    served()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"a bug with {KEY}\nin two lines")

    monkeypatch.setattr("server.data_download.downloader.DataDownloader.download", broken)

    short, long = command.run("download", "SPY", *MINUTES), command.run("download", "SPY", *MINUTES, "--debug")

    assert (short.code, long.code) == (1, 1)
    assert short.errors == long.errors
    assert short.errors[0].startswith("error: unexpected: RuntimeError: a bug with **********")
    assert "Traceback" not in short.err
    assert "Traceback" in long.err
    assert KEY not in short.err + long.err
