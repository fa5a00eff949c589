"""HTTP/1.1 with keep-alive on a port of 127.0.0.1, a thread for each connection, and answers that can go wrong."""

from __future__ import annotations

import gzip
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.faults import Fault

_GONE = (ConnectionError, TimeoutError)


@dataclass
class Reply:
    """What is to be sent, and how; `sending` is called with the body's length just before the first byte goes."""

    request_id: str
    fault: Fault
    latency: float = 0.0
    status: int = 200
    body: bytes = b""
    gzipped: bytes | None = None
    sending: Callable[[int], None] = lambda count: None

    @property
    def reset(self) -> bool:
        """Whether the connection is reset instead."""
        return self.fault.reset


Answer = Callable[[str, str, dict[str, str]], Reply]


class Listener(socketserver.ThreadingTCPServer):
    """Serves until it is stopped. `errors` are those of the answering code, not of clients that went away."""

    request_queue_size = 128
    daemon_threads = False
    block_on_close = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self.port: int = self.server_address[1]
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="polygon-server")
        self._thread.start()

    def stop(self) -> None:
        """End at once, whatever is under way."""
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong in the answering code; a client may go away whenever it likes."""
        error = sys.exception()
        if error is not None and not isinstance(error, _GONE):
            self.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def version_string(self) -> str:
        return "nginx/1.19.2"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        reply = self.server.answer(
            self.command, self.path, {name.lower(): value for name, value in self.headers.items()}
        )
        fault, body = reply.fault, reply.body
        self.server.stopping.wait(reply.latency + fault.wait)
        if self.server.stopping.is_set() or fault.reset:
            reply.sending(0)
            self._reset()
            return
        packed = reply.gzipped
        if packed is None and body and "gzip" in self.headers.get("Accept-Encoding", ""):
            packed = gzip.compress(body, 1, mtime=0)
        if packed is not None:
            body = packed
        self.send_response(reply.status)
        self.send_header("Content-Type", fault.body_type)
        self.send_header("X-Request-Id", reply.request_id)
        self.send_header("Strict-Transport-Security", "max-age=15724800; includeSubDomains")
        self.send_header("Vary", "Accept-Encoding")
        if packed is not None:
            self.send_header("Content-Encoding", "gzip")
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self._send(reply, body)

    def _send(self, reply: Reply, body: bytes) -> None:
        fault = reply.fault
        sent = body if fault.cut is None else body[: int(len(body) * fault.cut)]
        if fault.chunked:
            frame = f"{len(body):x}\r\n".encode()
            sent = frame + sent + (b"\r\n0\r\n\r\n" if fault.cut is None else b"")
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        reply.sending(len(sent))
        if fault.trickle:
            self.wfile.write(head)
            step = max(1, len(sent) // 20)
            for begin in range(0, len(sent), step):
                if self.server.stopping.wait(fault.trickle / 20):
                    break
                self.wfile.write(sent[begin : begin + step])
        else:
            self.wfile.write(head + sent)
        if fault.cut is not None:
            self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
