"""A stand-in for ``lean backtest``: takes LEAN's CLI's arguments, and leaves the results folder that LEAN leaves.

Run as the program ``lean``. What it shall do is in the environment variable FAKE_LEAN: ``ok``, ``runtime-error``,
``crash``, ``interrupted``, ``abort``, ``no-docker``, ``no-login``, ``no-image``, ``no-results``, ``own-dates`` or
``hang``. It looks for real at the data folder of its lean.json and reports what is missing there as LEAN does; like
LEAN it ends well all the same. It rewrites the lean.json it is given, as LEAN's CLI does. Layout and texts are those of
LEAN (BacktestingResultHandler, DataMonitor, Engine) and of its CLI (lean_runner, docker_manager).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.stand_in_lean import cli_habits

ID = "1234567890"
STAMP = "20240201120000000"
NEW_YORK = ZoneInfo("America/New_York")
TROUBLES = {
    "no-docker": "Error: Please make sure Docker is installed and running",
    "no-login": "Error: Invalid credentials, please log in using `lean login`",
    "no-image": f"Error: {cli_habits.no_image('quantconnect/lean:latest')}",
    "no-modules": f"Traceback (most recent call last):\n  File x, line 1, in <module>\n{cli_habits.NO_MODULES}",
    "no-network": f"Error: {cli_habits.NO_NETWORK}\n{cli_habits.OFFLINE}",
    "early-errors": "\n".join(["Error: an early one"] + ["noise " * 20] * 30 + ["Error: the cause", "Visit a page"]),
}


def main() -> int:
    """Do what FAKE_LEAN says; returns the exit code."""
    mode = os.environ["FAKE_LEAN"]
    arguments = parse()
    config_path = Path(arguments.lean_config)
    config = json.loads(config_path.read_text("utf-8"))
    Path(os.environ["FAKE_LEAN_SEEN"]).write_text(
        json.dumps(
            {
                "argv": sys.argv[1:],
                "config": config,
                "mode": f"{config_path.stat().st_mode & 0o777:o}",
                "folder_mode": f"{config_path.parent.stat().st_mode & 0o777:o}",
                "cwd": str(Path.cwd()),
                "environ": dict(os.environ),
            }
        )
    )
    cli_habits.update_databases(config_path, config)
    cli_habits.set_properties(config_path, {"data-provider": "rewritten"})
    project = Path(arguments.project)
    cli_habits.add_local_id((project if project.is_dir() else project.parent) / "config.json")
    if mode in TROUBLES:
        print(TROUBLES[mode])
        return 1
    if mode == "hang":
        print("Pulling quantconnect/lean:latest...", flush=True)
        time.sleep(600)
    root, output = config_path.parent, Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    if mode != "no-results":
        run(mode, arguments, root / config["data-folder"], output)
    output.relative_to(root)  # as the CLI does, after the run
    if mode == "abort":
        print(
            "Unhandled exception. System.Exception: trouble at the end\n   at QuantConnect.Lean.Launcher.Program.Exit()"
        )
    if mode in ("runtime-error", "crash", "abort"):
        print(f"Error: Something went wrong while running '{arguments.project}' in the 'backtesting' environment")
        return 1
    print(f"Successfully ran '{arguments.project}' in the 'backtesting' environment")
    return 0


def parse() -> argparse.Namespace:
    """The options of ``lean backtest`` that matter here; any other is an error, as with LEAN's CLI."""
    parser = argparse.ArgumentParser(prog="lean", allow_abbrev=False)
    parser.add_argument("command", choices=["backtest"])
    parser.add_argument("project")
    parser.add_argument("--output", required=True)
    parser.add_argument("--lean-config", required=True)
    parser.add_argument("--data-provider-historical", choices=["Local"])
    parser.add_argument("--no-update", action="store_true")
    parser.add_argument("--parameter", nargs=2, action="append", default=[])
    return parser.parse_args()


