"""Who takes part: this project, the LEAN CLI, the vendor's own client, LEAN's requests replayed, and the bare wire.

Each is a function that imports and opens what it needs and returns the work to be timed. It runs in a process of its
own (see `child`), into a folder of its own.
"""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from server.bench.job import Job, Told
from server.bench.others import lean_request_pattern, massive, massive_threads
from server.bench.simulated import SimulatedClock, SimulatedToken
from server.core.errors import ConfigurationError
from server.core.words import did_you_mean

CONNECTIONS = 5
OWN, WIRE, LEAN_CLI = "polygon", "wire", "lean-cli"

_WHAT_A_RUN_IMPORTS = (
    "server.data_download.sink",
    "server.plugins.polygon_provider.provider",
    "server.plugins.lean_cli_provider.provider",
)

Work = Callable[[], Told]


@frozen
class Contender:
    """Who it is.

    Attributes:
        name: What ``--contender`` and the results call it.
        about: One sentence for the report.
        make: Gets ready, and returns the work.
        remembers: Looks at what is on disk first; the others fetch everything again.
        writes: Writes files; the wire does not.
    """

    name: str
    about: str
    make: Callable[[Job, SimulatedClock | None], Work]
    remembers: bool = False
    writes: bool = True


def polygon(job: Job, clock: SimulatedClock | None) -> Work:
    """This project's downloader, put together as the command line does it."""
    environ = {"POLYGON_API_KEY": job.key, "POLYGON_API_URL": job.url}
    if job.per_minute is not None:
        environ["BACKTEST_SERVER_REQUESTS_PER_MINUTE"] = str(job.per_minute)
    return _through_the_host(job, OWN, environ, clock)


def lean_cli(job: Job, clock: SimulatedClock | None) -> Work:
    """The real LEAN CLI, through this project's provider for it."""
    environ = {"POLYGON_API_KEY": job.key}
    if job.lean_config:
        environ["BACKTEST_SERVER_LEAN_CONFIG"] = job.lean_config
    return _through_the_host(job, LEAN_CLI, environ, clock)


def _through_the_host(job: Job, provider: str, environ: Mapping[str, str], clock: SimulatedClock | None) -> Work:
    for module in _WHAT_A_RUN_IMPORTS:
        import_module(module)
    from server.core.cancel import CancelToken
    from server.data_download.request import DownloadRequest
    from server.lean.series import Resolution
    from server.plugins.manager import build_plugin_manager
    from server.plugins.polygon_provider import budget
    from server.settings import Settings, SettingsReader
    from server.workspace import Workspace

    if clock is not None:
        vars(budget)["time"] = clock  # in this process, which ends with the run
    token = SimulatedToken(clock) if clock is not None else CancelToken()
    settings = Settings(
        data_folder=job.path,
        data_provider=provider,
        corporate_actions="off",  # the others fetch bars and nothing else
        reader=SettingsReader(environ=environ, cwd=job.path),
    )
    workspace = Workspace.open(settings, build_plugin_manager(), clock=lambda: job.now)
    request = DownloadRequest(
        symbols=job.symbols, resolution=Resolution(job.resolution), start=job.days[0], end=job.days[-1]
    )

    def work() -> Told:
        report = workspace.downloader().download(request, token)
        workspace.close()
        if not report.complete:
            raise RuntimeError("; ".join({failure.error for failure in report.failures}) or "it was stopped")
        return Told(
            requests=report.api_calls,
            bytes=report.bytes_fetched,
            cache_hits=report.http_cache_hits,
            retries=report.retries,
        )

    return work


def wire(job: Job, clock: SimulatedClock | None) -> Work:
    """The requests that `polygon` sends to an empty folder, and nothing else: the floor under its time."""
    from server.data_download.availability import Gap
    from server.lean.series import Resolution, Series
    from server.plugins.polygon_provider.windows import plan_windows
    from server.trading_calendar import USEquityTradingCalendar

    calendar = USEquityTradingCalendar.load(None, job.now.date())
    gaps = [Gap(series=Series(symbol, Resolution(job.resolution)), days=job.days) for symbol in job.symbols]
    targets = [window.target for window in plan_windows(gaps, calendar, job.now, counted=False)]
    url = urlsplit(job.url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    headers = {"Authorization": f"Bearer {job.key}", "Accept-Encoding": "gzip"}

    def connection(mine: Sequence[str]) -> int:
        line, read = connect(url.netloc), 0
        for target in mine:
            line.request("GET", target, headers=headers)
            answer = line.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"the wire was answered with {answer.status}")
            while piece := answer.read(1 << 18):
                read += len(piece)
        line.close()
        return read

    def work() -> Told:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            read = pool.map(connection, (targets[first::CONNECTIONS] for first in range(CONNECTIONS)))
            return Told(requests=len(targets), bytes=sum(read))

    return work


CONTENDERS: Mapping[str, Contender] = {
    one.name: one
    for one in (
        Contender(
            OWN,
            "this project: settings, plugin, downloader, with its HTTP cache, its checks and its syncing to disk",
            polygon,
            remembers=True,
        ),
        Contender(
            LEAN_CLI,
            "the real `lean data download` through this project's provider for it; live only",
            lean_cli,
            remembers=True,
        ),
        Contender(
            "lean-request-pattern",
            "a replay, in Python, of the requests of LEAN's downloader: one connection, pages of 5,000 bars, no "
            "compression, files written after a symbol's last page; Docker and .NET are left out",
            lean_request_pattern,
        ),
        Contender(
            "massive",
            "the vendor's Python client as its manual shows it, and zipfile; a month of minutes, a day of seconds or "
            "all daily bars a question",
            massive,
        ),
        Contender("massive-threads", "the same in five threads", massive_threads),
        Contender(
            WIRE,
            "the requests that polygon sends to an empty folder, over five connections; the bytes are thrown away",
            wire,
            writes=False,
        ),
    )
}


def choose_contenders(names: Sequence[str]) -> list[Contender]:
    """Those that are named, in their usual order; all if none is.

    Raises:
        ConfigurationError: There is none of that name.
    """
    for name in names:
        if name not in CONTENDERS:
            raise ConfigurationError(f"there is no contender {name!r}; {did_you_mean(name, CONTENDERS)}")
    return [one for one in CONTENDERS.values() if not names or one.name in names]


def why_not(contender: Contender, *, live: bool, lean_config: Path | None) -> str:
    """Why a contender cannot run here, or an empty text."""
    if contender.name == LEAN_CLI:
        return _why_not_lean(live, lean_config)
    if contender.name.startswith("massive"):
        from importlib.util import find_spec

        if find_spec("massive") is None:
            return "the package massive is missing: pip install 'backtest-server[bench]'"
    return ""


def _why_not_lean(live: bool, lean_config: Path | None) -> str:
    if not live:
        return "it checks its licence with QuantConnect and asks the real API; only with --live"
    for program, name in (("lean", "the LEAN CLI"), ("docker", "Docker")):
        if shutil.which(program) is None:
            return f"{name} is not installed"
    if not (Path.home() / ".lean" / "credentials").is_file():
        return "the LEAN CLI is not logged in (lean login)"
    if lean_config is None:
        return "no lean.json names a QuantConnect organization (lean init)"
    return ""
