"""A `lean` to run in tests: takes what the LEAN CLI takes, writes what it writes, and has its habits.

This file is both the executable (`install` copies it into a folder for PATH) and what tests use to steer it. Its
habits are those of LEAN's downloader with Polygon: dates are UTC midnights, the end is exclusive, what it got of a
day replaces that day's file, daily rows are merged into the one zip, one symbol after another, and 0 as exit code
for much that failed. It asks for what was left out, and reads the answer from its standard input.

Nothing here uses the product's own code, so that a fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
CONTROL = "lean-control.json"
CALLS = "lean-calls.jsonl"

ASKED_FOR = {
    "--security-type": "Select a Ticker's security type",
    "--data-type": "Select a Data type",
    "--resolution": "Select a Resolution",
    "--market": "Select a Market",
    "--ticker": "Enter comma separated list of tickers to use for historical data request.",
    "--start": "Start date",
    "--end": "End date",
}
OTHER_OPTIONS = (
    "--data-provider-historical",
    "--polygon-api-key",
    "--polygon-license-type",
    "--image",
    "--lean-config",
)
WENT_WRONG = "Something went wrong while running the downloader data provider, see the logs above for more information"
DATABASES = ("market-hours/market-hours-database.json", "symbol-properties/symbol-properties-database.csv")
FETCHED = "fetched from GitHub"
FLAGS = ("--no-update", "--update", "--verbose")


# --- for tests ---


class FakeLean:
    """An installed fake: `folder` goes to the front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executable = folder / "lean"

    def behave(self, mode: str = "", **facts: Any) -> None:
        """Choose what the next runs do: a mode of `MODES`, and ``no_data=[…]``, ``nothing_on=[…]``."""
        (self.folder / CONTROL).write_text(json.dumps({"mode": mode, **facts}))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What each run was given and saw: argv, cwd, environment, config, modes, files."""
        path = self.folder / CALLS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def path(self) -> str:
        """A PATH with this fake in front."""
        return os.pathsep.join((str(self.folder), os.environ.get("PATH", os.defpath)))


def install(folder: Path) -> FakeLean:
    """Put an executable `lean` into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    fake = FakeLean(folder)
    fake.executable.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).read_text(encoding="utf-8"))
    fake.executable.chmod(0o755)
    return fake


# --- bars ---


