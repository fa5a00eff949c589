"""The command verify and files that LEAN reads although it would not have written them; and `download --refresh`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from server.core.json import to_json
from server.data_download.locks import SeriesLocks
from server.lean.series import Resolution, Series
from tests.support import check_rig
from tests.support.cli_market import DAILY, DAYS, MARKET, Serve
from tests.support.command_line import CommandLine
from tests.support.harness import csv_of, lean_files, leftovers

ROWS = lean_files(MARKET, "SPY", DAYS, Resolution.DAILY)["daily/spy.zip"].decode().split("\n")


def put_daily(command: CommandLine, *rows: str) -> Path:
    path = command.data / "equity/usa/daily/spy.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spy.csv", "\r\n".join(rows))
    return path


@pytest.mark.damaged_zips
def test_irregular_files_are_listed_and_rewritten_without_a_request(command: CommandLine, served: Serve) -> None:
    """Exit 0 either way."""
    server = served()
    path = put_daily(command, ROWS[1], ROWS[0], *ROWS[2:])

    looked = command.run("verify", "--resolution", "daily", "--json")

    assert looked.code == 0, looked.err
    found = json.loads(looked.out)
    assert found["damaged"] == []
    (irregular,) = found["irregular"]
    assert irregular["path"] == str(path)
    assert "line ends other than LF, 1 row out of order" in irregular["reason"]
    text = command.run("verify", "--resolution", "daily")
    assert f"note: {path} has line ends other than LF" in text.out
    assert "verify --repair rewrites" in text.out

    repaired = command.run("verify", "--resolution", "daily", "--repair", "--json")

    assert repaired.code == 0, repaired.err
    found = json.loads(repaired.out)
    assert (found["irregular"], found["repair"], len(found["rewritten"])) == ([], None, 1)
    assert csv_of(command.data) == {"daily/spy.zip": "\n".join(ROWS).encode()}
    assert leftovers(command.data) == []
    assert server.requests == []


@pytest.mark.damaged_zips
def test_files_that_another_run_holds_are_not_listed_as_rewritten(command: CommandLine, served: Serve) -> None:
    """They stay as they are."""
    served()
    path = put_daily(command, ROWS[1], ROWS[0], *ROWS[2:])
    before = path.read_bytes()

    with SeriesLocks(command.data).take([Series("SPY", Resolution.DAILY)], 1):
        answer = command.run("verify", "--resolution", "daily", "--repair", "--json")

    found = json.loads(answer.out)
    assert ([file["path"] for file in found["irregular"]], found["rewritten"]) == ([str(path)], [])
    assert path.read_bytes() == before


@pytest.mark.damaged_zips
def test_a_repair_keeps_the_readable_rows_where_the_vendor_cannot_be_asked(command: CommandLine, served: Serve) -> None:
    """LEAN can use them then; the failure is reported, and a copy of the damaged file is kept."""
    served()
    path = put_daily(command, *ROWS[:3], "garbage", *ROWS[4:])
    damaged = path.read_bytes()
    command.set(POLYGON_API_KEY="wrong")

    answer = command.run("verify", "--resolution", "daily", "--repair")

    assert answer.code == 1
    assert any("does not accept your API key" in line for line in answer.errors)
    assert csv_of(command.data) == {"daily/spy.zip": "\n".join([*ROWS[:3], *ROWS[4:]]).encode()}
    (aside,) = leftovers(command.data)
    assert aside.read_bytes() == damaged


@pytest.mark.parametrize("resolution", list(Resolution))
def test_leans_samples_are_verified_without_damage(
    command: CommandLine, lean_sample_data: Path, resolution: Resolution
) -> None:
    """Bars, factor files and map files; the hour file of TAPA has a member of another name."""
    answer = command.run("verify", "--resolution", resolution.value, "--data-folder", str(lean_sample_data), "--json")

    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found["files"] > 0
    assert (found["damaged"], found["factor_and_map_files"]["damaged"]) == ([], [])
    assert [one for one in found["findings"] if one["severity"] == "damage" or one["loses"]] == []
    named = [Path(file["path"]).name for file in found["irregular"] if "member" in file["reason"]]
    assert named == (["tapa.zip"] if resolution is Resolution.HOUR else [])


@pytest.mark.damaged_zips
def test_findings_have_the_words_of_the_check_before_a_backtest(command: CommandLine, served: Serve) -> None:
    """Of bars, factor and map files; what an earlier repair lost is among them."""
    served()
    put_daily(command, *ROWS[:3], "garbage", *ROWS[4:])
    check_rig.put(command.data, {"equity/usa/factor_files/spy.csv": "20100102,0.9,1,5\n20501231,1,1,0\njunk"})

    found = json.loads(command.run("verify", "SPY", "--resolution", "daily", "--json").out)["findings"]

    with check_rig.opened(command.data) as folder:
        expected = to_json(check_rig.check(folder, ["SPY"], Resolution.DAILY, DAYS))["findings"]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert [one["kind"] for one in expected] == ["unreadable_rows", "unreadable_line", "form"]

    command.set(POLYGON_API_KEY="wrong")
    command.run("verify", "SPY", "--resolution", "daily", "--repair")
    answer = command.run("verify", "SPY", "--resolution", "daily", "--json")
    lost = [one for one in json.loads(answer.out)["findings"] if one["kind"] == "rows_lost"]
    assert [(one["days"], one["rows"], one["severity"]) for one in lost] == [([str(DAYS[3])], 1, "notice")]


def test_a_refresh_requests_what_is_present(command: CommandLine, served: Serve) -> None:
    """And the plan of one has every day."""
    server = served()
    command.run("download", "SPY", *DAILY)
    server.reset()

    plan = json.loads(command.run("download", "SPY", *DAILY, "--refresh", "--dry-run", "--json").out)
    assert [gap["days"] for gap in plan["gaps"]] == [[str(day) for day in DAYS]]
    assert server.requests == []

    answer = command.run("download", "SPY", *DAILY, "--refresh", "--json")

    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["days_downloaded"] == len(DAYS)
    assert len(server.requests) == 1
