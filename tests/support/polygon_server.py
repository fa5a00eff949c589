"""A local HTTP server that answers about bars and reference data as Polygon documents it, and misbehaves on demand.

with PolygonServer(Market.synthetic(["SPY"], days)) as server:
    server.faults.append(faults.too_many_requests(retry_after=1))
    ...  # a client asks server.url
    assert [request.status for request in server.requests] == [429, 200]
"""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from tests.support import faults as kinds
from tests.support.aggregates import PATH, Page, Rules, find_page, gzipped
from tests.support.faults import Fault
from tests.support.http_listener import Listener, Reply
from tests.support.market import Market
from tests.support.reference_data import TICKERS, ReferenceData, listing

KEY = "key-for-tests"
_SETTINGS = (
    *("market", "key", "latency", "plan_start", "plan_end", "delayed", "budget"),
    *("cursor_keeps_adjusted", "faults", "on_request", "reference"),
)


@dataclass
class Request:
    """One request as it came in; `status` is None until it was answered, and 0 for a reset connection."""

    n: int
    method: str
    target: str
    headers: dict[str, str]
    time: float
    status: int | None = None

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def window(self) -> tuple[str, str, str, str] | None:
        """Symbol, timespan, from and to as they stand in the path, if it asks for bars."""
        found = PATH.fullmatch(self.path)
        return (unquote(found[1]), found[2], found[3], found[4]) if found else None


@dataclass(eq=False)
class Counters:
    """What a server saw."""

    requests: list[Request]
    in_flight_max: int = 0
    bytes_sent: int = 0

    @property
    def keys_in_urls(self) -> list[str]:
        """Every URL that carried a key."""
        return [r.target for r in self.requests if KEY in r.target or "apikey" in r.target.lower()]


