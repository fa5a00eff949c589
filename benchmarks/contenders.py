"""The contenders: this project, the LEAN CLI, the vendor's client, a replay of LEAN's requests, and raw transfers.

Each is a function that imports and opens what it needs and returns the download to be timed. It runs in its own process
(see `contender_process`) and into its own folder.
"""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from benchmarks.messages import ClientCounts, RunSpec
from benchmarks.other_clients import lean_request_pattern, massive, massive_threads
from benchmarks.simulated_clock import SimulatedCancelToken, SimulatedClock
from server.core.errors import ConfigurationError
from server.core.words import did_you_mean

CONNECTIONS = 5
OWN, WIRE, LEAN_CLI = "polygon", "wire", "lean-cli"

_LAZY_MODULES = (
    "server.data_download.sink",
    "server.plugins.polygon_provider.provider",
    "server.plugins.lean_cli_provider.provider",
)
"""Modules that a download imports when it starts; they are imported before timing."""

TimedDownload = Callable[[], ClientCounts]


@frozen
class Contender:
    """A way to download bars.

    Attributes:
        name: Its name for ``--contender`` and in results.
        about: A description for ``--list``.
        prepare: Imports and opens what it needs, and returns the download.
        incremental: Whether it uses files that exist; others download everything again.
        writes: Whether it writes files.
    """

    name: str
    about: str
    prepare: Callable[[RunSpec, SimulatedClock | None], TimedDownload]
    incremental: bool = False
    writes: bool = True


def polygon(spec: RunSpec, clock: SimulatedClock | None) -> TimedDownload:
    """Prepare this project's downloader, assembled as by the command line."""
    environ = {"POLYGON_API_KEY": spec.key, "POLYGON_API_URL": spec.url}
    if spec.per_minute is not None:
        environ["BACKTEST_SERVER_REQUESTS_PER_MINUTE"] = str(spec.per_minute)
    return _with_downloader(spec, OWN, environ, clock)


def lean_cli(spec: RunSpec, clock: SimulatedClock | None) -> TimedDownload:
    """Prepare the real LEAN CLI, run by this project's provider for it."""
    environ = {"POLYGON_API_KEY": spec.key}
    if spec.lean_config:
        environ["BACKTEST_SERVER_LEAN_CONFIG"] = spec.lean_config
    return _with_downloader(spec, LEAN_CLI, environ, clock)


def _with_downloader(
    spec: RunSpec, provider: str, environ: Mapping[str, str], clock: SimulatedClock | None
) -> TimedDownload:
    for module in _LAZY_MODULES:
        import_module(module)
    from server.core.cancel import CancelToken
    from server.data_download.request import DownloadRequest
    from server.lean.series import Resolution
    from server.plugins.manager import build_plugin_manager
    from server.plugins.polygon_provider import budget
    from server.settings import Settings, SettingsReader
    from server.workspace import Workspace

    if clock is not None:
        vars(budget)["time"] = clock  # this process ends with the run
    token = SimulatedCancelToken(clock) if clock is not None else CancelToken()
    settings = Settings(
        data_folder=spec.path,
        data_provider=provider,
        corporate_actions="off",  # the other contenders download bars only
        reader=SettingsReader(environ=environ, cwd=spec.path),
    )
    workspace = Workspace.open(settings, build_plugin_manager(), clock=lambda: spec.now)
    request = DownloadRequest(
        symbols=spec.symbols, resolution=Resolution(spec.resolution), start=spec.days[0], end=spec.days[-1]
    )

    def download() -> ClientCounts:
        report = workspace.downloader().download(request, token)
        workspace.close()
        if not report.complete:
            raise RuntimeError("; ".join({failure.error for failure in report.failures}) or "it was cancelled")
        return ClientCounts(
            requests=report.api_calls,
            bytes=report.bytes_fetched,
            cache_hits=report.http_cache_hits,
            retries=report.retries,
        )

    return download


