"""Answers that the vendor really gave, served over HTTP from this machine.

`aapl-daily.json` holds Polygon's reply to AAPL's daily bars of 3 to 10 January 2023 as recorded on 27 June 2024
(published in OpenBB's repository). It was asked for adjusted prices; AAPL has not been split since August 2020, so
its raw prices of those days are the same, and they are served as the raw prices they are.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from server.lean.series import NEW_YORK


class RecordedAnswers:
    """A server on a free loopback port that answers from the recording. Use it as a context manager."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        recording = json.loads((resources.files("server.demo") / "aapl-daily.json").read_text(encoding="utf-8"))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(self.path)
                body = json.dumps(_answer(recording, urlsplit(self.path).path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent: the demo's own output is what people look at."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RecordedAnswers:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(recording: dict[str, Any], path: str) -> dict[str, Any]:
    """The vendor's answer to /v2/aggs/ticker/{symbol}/range/1/{timespan}/{from}/{to} out of the recording."""
    symbol, timespan, first, last = (path.split("/")[place] for place in (4, 7, 8, 9))
    same = (symbol, timespan) == (recording["symbol"], recording["timespan"])
    bars = [bar for bar in recording["bars"] if same and first <= _day(bar["t"]).isoformat() <= last]
    answer = {
        "ticker": symbol,
        "queryCount": len(bars),
        "resultsCount": len(bars),
        "adjusted": False,
        "status": "OK",
        "request_id": recording["request_id"],
        "count": len(bars),
    }
    return {**answer, "results": bars} if bars else answer


def _day(milliseconds: int) -> date:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(NEW_YORK).date()
