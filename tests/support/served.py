"""The server as a user runs it: `python -m server serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY

_START_SECONDS = 30.0


class Served:
    """A running server. `url` is its address; `get`, `post` and `delete` give JSON."""

    def __init__(
        self,
        folder: Path,
        polygon_url: str,
        *options: str,
        environ: Mapping[str, str] | None = None,
        descriptors: int | None = None,
    ) -> None:
        """Serve the data folder `folder`/data, with Polygon at this address.

        Args:
            folder: The working directory.
            polygon_url: The vendor's address.
            options: Options of `serve`.
            environ: Variables, in addition to those that every server has.
            descriptors: How many file descriptors the process may have; None leaves it at that of this process.
        """
        self.folder = folder
        self.errors: list[str] = []
        self.url = ""
        self.http = requests.Session()
        self.http.trust_env = False
        variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "POLYGON_API_KEY": KEY,
            "POLYGON_API_URL": polygon_url,
            "BACKTEST_SERVER_ENGINE": "smoke",
            "BACKTEST_SERVER_CORPORATE_ACTIONS": "off",
            **(environ or {}),
        }
        command = [sys.executable, "-m", "server", "serve", "--port", "0", *options]
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            command, cwd=folder, env={**variables, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self.url:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start: {self.errors}")
            time.sleep(0.01)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.rstrip())
            if line.startswith("serving on "):
                self.url = line.removeprefix("serving on ").strip()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and wait until it has ended; returns its exit code."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        """GET a path's JSON."""
        answer = self.http.get(self.url + path, params=parameters, timeout=30)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 202) -> Any:
        """POST JSON to a path."""
        answer = self.http.post(self.url + path, json=body, timeout=30)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def delete(self, path: str, status: int = 200) -> Any:
        """DELETE a path."""
        answer = self.http.delete(self.url + path, timeout=30)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def ended(self, path: str, seconds: float = 30.0) -> Any:
        """The job at this path once it is over."""
        deadline = time.monotonic() + seconds
        while (job := self.get(path))["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job