def wire(spec: RunSpec, clock: SimulatedClock | None) -> TimedDownload:
    """Prepare the requests that `polygon` sends for an empty folder, without any processing of the responses."""
    from server.data_download.availability import Gap
    from server.lean.series import Resolution, Series
    from server.plugins.polygon_provider.windows import plan_windows
    from server.trading_calendar import USEquityTradingCalendar

    calendar = USEquityTradingCalendar.load(spec.now.date())
    gaps = [Gap(series=Series(symbol, Resolution(spec.resolution)), days=spec.days) for symbol in spec.symbols]
    targets = [window.target for window in plan_windows(gaps, calendar, spec.now, counted=False)]
    url = urlsplit(spec.url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    headers = {"Authorization": f"Bearer {spec.key}", "Accept-Encoding": "gzip"}

    def transfer(targets: Sequence[str]) -> int:
        """Send the requests over one connection; return the bytes of the response bodies."""
        connection, read = connect(url.netloc), 0
        for target in targets:
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"the response has status {response.status}")
            while block := response.read(1 << 18):
                read += len(block)
        connection.close()
        return read

    def download() -> ClientCounts:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            read = pool.map(transfer, (targets[first::CONNECTIONS] for first in range(CONNECTIONS)))
            return ClientCounts(requests=len(targets), bytes=sum(read))

    return download


CONTENDERS: Mapping[str, Contender] = {
    one.name: one
    for one in (
        Contender(
            OWN,
            "this project: settings, plugin and downloader, with HTTP cache, checks and syncing to disk",
            polygon,
            incremental=True,
        ),
        Contender(
            LEAN_CLI,
            "the real `lean data download`, run by this project's provider for it; live only",
            lean_cli,
            incremental=True,
        ),
        Contender(
            "lean-request-pattern",
            "a replay in Python of the requests of LEAN's downloader: one connection, pages of 5,000 bars, no "
            "compression, files written after a symbol's last page; without Docker and .NET",
            lean_request_pattern,
        ),
        Contender(
            "massive",
            "the vendor's Python client as in its manual, and zipfile; each request is for a month of minutes, a day "
            "of seconds or all daily bars",
            massive,
        ),
        Contender("massive-threads", "the same in five threads", massive_threads),
        Contender(
            WIRE,
            "the requests that polygon sends for an empty folder, over five connections; the responses are discarded",
            wire,
            writes=False,
        ),
    )
}


def choose_contenders(names: Sequence[str]) -> list[Contender]:
    """Return the contenders with these names in the order of `CONTENDERS`; all if no name is given.

    Raises:
        ConfigurationError: A name is unknown.
    """
    for name in names:
        if name not in CONTENDERS:
            raise ConfigurationError(f"there is no contender {name!r}; {did_you_mean(name, CONTENDERS)}")
    return [one for one in CONTENDERS.values() if not names or one.name in names]


def unavailable_reason(contender: Contender, *, live: bool, lean_config: Path | None) -> str:
    """Return why a contender cannot run on this machine, or an empty text.

    Args:
        contender: The contender.
        live: Whether the real API is measured.
        lean_config: The lean.json for the LEAN CLI, if there is one.
    """
    if contender.name == LEAN_CLI:
        return _lean_unavailable_reason(live, lean_config)
    if contender.name.startswith("massive") and find_spec("massive") is None:
        return "the package massive is not installed: pip install 'backtest-server[bench]'"
    return ""


def _lean_unavailable_reason(live: bool, lean_config: Path | None) -> str:
    if not live:
        return "it checks its license with QuantConnect and uses the real API; only with --live"
    for program, name in (("lean", "the LEAN CLI"), ("docker", "Docker")):
        if shutil.which(program) is None:
            return f"{name} is not installed"
    if not (Path.home() / ".lean" / "credentials").is_file():
        return "the LEAN CLI is not logged in (lean login)"
    if lean_config is None:
        return "no lean.json names a QuantConnect organization (lean init)"
    return ""