def run(mode: str, arguments: argparse.Namespace, data_folder: Path, output: Path) -> None:
    """Leave what the engine leaves."""
    given = dict(arguments.parameter)
    start, end = (date.fromisoformat(given[f"backtest-{name}"]) for name in ("start", "end"))
    if mode == "own-dates":
        start, end = start - timedelta(days=365), start - timedelta(days=364)
    days = [start + timedelta(days=index) for index in range((end - start).days + 1)]
    days = [day for day in days if day.weekday() < 5]
    found, missing = look(data_folder, given["backtest-symbols"].split(","), given["backtest-resolution"], days)
    project = Path(arguments.project)
    shutil.copytree(project, output / "code", ignore=shutil.ignore_patterns("backtests", "__pycache__"))
    (output / "config").write_text(json.dumps({"id": ID, "container": "lean_cli_x", "backtest-name": "Fake"}))
    (output / f"succeeded-data-requests-{STAMP}.txt").write_text("".join(f"{path}\n" for path in found))
    (output / f"failed-data-requests-{STAMP}.txt").write_text("".join(f"{path}\n" for path in missing))
    (output / f"data-monitor-report-{STAMP}.json").write_text("{}")
    write_log(mode, output, sum("/minute/" in path for path in found))
    if mode == "crash":
        return
    summary = {
        "charts": {"Strategy Equity": {"name": "Strategy Equity", "series": {"Equity": {"values": equity(days)}}}},
        "statistics": {"Total Orders": "2", "Net Profit": "1.500%", "Drawdown": "0.300%", "Sharpe Ratio": "1.25"},
        "runtimeStatistics": {"Equity": "$101,500.00"},
        "state": {"Status": "RuntimeError" if mode == "runtime-error" else "Completed"},
        "algorithmConfiguration": {"startDate": f"{start}T00:00:00Z", "endDate": f"{end}T23:59:59Z"},
    }
    if mode == "runtime-error":
        summary["state"]["RuntimeError"] = "Runtime Error: 'NoneType' object\n  at on_data in main.py: line 12"
    (output / f"{ID}-summary.json").write_text(json.dumps(summary))
    (output / f"{ID}.json").write_text(json.dumps(summary | {"orders": {}}))
    (output / f"{ID}-order-events.json").write_text("[]")
    (output / f"{ID}-log.txt").write_text("")


def look(data_folder: Path, symbols: list[str], resolution: str, days: list[date]) -> tuple[list[str], list[str]]:
    """The files LEAN asks for, there or not: a quote file for each trade file, and the hourly benchmark."""
    wanted = ["equity/usa/hour/spy.zip"]
    for symbol in (symbol.lower() for symbol in symbols):
        if resolution == "daily":
            wanted.append(f"equity/usa/daily/{symbol}.zip")
        else:
            for kind in ("trade", "quote"):
                wanted += [
                    f"equity/usa/{resolution}/{ticker_on(data_folder, symbol, day)}/{day:%Y%m%d}_{kind}.zip"
                    for day in days
                ]
    found = [path for path in wanted if (data_folder / path).is_file()]
    return found, [path for path in wanted if path not in found]


def ticker_on(data_folder: Path, symbol: str, day: date) -> str:
    """The ticker of a day: that of the map file's first row not before it, as in LEAN's MapFile.GetMappedSymbol."""
    path = data_folder / "equity/usa/map_files" / f"{symbol}.csv"
    rows = [line.split(",") for line in path.read_text().split()] if path.is_file() else []
    return next((row[1] for row in rows if row[0] >= f"{day:%Y%m%d}"), symbol)


def equity(days: list[date]) -> list[list[float]]:
    """Candles in the middle of each day and at the midnight that ends it, $500 more each day."""
    points = []
    for index, day in enumerate(days, 1):
        for after, value in ((12, 100_000 + 500 * index - 250), (24, 100_000 + 500 * index)):
            at = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC) + timedelta(hours=after)
            points.append([int(at.timestamp()), value - 10, value + 20, value - 20, value])
    return points


def write_log(mode: str, output: Path, found: int) -> None:
    """The lines of log.txt that are looked for, between others."""
    lines = ["20240201 12:00:00.000 TRACE:: Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE v2.5.0.0"]
    if mode == "crash":
        lines += [
            "20240201 12:00:01.000 ERROR:: ZipDataCacheProvider.Fetch(): Corrupt zip file/entry",
            "20240201 12:00:02.000 ERROR:: Engine.Run(): Algorithm.Initialize() Error: During the algorithm "
            "initialization, the following exception has occurred: No module named 'pandaz'",
            "  at <module>",
            "    import pandaz",
            "20240201 12:00:03.000 TRACE:: Program.Exit(): Exiting Lean...",
        ]
    if mode == "interrupted":
        lines.append(
            "20240201 12:00:03.500 TRACE:: Program.ExitKeyPress(): Lean instance has been cancelled, shutting down"
        )
    lines.append(
        f"20240201 12:00:04.000 TRACE:: Engine.Run(): Algorithm Id:({ID}) completed in 1.20 seconds at 2k data points "
        f"per second. Processing total of {found * 1_390:,} data points."
    )
    (output / "log.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
