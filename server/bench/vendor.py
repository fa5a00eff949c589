"""The local vendor: a process of its own that answers about bars as the vendor's API does, with a set latency.

``python -m server.bench.vendor`` takes a `VendorJob` as the first line on stdin, prints its address, and then answers
the lines ``counts`` and ``reset``. It ends with its stdin.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import msgspec
import numpy as np
from isal import isal_zlib

from server.bench.job import Counts, VendorJob
from server.bench.market import Market, Piece, end_of, midnight
from server.bench.processes import environment, python
from server.bench.simulated import SimulatedClock

_BARS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(second|minute|day)/([^/]+)/([^/]+)")
_EXCHANGES = "/v3/reference/exchanges"
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
_MINUTE = 60.0
_MOST = 50_000

_Answer = tuple[int, list[Piece]]


class Vendor:
    """Answers, and counts what it was asked."""

    def __init__(self, job: VendorJob) -> None:
        self.market = Market(job.market)
        self.market.prepare()
        self.latency = job.latency
        self._key, self._per_minute = job.key, job.per_minute
        self._now = SimulatedClock(Path(job.clock)).read if job.clock else time.monotonic
        self._lock = threading.Lock()
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and whose budget it was."""
        with self._lock:
            self._counts = Counts()
            self._sent: dict[str, Any] = {}
            self._admitted: deque[float] = deque()

    def counts(self) -> Counts:
        """What was asked."""
        bars = self.market.bars
        with self._lock:
            twice = sum(int((sent.reshape(-1, bars) > 1).any(axis=1).sum()) for sent in self._sent.values())
            return attrs.evolve(self._counts, days_twice=twice)

    def count(self, **more: int) -> None:
        """Count requests or bytes."""
        with self._lock:
            self._counts = attrs.evolve(
                self._counts, **{name: getattr(self._counts, name) + by for name, by in more.items()}
            )

    def answer(self, target: str, key: str) -> _Answer:
        """Status and body."""
        parts = urlsplit(target)
        asked = _BARS.fullmatch(parts.path)
        if key != f"Bearer {self._key}":
            return _refusal(401, "ERROR", error="Unknown API Key")
        if not self._admit():
            self.count(refused=1)
            return _refusal(429, "ERROR", error="You've exceeded the maximum requests per minute")
        if parts.path == _EXCHANGES:
            return 200, [Piece.of(b'{"results":[],"status":"OK","count":0}')]
        if asked is None:
            return _refusal(404, "NOT_FOUND", message="page not found")
        return 200, self._bars(asked, dict(parse_qsl(parts.query)))

    def _admit(self) -> bool:
        if self._per_minute is None:
            return True
        with self._lock:
            now = self._now()
            while self._admitted and self._admitted[0] <= now - _MINUTE:
                self._admitted.popleft()
            if len(self._admitted) >= self._per_minute:
                return False
            self._admitted.append(now)
            return True

    def _bars(self, asked: re.Match[str], query: dict[str, str]) -> list[Piece]:
        """A page of the bars asked for; what follows is found at its next_url."""
        symbol, span, begin, end = asked.groups()
        if "cursor" in query:
            query |= parse_qsl(base64.urlsafe_b64decode(query["cursor"] + "===").decode())
        first = last = 0
        if symbol in self.market.symbols and span == self.market.timespan:
            first, last = self.market.rows(_instant(begin, end=False), _instant(end, end=True))
        limit = min(int(query.get("limit", "5000")), _MOST)
        stop = min(last, first + limit)
        count = stop - first
        head = {"ticker": symbol, "queryCount": count, "resultsCount": count}
        adjusted = query.get("adjusted", "true").lower() == "true"
        tail: dict[str, object] = {"status": "OK", "request_id": f"{id(asked):032x}", "count": count}
        if stop < last:
            following = int(self.market.times[stop - 1]) + self.market.step
            cursor = base64.urlsafe_b64encode(f"adjusted={str(adjusted).lower()}&limit={limit}&sort=asc".encode())
            path = f"/v2/aggs/ticker/{symbol}/range/1/{span}/{following}/{end}"
            tail["next_url"] = f"{self.url}{path}?cursor={cursor.decode().rstrip('=')}"
        before = msgspec.json.encode({**head, "adjusted": adjusted})[:-1]
        after = msgspec.json.encode(tail)[1:]
        if not count:
            return [Piece.of(before + b"," + after)]
        with self._lock:
            sent = self._sent.setdefault(symbol, np.zeros(len(self.market.times), dtype=np.uint16))
            sent[first:stop] += 1
        bars = self.market.pieces(symbol, first, stop)
        return [Piece.of(before + b',"results":['), *bars, Piece.of(b"]," + after)]


def _instant(text: str, *, end: bool) -> int:
    if text.isdigit():
        return int(text)
    day = date.fromisoformat(text)
    return end_of(day) if end else midnight(day)


def _refusal(status: int, word: str, **fields: str) -> _Answer:
    return status, [Piece.of(msgspec.json.encode({"status": word, "request_id": "0" * 32, **fields}))]


def gzipped(pieces: list[Piece]) -> bytes:
    """One gzip stream out of deflated pieces."""
    crc = size = 0
    for piece in pieces:
        crc, size = isal_zlib.crc32(piece.text, crc), size + len(piece.text)
    tail = b"\x03\0" + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join([_HEADER, *(piece.deflated for piece in pieces), tail])


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    vendor: Vendor

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A contender that is killed leaves connections behind; anything else is a fault of ours."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer once the latency is over, whatever part of it making the answer took."""
        begun, vendor = time.monotonic(), self.server.vendor
        vendor.count(requests=1)
        status, pieces = vendor.answer(self.path, self.headers.get("Authorization", ""))
        packed = "gzip" in self.headers.get("Accept-Encoding", "")
        body = gzipped(pieces) if packed else b"".join(piece.text for piece in pieces)
        encoding = "Content-Encoding: gzip\r\n" if packed else ""
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n{encoding}"
        time.sleep(max(0.0, begun + vendor.latency - time.monotonic()))
        vendor.count(bytes=len(body))
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@attrs.frozen
class RunningVendor:
    """A vendor in a process of its own."""

    url: str
    _process: subprocess.Popen[str]

    def reset(self) -> None:
        """Forget what was asked."""
        self._ask("reset")

    def counts(self) -> Counts:
        """What was asked since."""
        return msgspec.json.decode(self._ask("counts"), type=Counts)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


@contextmanager
def running_vendor(job: VendorJob) -> Iterator[RunningVendor]:
    """Start a vendor, with all its answers ready, and stop it afterwards."""
    process = subprocess.Popen(
        python("server.bench.vendor"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        print(msgspec.json.encode(job).decode(), file=process.stdin, flush=True)
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the local vendor did not start")
        yield RunningVendor(url, process)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Serve until stdin ends."""
    vendor = Vendor(msgspec.json.decode(sys.stdin.readline(), type=VendorJob))
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.vendor = vendor
        vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        print(vendor.url, flush=True)
        for line in sys.stdin:
            if line.strip() == "reset":
                vendor.reset()
            print(msgspec.json.encode(vendor.counts()).decode(), flush=True)
        server.shutdown()


if __name__ == "__main__":
    main()
