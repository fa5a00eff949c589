"""Serves a recorded response of the vendor over HTTP on this machine.

`aapl-daily.json` is Polygon's response with AAPL's daily bars of 3 to 10 January 2023, recorded on 27 June 2024 and
published in OpenBB's repository. The request was for adjusted prices. AAPL has had no split since August 2020, so its
raw prices of those days are equal, and the response is served as one with raw prices.
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


class RecordedVendor:
    """A server on a free loopback port that responds from the recording; a context manager.

    Attributes:
        url: Its address.
        requests: The paths requested so far.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        recording = json.loads((resources.files("server.demo") / "aapl-daily.json").read_text(encoding="utf-8"))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(self.path)
                body = json.dumps(_response(recording, urlsplit(self.path).path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing: stderr shows the progress of the demo."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RecordedVendor:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _response(recording: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the response to /v2/aggs/ticker/{symbol}/range/1/{timespan}/{from}/{to}."""
    symbol, timespan, first, last = (path.split("/")[place] for place in (4, 7, 8, 9))
    same = (symbol, timespan) == (recording["symbol"], recording["timespan"])
    bars = [bar for bar in recording["bars"] if same and first <= _day(bar["t"]).isoformat() <= last]
    response = {
        "ticker": symbol,
        "queryCount": len(bars),
        "resultsCount": len(bars),
        "adjusted": False,
        "status": "OK",
        "request_id": recording["request_id"],
        "count": len(bars),
    }
    return {**response, "results": bars} if bars else response


def _day(milliseconds: int) -> date:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(NEW_YORK).date()
