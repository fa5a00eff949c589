"""Which modules the commands import: a command does not pay for packages that it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.support.recorded_vendor import KEY, RecordedVendor

ROOT = Path(__file__).parents[2]
NEVER = {
    *("pandas", "exchange_calendars", "json5", "plotille", "rich"),
    *("fastapi", "starlette", "uvicorn", "pydantic", "jinja2", "prometheus_client"),
}
"""Packages of other commands, of the terminal, and of the generator of the trading calendar."""
NETWORK = {"requests", "urllib3", "requests_cache"}
BARS = {"numpy", "isal"}
PRINT_MODULES = """
import json, sys
from server.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
RANGE = "--start 2021-03-08 --end 2021-03-12"
DOWNLOAD = f"download SPLT --resolution minute {RANGE}"
COMMANDS = [
    # the first download into an empty folder, with factor and map files
    (DOWNLOAD, NEVER, NETWORK | BARS),
    # the same with nothing missing
    (DOWNLOAD, NEVER | NETWORK | BARS, set()),
    (f"{DOWNLOAD} --dry-run", NEVER, set()),
    (f"coverage SPLT --resolution minute {RANGE} --json", NEVER | NETWORK, set()),
    ("verify --resolution minute --json", NEVER | NETWORK, BARS),
]
"""Commands in their order, with packages that each does not import and packages that it imports."""


def imported(command: str, folder: Path, url: str) -> set[str]:
    """Run a command in a process of its own and return the top-level modules that it imported."""
    environment = {"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES, *command.split(), "--data-folder", str(folder / "data")],
        cwd=folder,
        env=environment | {"POLYGON_API_KEY": KEY, "POLYGON_API_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_commands_import_what_they_use(tmp_path: Path) -> None:
    """No command imports pandas; without a request there is no HTTP library, without rows to read no numpy."""
    assert all(find_spec(name) for name in NEVER)
    with RecordedVendor() as vendor:
        for command, absent, present in COMMANDS:
            modules = imported(command, tmp_path, vendor.url)
            assert (command, modules & absent, present - modules) == (command, set(), set())
