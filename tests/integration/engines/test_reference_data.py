"""LEAN's reference data out of its image, with a small program in the place of docker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import Cancelled, ToolFailedError, ToolMissingError
from server.engines.reference_data import image_source, prepare_reference_data
from tests.support.engine_programs import REFERENCE, write_docker, write_reference
from tests.support.lean_workspace import write_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")

IMAGE = "quantconnect/lean:latest"
HOURS = "market-hours/market-hours-database.json"
RATES = "alternative/interest-rate/usa/interest-rate.csv"


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_out_of_the_image(tmp_path: Path) -> None:
    """What the data folder lacks is copied, and the container is removed; then Docker is not asked again."""
    write_reference(tmp_path / "image" / "Lean" / "Data")
    log = write_docker(tmp_path / "docker", tmp_path / "image")
    source = image_source(tmp_path / "docker", IMAGE, os.environ)

    (notice,) = prepare_reference_data(tmp_path / "data", [source])

    assert contents(tmp_path / "data") == REFERENCE
    assert f"from /Lean/Data of the image {IMAGE}" in notice
    commands = log.read_text().splitlines()
    assert (commands[0], commands[-1]) == (f"create {IMAGE}", f"rm {'0123456789abcdef' * 4}")
    assert prepare_reference_data(tmp_path / "data", [source]) == ()
    assert log.read_text().splitlines() == commands


def test_an_image_without_interest_rates(tmp_path: Path) -> None:
    """A notice; without market hours an error that names the image."""
    write_reference(tmp_path / "image" / "Lean" / "Data", RATES)
    write_docker(tmp_path / "docker", tmp_path / "image")
    source = image_source(tmp_path / "docker", IMAGE, os.environ)

    notices = prepare_reference_data(tmp_path / "data", [source])

    assert len(notices) == 2
    assert RATES in notices[1]
    (tmp_path / "image" / "Lean" / "Data" / HOURS).unlink()
    with pytest.raises(ToolMissingError, match=f"LEAN needs {HOURS};.*of the image {IMAGE}"):
        prepare_reference_data(tmp_path / "other", [source])


def test_docker_that_fails(tmp_path: Path) -> None:
    """Its reason, and no half of the data."""
    write_program(
        tmp_path / "docker", "#!/bin/sh\necho no space left on device\n[ $1 = create ] && echo abcdef123456\n"
    )
    source = image_source(tmp_path / "docker", IMAGE, os.environ)
    with pytest.raises(ToolFailedError, match="no space left on device"):
        prepare_reference_data(tmp_path / "data", [source])

    write_program(tmp_path / "docker", "#!/bin/sh\necho the daemon has ended\nexit 1\n")
    with pytest.raises(ToolMissingError, match="could be created: the daemon has ended"):
        prepare_reference_data(tmp_path / "data", [source])
    assert not (tmp_path / "data").exists()


def test_cancelled(tmp_path: Path) -> None:
    """It ends like a backtest that was cancelled."""
    write_reference(tmp_path / "image" / "Lean" / "Data")
    write_docker(tmp_path / "docker", tmp_path / "image")
    cancel = CancelToken()
    cancel.cancel()

    with pytest.raises(Cancelled):
        prepare_reference_data(tmp_path / "data", [image_source(tmp_path / "docker", IMAGE, os.environ)], cancel)
