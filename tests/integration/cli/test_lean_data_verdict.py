"""A verdict covers every file that LEAN opened, in the algorithm's range: other days, resolutions and shares, too."""

from __future__ import annotations

import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_market import Serve
from tests.support.command_line import CommandLine
from tests.support.engine_programs import write_python
from tests.support.harness import sessions
from tests.support.lean_projects import write_algorithm
from tests.support.market import Market
from tests.support.stand_in_lean.install import install_stand_in

DAYS = sessions(date(2024, 3, 4), 5)
EARLIER = sessions(date(2024, 2, 26), 5)
NAMES = ["SPY", "AAPL", "IBM"]
MARKET = Market.synthetic(NAMES, [*EARLIER, *DAYS]) | Market.synthetic(NAMES, [*EARLIER, *DAYS], "daily")
MARKET |= Market.synthetic(["LATE"], DAYS[:3]) | Market.synthetic(["LATE"], DAYS[:3], "daily")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def vendor(command: CommandLine, served: Serve) -> str:
    """LEAN's programs, and a vendor whose address this is."""
    stand_in = install_stand_in(command.folder / "stand-in")
    command.set(HOME=str(command.folder), PATH=stand_in.path_alone, LEAN_LAUNCHER=str(stand_in.launcher))
    command.set(BACKTEST_SERVER_RETRY_ATTEMPTS="1")
    write_python(stand_in.bin / "python3")
    return served(MARKET).url


def write_project(
    command: CommandLine,
    *lines: str,
    request: tuple[date, date] = (DAYS[0], DAYS[-1]),
    resolution: str = "daily",
    symbols: tuple[str, ...] = ("AAPL",),
) -> None:
    """A project whose source has DAYS as its range, and whose parameters request another one."""
    write_algorithm(command.folder / "Strategy", DAYS, *lines)
    parameters = command.folder / "Strategy" / "config" / "parameters.py"
    parameters.parent.mkdir(exist_ok=True)
    parameters.write_text(
        f"symbols = {list(symbols)}\nresolution = {resolution!r}\nstart = '{request[0]}'\nend = '{request[1]}'\n"
    )


def run(command: CommandLine, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, verdict, and what ``backtest --json`` prints."""
    answer = command.run("backtest", "Strategy", "--engine", "lean-native", "--json", *arguments)
    found: dict[str, Any] = json.loads(answer.out)
    return answer.code, (found["engine"] or {}).get("verdict") or str(found["error"]), found


def change(path: Path, *, drop: tuple[date, ...] = (), garbage: date | None = None) -> None:
    """Drop the rows of days from a zip, or overwrite the first row of a day; of a day's file, its first row."""
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        rows = archive.read(name).decode().splitlines()
    rows = [row for row in rows if not row.startswith(tuple(f"{day:%Y%m%d}" for day in drop))] if drop else rows
    if garbage is not None:
        at = next((at for at, row in enumerate(rows) if row.startswith(f"{garbage:%Y%m%d}")), 1)
        rows[at] = "garbage"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\n".join(rows) + "\n")


def bars(command: CommandLine, resolution: str, ticker: str, day: date | None = None) -> Path:
    """The path of a file of bars."""
    folder = command.data / "equity" / "usa" / resolution
    return folder / f"{ticker}.zip" if day is None else folder / ticker / f"{day:%Y%m%d}_trade.zip"


DAILY_AAPL, DAILY_IBM = (f'self.add_equity("{name}", Resolution.DAILY)' for name in ("AAPL", "IBM"))
MINUTE_AAPL = 'self.add_equity("AAPL", Resolution.MINUTE)'


def test_days_of_the_source_outside_the_request(command: CommandLine, vendor: str) -> None:
    """A requested share's damaged day counts, though the request ends before it: untrusted, and fetched by the next."""
    write_project(command, MINUTE_AAPL, resolution="minute")
    assert run(command)[0] == 0
    change(bars(command, "minute", "aapl", DAYS[3]), garbage=DAYS[3])
    write_project(command, MINUTE_AAPL, resolution="minute", request=(DAYS[0], DAYS[1]))
    command.set(POLYGON_API_URL=NOWHERE)

    code, verdict, _ = run(command)

    assert (code, DAYS[3].strftime("%Y%m%d") in verdict) == (4, True), verdict
    command.set(POLYGON_API_URL=vendor)
    code, verdict, _ = run(command)
    assert code == 0, verdict


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map_files", f"20000103,aapl,Q\n{DAYS[3]:%Y%m%d},aapl,Q\n"),
        ("factor_files", f"20000103,0.5,1,1\n{DAYS[3]:%Y%m%d},0.5,1,0\n20501231,1,1,0\n"),
    ],
)
def test_files_of_a_share_over_the_range_of_the_source(
    command: CommandLine, vendor: str, name: str, content: str
) -> None:
    """A map file that ends, and a reference price of 0, after the request and within the algorithm's range."""
    command.set(BACKTEST_SERVER_CORPORATE_ACTIONS="off")
    write_project(command, MINUTE_AAPL, resolution="minute", request=(DAYS[0], DAYS[1]))
    for folder in ("map_files", "factor_files"):
        (command.data / "equity/usa" / folder).mkdir(parents=True, exist_ok=True)
    (command.data / "equity/usa/map_files/aapl.csv").write_text("20000103,aapl,Q\n20501231,aapl,Q\n")
    assert run(command)[0] == 0
    (command.data / "equity/usa" / name / "aapl.csv").write_text(content)

    code, verdict, _ = run(command)

    assert (code, "aapl.csv" in verdict) == (4, True), verdict


