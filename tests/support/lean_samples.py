"""LEAN's sample data: the folder that LEAN_SAMPLE_DATA names, or files fetched from LEAN's public repository.

lean_samples.txt lists the files that are fetched, each with its SHA-256. To write it again, run `pooch.make_registry`
over a folder that holds these files and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pooch
import pytest
import requests

COMMIT = "24863901"
"""The commit of LEAN's repository, abbreviated, whose files the hashes are of."""
BASE_URL = f"https://raw.githubusercontent.com/QuantConnect/Lean/{COMMIT}/Data/"
REGISTRY = Path(__file__).with_name("lean_samples.txt")
VARIABLE = "LEAN_SAMPLE_DATA"
HOW_TO_GET_THEM = (
    f"set {VARIABLE} to a copy of the folder Data of LEAN's public repository (github.com/QuantConnect/Lean), "
    "or run the tests once with access to raw.githubusercontent.com"
)

_TIMEOUT_SECONDS = 20


class SamplesUnavailableError(Exception):
    """The samples are not on this machine and cannot be fetched, because the network does not reach the server."""


def lean_samples(environ: Mapping[str, str]) -> Path:
    """Return the folder of the samples; skip the running test where they are unavailable.

    Args:
        environ: The environment. LEAN_SAMPLE_DATA names the folder; `CI=true` fails the test instead of skipping it.

    Raises:
        ValueError: A fetched file has another hash than the registry says.
        requests.HTTPError: The server answered, but not with the file.
    """
    given = environ.get(VARIABLE, "")
    if given:
        return _given_folder(given)
    try:
        return fetch_samples(pooch.os_cache("backtest-server-tests") / COMMIT)
    except SamplesUnavailableError as error:
        _give_up(str(error), fail=environ.get("CI") == "true")


def fetch_samples(cache: Path, base_url: str = BASE_URL, registry: Path = REGISTRY) -> Path:
    """Fetch the files of the registry that the cache does not hold with the right hash.

    Args:
        cache: The folder to keep them in, below the same relative paths.
        base_url: The address of LEAN's folder Data, with a slash at the end.
        registry: The list of relative paths and hashes.

    Returns:
        The cache folder, which has the layout of a LEAN data folder.

    Raises:
        SamplesUnavailableError: The server cannot be reached.
        ValueError: A fetched file has another hash than the registry says; the file is not kept.
        requests.HTTPError: The server answered, but not with the file.
    """
    samples = pooch.create(cache, base_url)
    samples.load_registry(registry)
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS)
    try:
        for name in samples.registry_files:
            samples.fetch(name, downloader=downloader)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise SamplesUnavailableError(f"LEAN's sample files cannot be fetched; {HOW_TO_GET_THEM}") from error
    return cache


def _given_folder(given: str) -> Path:
    folder = Path(given).expanduser().resolve()
    if not (folder / "equity" / "usa").is_dir():
        pytest.fail(f"{VARIABLE} is {given}, but it has no folder equity/usa")
    return folder


def _give_up(reason: str, *, fail: bool) -> NoReturn:
    if fail:
        pytest.fail(reason)
    pytest.skip(reason)