class PolygonServer(Counters):
    """The server; use it as a context manager, or see `in_process` and `in_subprocess`.

    Args:
        market: The bars there are; any other symbol gets an answer without results.
        key: The key that is known.
        latency: Seconds before each answer.
        plan_start: The plan's first day: earlier ranges are refused, ranges that begin earlier are cut.
        plan_end: The plan's last day, likewise.
        delayed: Whether answers say DELAYED instead of OK.
        budget: How many requests in how many seconds; more are answered with 429.
        cursor_keeps_adjusted: Whether next_url remembers adjusted=false (not known of the real one).
        faults: Taken one for each request, the first first; None is a good answer.
        on_request: Called as ``on_request(request, n)``, n from 1, from several threads;
            a fault that it returns goes before `faults`.
        reference: Splits, dividends, ticker changes and details that there are; without it the tickers with bars are
            listed, and the other paths are not known.
    """

    def __init__(
        self,
        market: Market,
        *,
        key: str = KEY,
        latency: float = 0.0,
        plan_start: date | None = None,
        plan_end: date | None = None,
        delayed: bool = False,
        budget: tuple[int, float] | None = None,
        cursor_keeps_adjusted: bool = True,
        faults: list[Fault | None] | None = None,
        on_request: Callable[[Request, int], Fault | None] | None = None,
        reference: ReferenceData | None = None,
    ) -> None:
        super().__init__([])
        self.market = market
        self.key = key
        self.latency = latency
        self.plan_start = plan_start
        self.plan_end = plan_end
        self.delayed = delayed
        self.budget = budget
        self.cursor_keeps_adjusted = cursor_keeps_adjusted
        self.faults = faults if faults is not None else []
        self.on_request = on_request
        self.reference = reference
        self.url = ""
        self._lock = threading.Lock()
        self._in_flight = 0
        self._listener: Listener | None = None

    def __enter__(self) -> PolygonServer:
        self._listener = Listener(self._answer)
        self.url = f"http://127.0.0.1:{self._listener.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.stop()
        if kind is None and self._listener.errors:
            raise self._listener.errors[0]

    @contextmanager
    def in_process(self) -> Iterator[PolygonServer]:
        """Serve from threads of this process."""
        with self:
            yield self

    @contextmanager
    def in_subprocess(self) -> Iterator[RemoteServer]:
        """Serve from a process of its own, with every answer made ready beforehand."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        settings = {name: getattr(self, name) for name in _SETTINGS}
        process = context.Process(target=_serve_alone, args=(theirs, settings), daemon=True)
        process.start()
        theirs.close()
        try:
            yield RemoteServer(ours, ours.recv())
        finally:
            with suppress(OSError):
                ours.send("stop")
            ours.close()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()

    def counters(self) -> Counters:
        """What was seen so far, as a value of its own."""
        with self._lock:
            return Counters(list(self.requests), self.in_flight_max, self.bytes_sent)

    def reset(self) -> None:
        """Forget what was seen."""
        with self._lock:
            self.requests.clear()
            self.in_flight_max = self.bytes_sent = 0

    def _answer(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        with self._lock:
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
            request = Request(len(self.requests) + 1, method, target, headers, time.monotonic())
            self.requests.append(request)
            over = self._over_budget(request.time)
        fault = self.on_request(request, request.n) if self.on_request else None
        if fault is None:
            with self._lock:
                fault = self.faults.pop(0) if self.faults else None
        if fault is None and over:
            fault = kinds.too_many_requests()
        reply = self._reply(request, fault)

        def sending(count: int) -> None:
            with self._lock:
                self._in_flight -= 1
                request.status = 0 if reply.reset else reply.status
                self.bytes_sent += count

        reply.sending = sending
        return reply

    def _over_budget(self, now: float) -> bool:
        if self.budget is None:
            return False
        calls, seconds = self.budget
        return sum(request.time > now - seconds for request in self.requests) > calls

    def _rules(self) -> Rules:
        return Rules(self.plan_start, self.plan_end, self.delayed, self.cursor_keeps_adjusted)

    def _reply(self, request: Request, fault: Fault | None) -> Reply:
        request_id = hashlib.md5(f"{request.n} {request.target}".encode(), usedforsecurity=False).hexdigest()
        refused = _refused(request, self.key)
        if refused is not None and (fault is None or not fault.answers):
            fault = refused
        fault = fault or Fault()
        reply = Reply(request_id, fault, latency=self.latency)
        if fault.error is not None:
            _refuse(reply, fault)
        elif fault.body is not None:
            reply.status, reply.body = fault.status or 200, fault.body
        elif not fault.reset and not self._about_reference(request, request_id, reply, fault):
            self._bars(request, request_id, reply, fault)
        return reply

    def _about_reference(self, request: Request, request_id: str, reply: Reply, fault: Fault) -> bool:
        """Answer about reference data; say whether it was asked for."""
        reference = self.reference
        if reference is None and request.path.startswith(TICKERS):
            reference = listing(*{symbol for symbol, _ in self.market})
        if reference is None:
            return False
        body = reference.answer(request.path, request.query, self.url, request_id)
        if isinstance(body, Fault):
            _refuse(reply, body)
        elif body is not None:
            reply.status = fault.status or 200
            reply.body = fault.rewrite(body) if fault.rewrite is not None else body
        return body is not None

    def _bars(self, request: Request, request_id: str, reply: Reply, fault: Fault) -> None:
        if request.window is None:
            page: Page | Fault = Fault(404, error={"status": "NOT_FOUND", "message": "page not found"})
        else:
            page = find_page(self.market, request.window, request.query, self._rules(), self.url)
        if isinstance(page, Fault):
            _refuse(reply, page)
            return
        reply.status = fault.status or 200
        pieces = page.pieces(request_id)
        if fault.rewrite is not None:
            reply.body = fault.rewrite(b"".join(text for text, _ in pieces))
        elif "gzip" in request.headers.get("accept-encoding", ""):
            reply.gzipped = gzipped(pieces)
        else:
            reply.body = b"".join(text for text, _ in pieces)


class RemoteServer:
    """A server in another process; what it saw is fetched again at each look."""

    def __init__(self, pipe: Any, url: str) -> None:
        self.url = url
        self._pipe = pipe

    def counters(self) -> Counters:
        """What was seen so far."""
        self._pipe.send("counters")
        found: Counters = self._pipe.recv()
        return found

    def reset(self) -> None:
        """Forget what was seen."""
        self._pipe.send("reset")
        self._pipe.recv()

    @property
    def requests(self) -> list[Request]:
        """The requests so far."""
        return self.counters().requests

    @property
    def in_flight_max(self) -> int:
        """The most requests that were waiting for an answer at once."""
        return self.counters().in_flight_max

    @property
    def bytes_sent(self) -> int:
        """Bytes of bodies sent."""
        return self.counters().bytes_sent


def _refuse(reply: Reply, fault: Fault) -> None:
    fields = dict(fault.error or {})
    if fault.request_id:
        fields = {"status": fields.pop("status"), "request_id": reply.request_id, **fields}
    reply.status, reply.body = fault.status or 200, msgspec.json.encode(fields)


def _refused(request: Request, key: str) -> Fault | None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query.get("apiKey", "")
    if not given:
        return kinds.no_key()
    return None if given == key else kinds.unknown_key()


def _serve_alone(pipe: Any, settings: dict[str, Any]) -> None:
    settings["market"].prepare()
    with PolygonServer(**settings) as server, suppress(EOFError):
        pipe.send(server.url)
        while (command := pipe.recv()) != "stop":
            if command == "reset":
                server.reset()
            pipe.send(server.counters())