def test_another_resolution_of_a_requested_share(command: CommandLine, vendor: str) -> None:
    """Its daily file is damaged, the request has its minutes."""
    write_project(command, MINUTE_AAPL, DAILY_AAPL, resolution="minute")
    assert run(command)[0] == 0
    change(bars(command, "daily", "aapl"), garbage=DAYS[2])
    command.set(POLYGON_API_URL=NOWHERE)

    code, verdict, _ = run(command)

    assert (code, "daily/aapl.zip" in verdict) == (4, True), verdict
    command.set(POLYGON_API_URL=vendor)
    assert run(command)[0] == 0


@pytest.mark.damaged_zips
@pytest.mark.parametrize(("line", "expected"), [("self.set_warm_up(3, Resolution.DAILY)", 4), ("pass", 0)])
def test_days_before_the_range(command: CommandLine, vendor: str, line: str, expected: int) -> None:
    """They count for an algorithm with a warm-up, and not for one without."""
    write_project(command, DAILY_IBM, DAILY_AAPL)
    write_project(command, DAILY_IBM, DAILY_AAPL, request=(EARLIER[0], DAYS[-1]), symbols=("AAPL", "IBM"))
    assert run(command)[0] == 0
    write_project(command, DAILY_IBM, DAILY_AAPL, line)
    change(bars(command, "daily", "ibm"), garbage=EARLIER[1])
    command.set(POLYGON_API_URL=NOWHERE)

    code, verdict, _ = run(command)

    assert (code, "daily/ibm.zip" in verdict) == (expected, expected == 4), verdict


@pytest.mark.parametrize("days", [DAYS[:2], DAYS[2:3], DAYS[-1:]], ids=["begins late", "hole", "ends early"])
def test_days_that_an_opened_file_lacks(command: CommandLine, vendor: str, days: tuple[date, ...]) -> None:
    """They are gaps without a vendor, and fetched with one."""
    write_project(command, DAILY_IBM, DAILY_AAPL)
    assert run(command)[0] == 0
    change(bars(command, "daily", "ibm"), drop=tuple(days))
    command.set(POLYGON_API_URL=NOWHERE)

    code, verdict, found = run(command)

    assert (code, verdict.split(":")[0]) == (3, "gaps"), verdict
    (lacking,) = [file for file in found["engine"]["missing"] if file["path"].endswith("daily/ibm.zip")]
    assert lacking["days"] == [day.isoformat() for day in days]
    command.set(POLYGON_API_URL=vendor)
    assert run(command)[0] == 0


def test_a_request_shorter_than_the_range_of_the_source(command: CommandLine, vendor: str) -> None:
    """The days before and after it are fetched, as LEAN's minutes are."""
    write_project(command, DAILY_AAPL, request=(DAYS[2], DAYS[3]))

    code, verdict, found = run(command)

    assert code == 0, verdict
    assert [one["days"] for one in found["rounds"][0]["fetched"] if one["ticker"] == "AAPL"] == [
        [day.isoformat() for day in (*DAYS[:2], DAYS[4])]
    ]


@pytest.mark.parametrize("resolution", ["hour", "daily", "minute"])
def test_a_share_that_stops_trading(command: CommandLine, vendor: str, resolution: str) -> None:
    """Days after its last bar are gaps in each resolution, although the vendor is known to have no bars of them."""
    line = f'self.add_equity("LATE", Resolution.{resolution.upper()})'
    write_project(command, line, resolution=resolution, symbols=("LATE",))

    code, verdict, found = run(command)

    assert (code, verdict.split(":")[0]) == (3, "gaps"), verdict
    missing = [file for file in found["engine"]["missing"] if file["kind"] == "trade"]
    assert sorted(day for file in missing for day in file["days"]) == [day.isoformat() for day in DAYS[3:]]
    assert {file["reason"] for file in missing} == {"no bars"}
    assert len(found["rounds"]) == 1


def test_a_doubt_about_a_share_counts_in_each_run(command: CommandLine, vendor: str) -> None:
    """Also in runs that fetch nothing of it, and of a share that is not in the request."""
    command.set(BACKTEST_SERVER_CORPORATE_ACTIONS="off")
    write_project(command, DAILY_IBM, DAILY_AAPL)
    for folder in ("map_files", "factor_files"):
        (command.data / "equity/usa" / folder).mkdir(parents=True, exist_ok=True)
    (command.data / "equity/usa/map_files/ibm.csv").write_text("20000103,ibm,N\n20501231,ibm,N\n")
    rows = f"20000103,0.5,1,1\n{DAYS[1]:%Y%m%d},0.5,1,100\n20501231,1,1,0\n"
    (command.data / "equity/usa/factor_files/ibm.csv").write_text(rows)

    found = [run(command)[:2] for _ in range(2)]

    for code, verdict in found:
        assert (code, "doubts about its data (IBM" in verdict) == (4, True), verdict


@pytest.mark.damaged_zips
@pytest.mark.parametrize("content", [b"", b"no zip", None], ids=["empty", "no zip", "no row"])
def test_a_file_without_a_readable_row(command: CommandLine, vendor: str, content: bytes | None) -> None:
    """Where it cannot be fetched: exit 4 with the file, and the run with --allow-damaged."""
    write_project(command, MINUTE_AAPL, resolution="minute")
    assert run(command)[0] == 0
    path = bars(command, "minute", "aapl", DAYS[2])
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{DAYS[2]:%Y%m%d}_aapl_minute_trade.csv", "a\nb\n")
    else:
        path.write_bytes(content)
    command.set(POLYGON_API_URL=NOWHERE)

    code, error, found = run(command)

    assert (code, found["engine"]) == (4, None), error
    assert path.name in error
    code, verdict, _ = run(command, "--allow-damaged")
    assert (code, path.name in verdict) == (4, True), verdict
