"""`backtest-server factor-files --extend`, as a user has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.reference_data import ReferenceData
from tests.support.share_market import daily_market, level, sessions

Serve = Callable[..., PolygonServer]

DAYS = sessions("2021-03-01", "2021-09-30")
MARKET = daily_market({"SPY": level(DAYS, 400)})
FACTORS = "19980102,0.9,1,1\n20210318,0.99,1,391.48\n20501231,1,1,0"
MAP = "19980102,spy,P\n20501231,spy,P\n"


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, polygon_server: Serve
) -> CommandLine:
    """A folder with LEAN's files of SPY, which end in March 2021, and a vendor that lists two dividends since."""
    monkeypatch.delenv("BACKTEST_SERVER_CORPORATE_ACTIONS")
    found = CommandLine(tmp_path, capsys, monkeypatch)
    data = ReferenceData()
    data.listed("SPY", exchange="ARCX", since="1993-01-29")
    for day in ("2021-03-19", "2021-06-18", "2021-09-17"):
        data.dividend("SPY", day, "4")
    found.set(POLYGON_API_KEY=KEY, POLYGON_API_URL=polygon_server(MARKET, reference=data).url)
    for kind, text in (("factor", FACTORS), ("map", MAP)):
        path(found, kind).parent.mkdir(parents=True)
        path(found, kind).write_text(text)
    return found


def path(command: CommandLine, kind: str) -> Path:
    """Where a file is."""
    return command.data / "equity" / "usa" / f"{kind}_files" / "spy.csv"


def test_extended_then_unchanged(command: CommandLine) -> None:
    """Both exit 0; $4 of $400 twice is 0.99 x 0.99, and the factors of the file's rows are multiplied by it."""
    first = command.run("factor-files", "SPY", "--extend")

    assert (first.code, first.errors) == (0, [])
    assert "SPY: factor file extended, map file unchanged" in first.out
    assert path(command, "factor").read_text() == (
        "19980102,0.88209,1,1\n20210318,0.970299,1,391.48\n20210617,0.9801,1,400\n20210916,0.99,1,400\n20501231,1,1,0"
    )
    assert path(command, "factor").with_suffix(".csv.old").read_text() == FACTORS
    assert not path(command, "map").with_suffix(".csv.old").exists()

    second = command.run("factor-files", "SPY", "--extend")
    assert (second.code, "SPY: factor file unchanged, map file unchanged" in second.out) == (0, True)


def test_as_json(command: CommandLine) -> None:
    """The outcome, and before it the events that are missing."""
    kept = json.loads(command.run("factor-files", "SPY", "--json").out)["symbols"][0]
    assert kept["factor_file"] == "kept"
    assert kept["later_events"] == [
        {"symbol": "SPY", "day": day, "what": "dividend of $4"} for day in ("2021-06-18", "2021-09-17")
    ]

    done = json.loads(command.run("factor-files", "SPY", "--extend", "--json").out)["symbols"][0]
    assert (done["factor_file"], done["map_file"], done["later_events"]) == ("extended", "unchanged", [])


def test_dry_run(command: CommandLine) -> None:
    """Nothing is sent or written."""
    printed = command.run("factor-files", "SPY", "--extend", "--dry-run")

    assert (printed.code, path(command, "factor").read_text()) == (0, FACTORS)
    assert "would be extended in equity/usa/factor_files/spy.csv if the vendor lists later events" in printed.out
    assert "nothing was sent" in printed.out


def test_replace_and_extend_exclude_each_other(command: CommandLine) -> None:
    """Exit code 2, and nothing is written."""
    refused = command.run("factor-files", "SPY", "--extend", "--replace")

    assert refused.code == 2
    assert path(command, "factor").read_text() == FACTORS


def test_a_download_lists_later_events_and_the_command(command: CommandLine) -> None:
    """In each download of a range that reaches them, not in one that ends before."""
    after = ("--resolution", "daily", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))
    before = ("--resolution", "daily", "--start", str(DAYS[0]), "--end", str(date(2021, 6, 17)))
    sentence = "backtest-server factor-files SPY --extend adds them"

    for _ in range(2):
        printed = command.run("download", "SPY", *after)
        assert (printed.code, sentence in printed.out + printed.err) == (0, True)
    printed = command.run("download", "SPY", *before)
    assert (printed.code, sentence in printed.out + printed.err) == (0, False)
