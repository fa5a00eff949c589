"""What a measurement depends on besides the code: processor, versions, latency. No names of people or machines."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server import __version__

_NAMED = ("numpy", "requests", "requests-cache", "msgspec", "isal", "massive")
_HERE = Path(__file__).parent


def facts(*, live_url: str | None, latency: float) -> dict[str, Any]:
    """The facts, in JSON's types.

    Args:
        live_url: The address of the live API, if that was asked.
        latency: Seconds before each answer of the local server.
    """
    if live_url:
        against = f"the live API, {urlsplit(live_url).hostname}"
    else:
        against = f"the project's local server, {latency * 1000:g} ms before each answer"
    return {
        "against": against,
        "live": live_url is not None,
        "latency_s": None if live_url else latency,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": _memory(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "backtest-server": __version__,
        **{name: version for name in _NAMED if (version := _version(name))},
    }


def commit() -> tuple[str, bool]:
    """The commit of the code that runs, and whether it was changed since; the version where it is no checkout."""
    if not _git("ls-files", "--error-unmatch", "__init__.py"):
        return f"v{__version__}", False
    return _git("rev-parse", "--short", "HEAD"), bool(_git("status", "--porcelain", "-uno", "--", str(_HERE.parent)))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_HERE, capture_output=True, text=True)  # noqa: S607 - whichever is on PATH
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