def bars_of(symbol: str, day: date, resolution: str) -> list[tuple[datetime, int, str]]:
    """The bars there are of a day: start, first field of the row, and the rest of the row.

    Minutes: each from 04:00 to 19:59. Seconds: one each half minute. Daily: one.
    """
    if day.weekday() > 4:
        return []
    base = 1_000_000 + 10_000 * (sum(symbol.encode()) % 50) + 100 * (day.toordinal() % 50)
    midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)
    if resolution == "daily":
        return [(midnight.astimezone(UTC), 0, f"{base},{base + 300},{base - 200},{base + 100},1000000")]
    step = 60 if resolution == "minute" else 30
    opening = midnight.replace(hour=4).astimezone(UTC)
    rows = []
    for number in range(16 * 3600 // step):
        seconds = number * step
        price = base + number % 97
        rest = f"{price},{price + 20},{price - 10},{price + 5},{100 + number}"
        rows.append((opening + timedelta(seconds=seconds), (4 * 3600 + seconds) * 1000, rest))
    return rows


# --- the executable ---


def say(text: str, level: str = "TRACE") -> None:
    print(f"20240110 12:00:00.000 {level}:: {text}", flush=True)


def fail(text: str) -> None:
    print(f"Error: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


def ask(text: str) -> None:
    print(f"{text}: ", flush=True)
    if not sys.stdin.readline():
        print("Aborted!", file=sys.stderr, flush=True)
        sys.exit(1)


def parse(arguments: list[str]) -> dict[str, str]:
    if arguments[:2] != ["data", "download"]:
        fail(f"No such command '{' '.join(arguments[:2])}'.")
    options: dict[str, str] = {}
    rest = iter(arguments[2:])
    for name in rest:
        if name in FLAGS:
            options[name] = ""
        elif name in ASKED_FOR or name in OTHER_OPTIONS:
            options[name] = next(rest, "")
        elif name.startswith("-"):
            fail(f"No such option: {name}")
        else:
            fail(f"Got unexpected extra argument ({name})")
    return options


def main() -> None:
    folder = Path(sys.argv[0]).parent
    control_file = folder / CONTROL
    control = json.loads(control_file.read_text()) if control_file.exists() else {}
    options = parse(sys.argv[1:])
    config_file = Path(options.get("--lean-config", "lean.json"))
    if not config_file.exists():
        fail("This command requires a Lean configuration file, run `lean init` in an empty directory to create one")
    config = json.loads(config_file.read_text())
    note_call(folder, config_file, config)
    refuse_leaks(config.get("polygon-api-key", ""))
    check_options(options, config)
    data = config_file.parent / config["data-folder"]
    rewrite_files(config_file, config, data)
    mode = control.get("mode", "")
    if mode in MODES:
        MODES[mode](folder, config)
    symbols = [ticker.upper() for ticker in options["--ticker"].split(",")]
    start, end = (midnight_utc(options[name]) for name in ("--start", "--end"))
    for position, symbol in enumerate(symbols):
        if mode == "crash-after-first" and position == 1:
            say("Unhandled exception. System.Exception: TooManyRequests (429) after 10 attempts", "ERROR")
            fail(WENT_WRONG)
        download(symbol, options["--resolution"].lower(), start, end, data, control)
    say("All downloads completed in 1.00 seconds.")


def note_call(folder: Path, config_file: Path, config: dict[str, Any]) -> None:
    call = {
        "argv": sys.argv[1:],
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "config": config,
        "config_mode": stat.S_IMODE(config_file.stat().st_mode),
        "folder_mode": stat.S_IMODE(config_file.parent.stat().st_mode),
        "files": sorted(
            path.relative_to(config_file.parent).as_posix() for path in config_file.parent.rglob("*") if path.is_file()
        ),
    }
    with (folder / CALLS).open("a") as file:
        file.write(json.dumps(call) + "\n")


def rewrite_files(config_file: Path, config: dict[str, Any], data: Path) -> None:
    """Make the lean.json readable, and overwrite both databases unless that was done today or is dated later."""
    changes: dict[str, str] = {}
    last = datetime.strptime(config.get("file-database-last-update", "01/01/2000 00:00:00"), "%m/%d/%Y %H:%M:%S")
    if datetime.now() - last > timedelta(days=1):
        changes["file-database-last-update"] = f"{datetime.now():%m/%d/%Y %H:%M:%S}"
        for path in DATABASES:
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            (data / path).write_text(FETCHED)
    config_file.with_suffix(".new").write_text(json.dumps(config | changes))
    config_file.with_suffix(".new").chmod(0o644)
    config_file.with_suffix(".new").replace(config_file)


def refuse_leaks(key: str) -> None:
    if not key:
        ask("Your Polygon.io API Key")
    if any(key in text for text in (*sys.argv, *os.environ.values())):
        print("THE KEY IS IN AN ARGUMENT OR IN THE ENVIRONMENT", flush=True)
        sys.exit(3)


def check_options(options: dict[str, str], config: dict[str, Any]) -> None:
    if not config.get("organization-id") and not config.get("job-organization-id"):
        ask("This is an old Lean CLI root folder. Do you wish to continue?")
    if "--data-provider-historical" not in options:
        ask("Select a historical data provider")
    for name, question in ASKED_FOR.items():
        if not options.get(name):
            ask(question)
    if not options.get("--polygon-license-type"):
        ask("Select the Polygon license type")
    if midnight_utc(options["--start"]) >= midnight_utc(options["--end"]):
        fail("Historical start date cannot be greater than or equal to historical end date.")


def midnight_utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)


def download(symbol: str, resolution: str, start: datetime, end: datetime, data: Path, control: dict[str, Any]) -> None:
    say(f"DownloaderDataProvider.Main(): Starting download Symbol: {symbol}, Resolution: {resolution}")
    if symbol in control.get("unsupported", ()):
        say(f"PolygonDataProvider.GetHistory(): No data returned for {symbol} {resolution}")
        return
    by_day: dict[date, list[tuple[int, str]]] = defaultdict(list)
    day = start.date() - timedelta(days=1)
    while day <= end.date():
        if day.isoformat() not in control.get("nothing_on", ()) and symbol not in control.get("no_data", ()):
            for instant, label, rest in bars_of(symbol, day, resolution):
                if start <= instant <= end:
                    by_day[day].append((label, rest))
        day += timedelta(days=1)
    if not by_day:
        say(f"DownloaderDataProvider.Main(): No data found for {symbol} between {start} and {end}")
        return
    if resolution == "daily":
        merge_daily(symbol, by_day, data)
    else:
        for day, rows in by_day.items():
            stem = f"{day:%Y%m%d}"
            text = "\n".join(f"{label},{rest}" for label, rest in rows)
            write_zip(
                data / f"equity/usa/{resolution}/{symbol.lower()}/{stem}_trade.zip",
                f"{stem}_{symbol.lower()}_{resolution}_trade.csv",
                text if day.isoformat() not in control.get("garbled_on", ()) else "time,open\n1,2",
            )
    say(f"DownloaderDataProvider.RunDownload(): Download completed for {symbol} at {resolution} resolution")


def merge_daily(symbol: str, by_day: dict[date, list[tuple[int, str]]], data: Path) -> None:
    path = data / f"equity/usa/daily/{symbol.lower()}.zip"
    rows: dict[str, str] = {}
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            for line in archive.read(f"{symbol.lower()}.csv").decode().splitlines():
                rows[line[:8]] = line
    for day, [(_, rest)] in by_day.items():
        rows[f"{day:%Y%m%d}"] = f"{day:%Y%m%d} 00:00,{rest}"
    write_zip(path, f"{symbol.lower()}.csv", "\n".join(rows[key] for key in sorted(rows)))


def write_zip(path: Path, member: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)


# --- modes ---


def no_docker(folder: Path, config: dict[str, Any]) -> None:
    fail("Please make sure Docker is installed and running")


def no_login(folder: Path, config: dict[str, Any]) -> None:
    fail("Invalid credentials, please log in using `lean login`")


def no_licence(folder: Path, config: dict[str, Any]) -> None:
    fail("Your organization does not have a subscription to the Polygon module")


def no_image(folder: Path, config: dict[str, Any]) -> None:
    fail(
        "404 Client Error for http+docker://localhost/v1.47/images/quantconnect/lean:latest/json: Not Found "
        '("No such image: quantconnect/lean:latest")'
    )


def no_modules(folder: Path, config: dict[str, Any]) -> None:
    print("Traceback (most recent call last):\n  File models/__init__.py, line 52, in <module>", file=sys.stderr)
    print(
        "FileNotFoundError: Modules json not found in the given path /x/modules-1.14.json: no answer", file=sys.stderr
    )
    sys.exit(1)


def no_network(folder: Path, config: dict[str, Any]) -> None:
    print("HTTPSConnectionPool(host='raw.githubusercontent.com', port=443): Max retries exceeded", file=sys.stderr)
    print("Error: HTTPSConnectionPool(host='www.quantconnect.com', port=443): Max retries exceeded", file=sys.stderr)
    sys.exit("It looks like you don't have an internet connection, please check your system settings")


def many_errors(folder: Path, config: dict[str, Any]) -> None:
    """Lines without a cause, more than an error may quote, before the cause."""
    for number in range(9):
        print(f"error {number} of no account " + "x" * 380, flush=True)
    print("Error: the cause is here", flush=True)
    print("failed to show more " + "y" * 450, flush=True)
    sys.exit(1)


def slow_container(folder: Path, config: dict[str, Any]) -> None:
    """After SIGINT, ending the container takes 2 seconds; SIGTERM meanwhile leaves it."""

    def stop(number: int, frame: object) -> None:
        time.sleep(2)
        (folder / "container-removed").touch()
        sys.exit(1)

    signal.signal(signal.SIGINT, stop)
    (folder / "ready").touch()
    time.sleep(60)


def crash(folder: Path, config: dict[str, Any]) -> None:
    fail(WENT_WRONG)


def leak(folder: Path, config: dict[str, Any]) -> None:
    key = config["polygon-api-key"]
    print(f"config: {key}", flush=True)
    print(f"GET https://api.polygon.io/v2/aggs?apiKey={key.upper()}", file=sys.stderr, flush=True)


def hang(folder: Path, config: dict[str, Any]) -> None:
    say("hanging")
    time.sleep(60)


def stubborn(folder: Path, config: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("ignoring signals")
    time.sleep(60)


def grandchild(folder: Path, config: dict[str, Any], *, new_session: bool = False) -> None:
    """Start something that ignores signals and keeps our output open."""
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('grandchild ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-ISc", code], start_new_session=new_session)
    (folder / "grandchild.pid").write_text(str(child.pid))
    time.sleep(0.2)


def hanging_grandchild(folder: Path, config: dict[str, Any]) -> None:
    grandchild(folder, config)
    stubborn(folder, config)


def escaped_grandchild(folder: Path, config: dict[str, Any]) -> None:
    grandchild(folder, config, new_session=True)
    stubborn(folder, config)


MODES = {
    "docker": no_docker,
    "login": no_login,
    "licence": no_licence,
    "no-image": no_image,
    "no-modules": no_modules,
    "no-network": no_network,
    "many-errors": many_errors,
    "slow-container": slow_container,
    "crash": crash,
    "leak": leak,
    "hang": hang,
    "stubborn": stubborn,
    "grandchild": grandchild,
    "hanging-grandchild": hanging_grandchild,
    "escaped-grandchild": escaped_grandchild,
}

if __name__ == "__main__":
    main()
