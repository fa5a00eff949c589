"""What a measurement depends on besides the code: processor, versions, latency. No user or machine names."""

from __future__ import annotations

import os
import platform
import subprocess
import time
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server import __version__

_PACKAGES = ("numpy", "requests", "requests-cache", "msgspec", "isal", "massive")
_REFERENCE_TRIES = 7
_REFERENCE_NUMBERS = 100_000
_ROOT = Path(__file__).parents[1]
_CODE = ("server", "benchmarks", ":(exclude)benchmarks/results")


def describe(*, live_url: str | None, latency: float) -> dict[str, Any]:
    """Describe the environment of a run.

    Args:
        live_url: The address of the live API, if the run used it.
        latency: Seconds before each response of the local server.

    Returns:
        The environment in JSON's types.
    """
    if live_url:
        against = f"the live API, {urlsplit(live_url).hostname}"
    else:
        against = f"the project's local server, {latency * 1000:g} ms before each response"
    return {
        "against": against,
        "live": live_url is not None,
        "latency_s": None if live_url else latency,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "reference_s": reference_seconds(),
        "memory_gb": _memory(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "backtest-server": __version__,
        **{name: version for name in _PACKAGES if (version := _version(name))},
    }


def reference_seconds() -> float:
    """Return the best time of a fixed computation, in seconds: the speed of one core of this machine.

    A download that waits for responses is a mixture of latency, which is set, and computation, so that its ratio to
    raw transfers can be compared between two runs only if the machines were about equally fast.
    """
    return round(min(_timed_computation() for _ in range(_REFERENCE_TRIES)), 4)


def _timed_computation() -> float:
    started = time.perf_counter()
    text = ",".join(str(number * 7919 % 65_521) for number in range(_REFERENCE_NUMBERS))
    zlib.compress(text.encode(), 6)
    return time.perf_counter() - started


def commit() -> tuple[str, bool]:
    """Return the commit of the running code and whether the code was changed since.

    Outside a git checkout the version is returned instead of a commit.
    """
    if not _git("ls-files", "--error-unmatch", "server/__init__.py"):
        return f"v{__version__}", False
    return _git("rev-parse", "--short", "HEAD"), bool(_git("status", "--porcelain", "-uno", "--", *_CODE))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True)  # noqa: S607 - any on PATH
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
    """Return the machine's memory in gigabytes, or None if the system does not report it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
