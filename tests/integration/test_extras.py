"""Commands without the packages of the extra `serve`: each process cannot import them."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))
from server.cli import main
sys.exit(main(sys.argv[1:]))
"""


def packages() -> list[str]:
    """The packages of the extra, by the names that are imported."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    names = re.findall(r"^[a-z0-9-]+", config["options.extras_require"]["serve"], re.MULTILINE)
    return [name.replace("-", "_") for name in names]


def without_serve(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot import the packages, nor what comes with them."""
    blocked = ",".join([*packages(), "starlette", "pydantic"])
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, blocked, *arguments],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_extra_is_the_web_server() -> None:
    """Its packages are those that only the server needs."""
    assert packages() == ["fastapi", "jinja2", "prometheus_client", "uvicorn"]


def test_serve_names_the_extra(tmp_path: Path) -> None:
    """One line, exit code 1, no traceback."""
    done = without_serve(tmp_path, "serve", "--port", "0")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: the web server needs packages that are not installed (fastapi, jinja2, prometheus-client, uvicorn): "
        "pip install 'backtest-server[serve]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("download SPY --resolution daily --start 2024-01-02 --end 2024-01-05 --dry-run", 0),
        ("coverage SPY --resolution daily --start 2024-01-02 --end 2024-01-05", 1),
        ("verify --resolution daily", 0),
        ("providers", 0),
        ("serve --help", 0),
        ("factor-files SPY --dry-run", 0),
        ("demo", 0),
    ],
)
def test_other_commands_need_no_web_server(tmp_path: Path, arguments: str, code: int) -> None:
    """The demo downloads and runs a backtest with the smoke engine."""
    done = without_serve(tmp_path, *arguments.split())

    assert done.returncode == code, done.stderr
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
