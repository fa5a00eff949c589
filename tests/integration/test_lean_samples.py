"""How tests get LEAN's sample files, with a server on this machine in the place of LEAN's repository."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.lean_samples import BASE_URL, REGISTRY, SamplesUnavailableError, fetch_samples, lean_samples

MAP_FILE = "equity/usa/map_files/aapl.csv"
FILES = {MAP_FILE: b"19980102,aapl,Q\n20501231,aapl,Q\n", "equity/usa/factor_files/aapl.csv": b"20501231,1,1,0\n"}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what it was asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the request's line instead of printing it."""
        self.asked.append(self.path)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; gives its address and the list of paths that were asked for."""
    handler = type("Counting", (Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", handler.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A folder that holds what LEAN's repository would."""
    folder = tmp_path / "upstream"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The list of these files with their hashes."""
    path = tmp_path / "registry.txt"
    path.write_text("".join(f"{name} sha256:{sha256(content).hexdigest()}\n" for name, content in FILES.items()))
    return path


def closed_port() -> str:
    """The address of a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_files_are_fetched_once(tmp_path: Path, upstream: Path, registry: Path) -> None:
    """The cache gets the files at the same paths; a second call asks for nothing, and needs no network."""
    with serving(upstream) as (url, asked):
        folder = fetch_samples(tmp_path / "cache", url, registry)

        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        assert sorted(asked) == sorted(f"/{name}" for name in FILES)
    assert fetch_samples(tmp_path / "cache", closed_port(), registry) == folder


def test_a_cached_file_that_changed_is_fetched_again(tmp_path: Path, upstream: Path, registry: Path) -> None:
    """Its hash is checked on every call; the other files stay."""
    with serving(upstream) as (url, asked):
        folder = fetch_samples(tmp_path / "cache", url, registry)
        (folder / MAP_FILE).write_bytes(b"19980102,aapl\n")
        asked.clear()
        fetch_samples(tmp_path / "cache", url, registry)

        assert asked == [f"/{MAP_FILE}"]
    assert (folder / MAP_FILE).read_bytes() == FILES[MAP_FILE]


def test_a_file_with_another_hash_is_an_error(tmp_path: Path, upstream: Path, registry: Path) -> None:
    """It is not kept, so that no test reads it."""
    (upstream / MAP_FILE).write_bytes(b"20501231,aapl,Q\n")
    with serving(upstream) as (url, _), pytest.raises(ValueError, match="hash of downloaded file"):
        fetch_samples(tmp_path / "cache", url, registry)

    assert not (tmp_path / "cache" / MAP_FILE).exists()


def test_a_file_that_upstream_does_not_have_is_an_error(tmp_path: Path, upstream: Path, registry: Path) -> None:
    """A wrong commit does not look like a missing network."""
    (upstream / MAP_FILE).unlink()
    with serving(upstream) as (url, _), pytest.raises(requests.HTTPError, match="404"):
        fetch_samples(tmp_path / "cache", url, registry)


def test_without_a_network_they_are_unavailable(tmp_path: Path, registry: Path) -> None:
    """The message says how to get them."""
    with pytest.raises(SamplesUnavailableError, match="set LEAN_SAMPLE_DATA to a copy of the folder Data"):
        fetch_samples(tmp_path / "cache", closed_port(), registry)


@pytest.mark.parametrize(
    ("environ", "outcome"), [({}, pytest.skip.Exception), ({"CI": "true"}, pytest.fail.Exception)], ids=["here", "CI"]
)
def test_tests_are_skipped_without_them(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], outcome: type[BaseException]
) -> None:
    """In CI they fail, so that it cannot pass without its comparisons with LEAN."""

    def offline(cache: Path) -> Path:
        raise SamplesUnavailableError("cannot be fetched")

    monkeypatch.setattr("tests.support.lean_samples.fetch_samples", offline)
    with pytest.raises(outcome, match="cannot be fetched"):
        lean_samples(environ)


def test_the_variable_comes_first(upstream: Path, tmp_path: Path) -> None:
    """A folder that it names is used as it is; one without equity/usa is an error."""
    assert lean_samples({"LEAN_SAMPLE_DATA": str(upstream)}) == upstream
    with pytest.raises(pytest.fail.Exception, match="has no folder equity/usa"):
        lean_samples({"LEAN_SAMPLE_DATA": str(tmp_path)})


def test_the_registry_is_of_the_files_that_the_tests_compare_with(lean_sample_data: Path) -> None:
    """Each listed file that LEAN_SAMPLE_DATA's folder has is the same there, byte for byte."""
    assert BASE_URL.endswith("/Data/")
    lines = [line.split() for line in REGISTRY.read_text().splitlines()]
    present = [(name, digest) for name, digest in lines if (lean_sample_data / name).exists()]

    assert present
    for name, digest in present:
        assert f"sha256:{sha256((lean_sample_data / name).read_bytes()).hexdigest()}" == digest, name
