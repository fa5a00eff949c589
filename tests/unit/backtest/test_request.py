"""What a backtest request resolves to: the request's own values, else the project's, else an error."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.backtest import BacktestRequest, resolve
from server.core.errors import ConfigurationError
from server.core.json import from_json, to_json
from server.lean.series import Resolution

PARAMETERS = """
SYMBOLS = ["AAPL", "msft"]
RESOLUTION = "daily"
START_DATE = "2024-01-03"
END_DATE = "2024-01-10"
"""
OWN = {"symbols": ("SPY",), "resolution": Resolution.SECOND, "start": date(2024, 2, 1), "end": date(2024, 2, 2)}
PROJECTS = {
    "symbols": ("AAPL", "MSFT"),
    "resolution": Resolution.DAILY,
    "start": date(2024, 1, 3),
    "end": date(2024, 1, 10),
}


def project(folder: Path, parameters: str | None = PARAMETERS) -> Path:
    """A LEAN project with these parameters."""
    (folder / "config").mkdir(parents=True)
    (folder / "main.py").write_text("")
    if parameters is not None:
        (folder / "config" / "parameters.py").write_text(parameters)
    return folder


def values(request: BacktestRequest) -> dict[str, Any]:
    """What a request asks for."""
    return {name: getattr(request, name) for name in OWN}


def test_the_project_gives_every_value(tmp_path: Path) -> None:
    """A request that names only the project takes symbols, resolution and days from it."""
    assert values(resolve(BacktestRequest(project=project(tmp_path)))) == PROJECTS


def test_the_projects_main_file_names_it_as_well(tmp_path: Path) -> None:
    """LEAN's CLI accepts both."""
    assert values(resolve(BacktestRequest(project=project(tmp_path) / "main.py"))) == PROJECTS


@pytest.mark.parametrize("name", ["symbols", "resolution", "start", "end"])
def test_the_request_overrides_the_project(tmp_path: Path, name: str) -> None:
    """Each value by itself; the others remain the project's."""
    own = OWN[name] if name != "start" else date(2024, 1, 5)
    resolved = resolve(BacktestRequest(project=project(tmp_path), **{name: own}))

    assert values(resolved) == {**PROJECTS, name: own}


def test_a_complete_request_needs_no_parameters(tmp_path: Path) -> None:
    """The project's file is not read."""
    folder = project(tmp_path, None)

    assert values(resolve(BacktestRequest(project=folder, **OWN))) == OWN


def test_without_a_project_the_request_gives_every_value() -> None:
    """The resolution defaults to minute."""
    request = BacktestRequest(symbols=("SPY",), start=date(2024, 2, 1), end=date(2024, 2, 2))

    assert values(resolve(request)) == {**OWN, "resolution": Resolution.MINUTE}


def test_a_project_without_a_resolution_means_minute(tmp_path: Path) -> None:
    """The project's file is read, and the default applies."""
    folder = project(tmp_path, PARAMETERS.replace('RESOLUTION = "daily"', ""))

    assert resolve(BacktestRequest(project=folder)).resolution is Resolution.MINUTE


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (BacktestRequest(), "needs --symbols, --start, --end"),
        (BacktestRequest(symbols=("SPY",), start=date(2024, 1, 2)), "needs --end"),
        (BacktestRequest(symbols=(), start=date(2024, 1, 2), end=date(2024, 1, 3)), "no symbol was given"),
        (
            BacktestRequest(symbols=("SPY",), start=date(2024, 1, 3), end=date(2024, 1, 2)),
            "the end 2024-01-02 lies before the start 2024-01-03",
        ),
        (BacktestRequest(symbols=("../x",), start=date(2024, 1, 2), end=date(2024, 1, 3)), "is not a US equity symbol"),
    ],
)
def test_an_incomplete_or_invalid_request(request_: BacktestRequest, words: str) -> None:
    """The message names what is missing or wrong."""
    with pytest.raises(ConfigurationError, match=words):
        resolve(request_)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (None, "has no config/parameters.py"),
        ("", "gives no symbols and no start and no end; add it there or give --symbols and --start and --end"),
        (PARAMETERS.replace("END_DATE", "LAST"), "gives no end; add it there or give --end"),
        (PARAMETERS.replace('"2024-01-10"', "today()"), "parameters.py:5: END_DATE cannot be known without running"),
        (PARAMETERS.replace('"daily"', '"week"'), "RESOLUTION does not fit: 'week' is not a resolution"),
        (PARAMETERS.replace("2024-01-10", "2024-01-01"), "the end 2024-01-01 lies before the start 2024-01-03"),
        ("SYMBOLS = [", "not valid Python"),
    ],
)
def test_incomplete_or_invalid_parameters(tmp_path: Path, parameters: str | None, words: str) -> None:
    """The message names the file and what is missing or wrong."""
    with pytest.raises(ConfigurationError, match=words):
        resolve(BacktestRequest(project=project(tmp_path, parameters)))


def test_a_start_after_the_projects_end_is_refused(tmp_path: Path) -> None:
    """The message names both days."""
    with pytest.raises(ConfigurationError, match="the end 2024-01-10 lies before the start 2024-02-01"):
        resolve(BacktestRequest(project=project(tmp_path), start=date(2024, 2, 1)))


def test_a_project_that_does_not_exist(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(ConfigurationError, match=r"there is no LEAN project at .*nowhere"):
        resolve(BacktestRequest(project=tmp_path / "nowhere"))


def test_a_request_is_read_back_from_its_json() -> None:
    """With all values and with none; keys of a later version are ignored."""
    full = BacktestRequest(project=Path("examples"), **OWN, engine="smoke", provider="polygon", only_data=True)

    assert to_json(full) == {
        "project": "examples",
        "symbols": ["SPY"],
        "resolution": "second",
        "start": "2024-02-01",
        "end": "2024-02-02",
        "engine": "smoke",
        "provider": "polygon",
        "only_data": True,
        "allow_damaged": False,
        "fill": True,
    }
    assert from_json({**to_json(full), "later": 1}, BacktestRequest) == full
    assert from_json(to_json(BacktestRequest()), BacktestRequest) == BacktestRequest()
