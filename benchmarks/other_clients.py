"""Other ways to download the same bars: the vendor's client with `zipfile`, and a replay of LEAN's requests."""

from __future__ import annotations

import itertools
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any, Protocol

from benchmarks.market import NEW_YORK, TIMESPANS, end_of, midnight
from benchmarks.messages import ClientCounts, RunSpec
from benchmarks.simulated_clock import SimulatedClock

_THREADS = 5
_TRIES = 10
"""How often LEAN's downloader requests one page; after each 429 it waits ten seconds longer."""

_Row = Sequence[float]


class _RequestFunction(Protocol):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def massive(spec: RunSpec, clock: SimulatedClock | None, threads: int = 1) -> Callable[[], ClientCounts]:
    """Prepare a download with the vendor's Python client and `zipfile`."""
    from massive import RESTClient

    if clock is not None:
        vars(time)["sleep"] = clock.sleep  # this process ends with the run
    rest = RESTClient(api_key=spec.key, base=spec.url)
    sizes: list[int] = []
    rest.client.request = _counting(rest.client.request, sizes)

    def fetch(symbol: str, days: Sequence[date]) -> None:
        bars = rest.list_aggs(
            symbol,
            1,
            TIMESPANS[spec.resolution],
            days[0].isoformat(),
            days[-1].isoformat(),
            adjusted=False,
            sort="asc",
            limit=50_000,
        )
        rows = ((bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars)
        write_days(spec, symbol, days, rows)

    def download() -> ClientCounts:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda batch: fetch(*batch), spec.batches()))
        return ClientCounts(requests=len(sizes), bytes=sum(sizes))

    return download


def massive_threads(spec: RunSpec, clock: SimulatedClock | None) -> Callable[[], ClientCounts]:
    """Prepare a download with the vendor's Python client in five threads."""
    return massive(spec, clock, _THREADS)


def _counting(request: _RequestFunction, sizes: list[int]) -> _RequestFunction:
    """Wrap a request function so that it appends the bytes of each body to `sizes`."""

    def counted(*args: Any, **kwargs: Any) -> Any:
        response = request(*args, **kwargs)
        sizes.append(response.tell())
        return response

    return counted


def lean_request_pattern(spec: RunSpec, clock: SimulatedClock | None) -> Callable[[], ClientCounts]:
    """Prepare the requests of LEAN's downloader, one after another, each body parsed as a whole."""
    import requests

    sleep = clock.sleep if clock is not None else time.sleep
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Authorization": f"Bearer {spec.key}", "Accept-Encoding": "identity"})
    span, first, last = TIMESPANS[spec.resolution], midnight(spec.days[0]), end_of(spec.days[-1])
    sizes: list[int] = []

    def get(url: str) -> Any:
        for attempt in range(_TRIES):
            response = session.get(url)
            sizes.append(len(response.content))
            if response.status_code == 200:
                return json.loads(response.content)
            if response.status_code == 429:
                sleep(10 * attempt)
        raise RuntimeError(f"gave up after {_TRIES} tries, the last response had status {response.status_code}")

    def pages(symbol: str) -> Iterator[dict[str, Any]]:
        url = f"{spec.url}/v2/aggs/ticker/{symbol}/range/1/{span}/{first}/{last}?limit=5000&adjusted=False"
        while url:
            page = get(url)
            yield from page.get("results", ())
            url = page.get("next_url", "")

    def download() -> ClientCounts:
        get(f"{spec.url}/v3/reference/exchanges?limit=5000")
        for symbol in spec.symbols:
            bars = list(pages(symbol))
            rows = ((bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]) for bar in bars)
            write_days(spec, symbol, spec.days, rows)
        return ClientCounts(requests=len(sizes), bytes=sum(sizes))

    return download


def write_days(spec: RunSpec, symbol: str, days: Sequence[date], rows: Iterable[_Row]) -> None:
    """Write LEAN's files with the standard library, row by row, from bars in ascending order."""
    name = symbol.lower()
    if spec.resolution == "daily":
        _write(
            spec, "daily", f"{name}.zip", f"{name}.csv", [f"{_day(row):%Y%m%d} 00:00,{_values(row)}" for row in rows]
        )
        return
    rest = iter(rows)
    row = next(rest, None)
    for day in days:
        begin, end, lines = midnight(day), end_of(day), []
        while row is not None and row[0] <= end:
            lines.append(f"{row[0] - begin},{_values(row)}")
            row = next(rest, None)
        if lines:
            member = f"{day:%Y%m%d}_{name}_{spec.resolution}_trade.csv"
            _write(spec, f"{spec.resolution}/{name}", f"{day:%Y%m%d}_trade.zip", member, lines)


def _write(spec: RunSpec, below: str, name: str, member: str, lines: Sequence[str]) -> None:
    folder = spec.path / "equity" / "usa" / below
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "\n".join(lines))


def _day(row: _Row) -> date:
    return datetime.fromtimestamp(row[0] / 1000, NEW_YORK).date()


def _values(row: _Row) -> str:
    """Return prices in ten-thousandths of a dollar and the volume, with decimals only where they are not zero."""
    *prices, volume = itertools.islice(row, 1, 6)
    tenths = (round(price * 10_000, 4) for price in prices)
    return ",".join(str(int(number) if number == int(number) else number) for number in (*tenths, volume))
