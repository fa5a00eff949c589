"""The real LEAN CLI (package lean 1.0.230) without a network, and a Docker that has no image.

The package has its own virtual environment, since it requires other versions than this product; LEAN_CLI_PYTHON names
its Python, by default that of `make test`. A copy of the package gets the list of modules that the CLI would fetch.
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE

VERSION = "1.0.230"
VARIABLE = "LEAN_CLI_PYTHON"
_DEFAULT = Path(__file__).resolve().parents[2] / ".venv-lean" / "bin" / "python"

# The modules that our command lines name, with the fields that the CLI reads (lean/models/json_module.py).
MODULES = {
    "modules": [
        {
            "id": "Local",
            "display-id": "Local",
            "type": ["data-downloader", "history-provider"],
            "platform": ["cli"],
            "installs": False,
            "configurations": [
                {
                    "id": "data-provider",
                    "type": "info",
                    "value": "QuantConnect.Lean.Engine.DataFeeds.DefaultDataProvider",
                }
            ],
        },
        {
            "id": "PolygonDataProvider",
            "display-id": "Polygon",
            "type": ["data-downloader", "history-provider"],
            "platform": ["cli"],
            "installs": True,
            "product-id": 306,
            "configurations": [
                {
                    "id": "polygon-api-key",
                    "type": "input",
                    "input-method": "prompt-password",
                    "prompt-info": "Your Polygon.io API Key",
                    "help": "Your Polygon.io API Key",
                },
                {
                    "id": "polygon-license-type",
                    "type": "input",
                    "input-method": "choice",
                    "input-choices": ["Individual", "Business"],
                    "prompt-info": "Select the Polygon license type",
                    "help": "The kind of licence",
                },
            ],
        },
    ]
}

# Only local sockets connect: Docker's.
_NO_NETWORK = """
import socket
connect, offline = socket.socket.connect, socket.gaierror(-3, "Temporary failure in name resolution")
def local(self, address):
    if self.family != socket.AF_UNIX:
        raise offline
    return connect(self, address)
def resolve(*arguments, **named):
    raise offline
socket.socket.connect, socket.getaddrinfo = local, resolve
"""

_PARSE = """
import json, sys
from lean.commands import lean
path, arguments = json.loads(sys.argv[1]), json.loads(sys.argv[2])
command, context = lean, None
for name in path:
    command = command.commands[name]
with command.make_context(path[-1], arguments) as context:
    print(json.dumps({"parameters": context.params, "unknown": context.args}, default=str))
"""


class RealCli:
    """The installed CLI.

    Attributes:
        executable: A program `lean`.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self.executable = folder / "bin" / "lean"
        self.executable.parent.mkdir(parents=True)
        start = f'"{python}" -c "from lean.main import main; main()" "$@"'
        self.executable.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" HOME="{folder}" exec {start}\n')
        self.executable.chmod(0o755)

    def parse(self, *words: str, cwd: Path) -> dict[str, Any]:
        """Parse the command line of `lean` with the CLI's own commands; returns its parameters.

        Args:
            words: The arguments, ``backtest`` or ``data download`` first.
            cwd: The folder it runs in.
        """
        names = words[: 2 if words[0] == "data" else 1]
        arguments = words[len(names) :]
        answer = self._run(["-c", _PARSE, json.dumps(names), json.dumps(arguments)], cwd)
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert found["unknown"] == []
        parameters: dict[str, Any] = found["parameters"]
        return parameters

    def refused(self, *words: str, cwd: Path) -> str:
        """Run a command line that must fail; returns what it printed."""
        answer = subprocess.run(
            [self.executable, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert answer.returncode == 1
        return answer.stdout + answer.stderr

    def _run(self, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.defpath, "HOME": str(self._folder), "PYTHONPATH": str(self._folder)}
        return subprocess.run(
            [self._python, *arguments],
            cwd=cwd,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


def install_real_cli(folder: Path, environ: Mapping[str, str], *, modules: bool = True) -> RealCli:
    """Copy the real CLI into a folder; skip the running test where it is not installed.

    Args:
        folder: A new folder.
        environ: LEAN_CLI_PYTHON names a Python that has the package; with ``CI=true`` it must be there.
        modules: Whether it has its list of modules.
    """
    python = Path(environ.get(VARIABLE) or _DEFAULT)
    found = _package(python)
    if found is None:
        text = f"the package lean {VERSION} is not installed in {python}: run make .venv-lean, or set {VARIABLE}"
        if environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    shutil.copytree(found, folder / "lean", ignore=shutil.ignore_patterns("__pycache__", "modules-*.json"))
    if modules:
        (folder / "lean" / "modules-1.14.json").write_text(json.dumps(MODULES))
    (folder / "sitecustomize.py").write_text(_NO_NETWORK)
    return RealCli(python, folder)


def _package(python: Path) -> Path | None:
    """The folder of the package in this version; None without it."""
    code = (
        "import importlib.metadata as m, importlib.util as u; "
        "print(m.version('lean'), u.find_spec('lean').submodule_search_locations[0])"
    )
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE)
    except OSError:
        return None
    version, _, path = answer.stdout.strip().partition(" ")
    return Path(path) if version == VERSION else None


class _DockerWithoutImages(BaseHTTPRequestHandler):
    """The answers of Docker's daemon that the CLI asks for before it starts a container."""

    def do_GET(self) -> None:
        code = 404
        answer: Any = {"message": "page not found"}
        if self.path.endswith("/_ping"):
            code, answer = 200, "OK"
        elif self.path.endswith("/version"):
            code, answer = 200, {"ApiVersion": "1.47", "Version": "27.0.1"}
        elif "/images/" in self.path and self.path.endswith("/json"):
            name = self.path.partition("/images/")[2].removesuffix("/json")
            answer = {"message": f"No such image: {name}"}
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""

    def address_string(self) -> str:
        """A local socket has no address."""
        return "local"


@contextmanager
def docker_without_images(path: Path) -> Iterator[str]:
    """Run a Docker daemon that has no image, on a local socket; gives the value for DOCKER_HOST."""
    with socketserver.ThreadingUnixStreamServer(str(path), _DockerWithoutImages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()
