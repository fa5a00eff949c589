"""The local server: a process that serves bars as the vendor's API does, with a set latency.

``python -m benchmarks.vendor`` reads a `VendorSpec` from the first line on stdin, prints its address, and then responds
to the lines ``counts`` and ``reset``. It ends when its stdin is closed.
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

from benchmarks.market import JsonChunk, SyntheticMarket, end_of, midnight
from benchmarks.messages import VendorCounts, VendorSpec
from benchmarks.processes import environment, python
from benchmarks.simulated_clock import SimulatedClock

_BARS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(second|minute|day)/([^/]+)/([^/]+)")
_EXCHANGES = "/v3/reference/exchanges"
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
_MINUTE = 60.0
_MAX_LIMIT = 50_000

_Response = tuple[int, list[JsonChunk]]


class Vendor:
    """Responds to requests as the vendor's API does, and counts them."""

    def __init__(self, spec: VendorSpec) -> None:
        self.market = SyntheticMarket(spec.market)
        self.market.prepare()
        self.latency = spec.latency
        self._key, self._per_minute = spec.key, spec.per_minute
        self._now = SimulatedClock(Path(spec.clock)).read if spec.clock else time.monotonic
        self._lock = threading.Lock()
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """Reset the counts and the request budget."""
        with self._lock:
            self._counts = VendorCounts()
            self._sent: dict[str, Any] = {}
            self._admitted: deque[float] = deque()

    def counts(self) -> VendorCounts:
        """Return the counts since the last reset."""
        bars = self.market.bars
        with self._lock:
            twice = sum(int((sent.reshape(-1, bars) > 1).any(axis=1).sum()) for sent in self._sent.values())
            return attrs.evolve(self._counts, days_twice=twice)

    def count(self, **increments: int) -> None:
        """Increase counts by name."""
        with self._lock:
            self._counts = attrs.evolve(
                self._counts, **{name: getattr(self._counts, name) + by for name, by in increments.items()}
            )

    def respond(self, target: str, key: str) -> _Response:
        """Return status and body for a request.

        Args:
            target: Path and query.
            key: The Authorization header.
        """
        parts = urlsplit(target)
        match = _BARS.fullmatch(parts.path)
        if key != f"Bearer {self._key}":
            return _error(401, "ERROR", error="Unknown API Key")
        if not self._admit():
            self.count(refused=1)
            return _error(429, "ERROR", error="You've exceeded the maximum requests per minute")
        if parts.path == _EXCHANGES:
            return 200, [JsonChunk.from_text(b'{"results":[],"status":"OK","count":0}')]
        if match is None:
            return _error(404, "NOT_FOUND", message="page not found")
        return 200, self._bars(match, dict(parse_qsl(parts.query)))

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

    def _bars(self, match: re.Match[str], query: dict[str, str]) -> list[JsonChunk]:
        """Return a page of the requested bars; its next_url leads to the following page."""
        symbol, span, begin, end = match.groups()
        if "cursor" in query:
            query |= parse_qsl(base64.urlsafe_b64decode(query["cursor"] + "===").decode())
        first = last = 0
        if symbol in self.market.symbols and span == self.market.timespan:
            first, last = self.market.rows(_instant(begin, end=False), _instant(end, end=True))
        limit = min(int(query.get("limit", "5000")), _MAX_LIMIT)
        stop = min(last, first + limit)
        count = stop - first
        head = {"ticker": symbol, "queryCount": count, "resultsCount": count}
        adjusted = query.get("adjusted", "true").lower() == "true"
        tail: dict[str, object] = {"status": "OK", "request_id": f"{id(match):032x}", "count": count}
        if stop < last:
            following = int(self.market.times[stop - 1]) + self.market.step
            cursor = base64.urlsafe_b64encode(f"adjusted={str(adjusted).lower()}&limit={limit}&sort=asc".encode())
            path = f"/v2/aggs/ticker/{symbol}/range/1/{span}/{following}/{end}"
            tail["next_url"] = f"{self.url}{path}?cursor={cursor.decode().rstrip('=')}"
        before = msgspec.json.encode({**head, "adjusted": adjusted})[:-1]
        after = msgspec.json.encode(tail)[1:]
        if not count:
            return [JsonChunk.from_text(before + b"," + after)]
        with self._lock:
            sent = self._sent.setdefault(symbol, np.zeros(len(self.market.times), dtype=np.uint16))
            sent[first:stop] += 1
        bars = self.market.chunks(symbol, first, stop)
        return [JsonChunk.from_text(before + b',"results":['), *bars, JsonChunk.from_text(b"]," + after)]


def _instant(text: str, *, end: bool) -> int:
    if text.isdigit():
        return int(text)
    day = date.fromisoformat(text)
    return end_of(day) if end else midnight(day)


def _error(status: int, word: str, **fields: str) -> _Response:
    return status, [JsonChunk.from_text(msgspec.json.encode({"status": word, "request_id": "0" * 32, **fields}))]


def gzipped(chunks: list[JsonChunk]) -> bytes:
    """Return one gzip stream of deflated chunks."""
    crc = size = 0
    for chunk in chunks:
        crc, size = isal_zlib.crc32(chunk.text, crc), size + len(chunk.text)
    tail = b"\x03\0" + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join([_HEADER, *(chunk.deflated for chunk in chunks), tail])


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    vendor: Vendor

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that a killed contender leaves open; report any other error."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Respond after the latency, which includes the time to create the response."""
        started, vendor = time.monotonic(), self.server.vendor
        vendor.count(requests=1)
        status, chunks = vendor.respond(self.path, self.headers.get("Authorization", ""))
        compressed = "gzip" in self.headers.get("Accept-Encoding", "")
        body = gzipped(chunks) if compressed else b"".join(chunk.text for chunk in chunks)
        encoding = "Content-Encoding: gzip\r\n" if compressed else ""
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n{encoding}"
        time.sleep(max(0.0, started + vendor.latency - time.monotonic()))
        vendor.count(bytes=len(body))
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@attrs.frozen
class VendorProcess:
    """A local server in its own process."""

    url: str
    _process: subprocess.Popen[str]

    def reset(self) -> None:
        """Reset the counts and the request budget."""
        self._request("reset")

    def counts(self) -> VendorCounts:
        """Return the counts since the last reset."""
        return msgspec.json.decode(self._request("counts"), type=VendorCounts)

    def _request(self, line: str) -> str:
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


@contextmanager
def running_vendor(spec: VendorSpec) -> Iterator[VendorProcess]:
    """Start a local server with all responses prepared, and stop it afterwards."""
    process = subprocess.Popen(
        python("benchmarks.vendor"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        print(msgspec.json.encode(spec).decode(), file=process.stdin, flush=True)
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the local server did not start")
        yield VendorProcess(url, process)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Serve until stdin is closed."""
    vendor = Vendor(msgspec.json.decode(sys.stdin.readline(), type=VendorSpec))
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
