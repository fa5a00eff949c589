"""The other ways to get the same bars: the vendor's client and `zipfile`, and LEAN's requests replayed."""

from __future__ import annotations

import itertools
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, Protocol

from server.bench.job import Job, Told
from server.bench.market import NEW_YORK, TIMESPANS, end_of, midnight
from server.bench.simulated import SimulatedClock

_THREADS = 5
_TRIES = 10
"""How often LEAN's downloader asks for one page; after a 429 it waits ten seconds more each time."""

_Row = Sequence[float]


class _Counted(Protocol):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def massive(job: Job, clock: SimulatedClock | None, threads: int = 1) -> Callable[[], Told]:
    """The vendor's Python client and `zipfile`."""
    from massive import RESTClient

    if clock is not None:
        vars(time)["sleep"] = clock.sleep  # in this process, which ends with the run
    rest = RESTClient(api_key=job.key, base=job.url)
    sizes: list[int] = []
    rest.client.request = _counting(rest.client.request, sizes)

    def part(symbol: str, days: Sequence[date]) -> None:
        bars = rest.list_aggs(
            symbol,
            1,
            TIMESPANS[job.resolution],
            days[0].isoformat(),
            days[-1].isoformat(),
            adjusted=False,
            sort="asc",
            limit=50_000,
        )
        rows = ((bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars)
        write_days(job, symbol, days, rows)

    def work() -> Told:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda question: part(*question), job.questions()))
        return Told(requests=len(sizes), bytes=sum(sizes))

    return work


def massive_threads(job: Job, clock: SimulatedClock | None) -> Callable[[], Told]:
    """The vendor's Python client in five threads."""
    return massive(job, clock, _THREADS)


def _counting(request: _Counted, sizes: list[int]) -> _Counted:
    """The same, with the bytes of each body kept."""

    def counted(*args: Any, **kwargs: Any) -> Any:
        response = request(*args, **kwargs)
        sizes.append(response.tell())
        return response

    return counted


def lean_request_pattern(job: Job, clock: SimulatedClock | None) -> Callable[[], Told]:
    """The requests of LEAN's downloader, one after another, each body parsed as a whole."""
    import requests

    sleep = clock.sleep if clock is not None else time.sleep
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Authorization": f"Bearer {job.key}", "Accept-Encoding": "identity"})
    span, first, last = TIMESPANS[job.resolution], midnight(job.days[0]), end_of(job.days[-1])
    sizes: list[int] = []

    def get(url: str) -> Any:
        for attempt in range(_TRIES):
            answer = session.get(url)
            sizes.append(len(answer.content))
            if answer.status_code == 200:
                return json.loads(answer.content)
            if answer.status_code == 429:
                sleep(10 * attempt)
        raise RuntimeError(f"gave up after {_TRIES} tries, the last answer was {answer.status_code}")

    def pages(symbol: str) -> Iterator[dict[str, Any]]:
        url = f"{job.url}/v2/aggs/ticker/{symbol}/range/1/{span}/{first}/{last}?limit=5000&adjusted=False"
        while url:
            page = get(url)
            yield from page.get("results", ())
            url = page.get("next_url", "")

    def work() -> Told:
        get(f"{job.url}/v3/reference/exchanges?limit=5000")
        for symbol in job.symbols:
            bars = list(pages(symbol))
            rows = ((bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]) for bar in bars)
            write_days(job, symbol, job.days, rows)
        return Told(requests=len(sizes), bytes=sum(sizes))

    return work


def write_days(job: Job, symbol: str, days: Sequence[date], rows: Iterable[_Row]) -> None:
    """Write LEAN's files with the standard library, row by row, from bars in ascending order."""
    name = symbol.lower()
    if job.resolution == "daily":
        _write(job, "daily", f"{name}.zip", f"{name}.csv", [f"{_day(row):%Y%m%d} 00:00,{_values(row)}" for row in rows])
        return
    rest = iter(rows)
    row = next(rest, None)
    for day in days:
        begin, end, lines = midnight(day), end_of(day), []
        while row is not None and row[0] <= end:
            lines.append(f"{row[0] - begin},{_values(row)}")
            row = next(rest, None)
        if lines:
            member = f"{day:%Y%m%d}_{name}_{job.resolution}_trade.csv"
            _write(job, f"{job.resolution}/{name}", f"{day:%Y%m%d}_trade.zip", member, lines)


def _write(job: Job, below: str, name: str, member: str, lines: Sequence[str]) -> None:
    folder = job.path / "equity" / "usa" / below
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "\n".join(lines))


def _day(row: _Row) -> date:
    from datetime import datetime

    return datetime.fromtimestamp(row[0] / 1000, NEW_YORK).date()


def _values(row: _Row) -> str:
    """Prices in ten-thousandths of a dollar and the volume, fractions of either only where there are any."""
    *prices, volume = itertools.islice(row, 1, 6)
    tenths = (round(price * 10_000, 4) for price in prices)
    return ",".join(str(int(number) if number == int(number) else number) for number in (*tenths, volume))
