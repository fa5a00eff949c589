"""Which contenders can run, and the environment that a run records."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import environment
from benchmarks.contenders import CONTENDERS, unavailable_reason


def test_the_lean_cli_is_never_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live only, and only with the CLI, Docker, a login and a lean.json; the reason names the first that is missing."""
    cli = CONTENDERS["lean-cli"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def reason(live: bool = True, lean_config: Path | None = None) -> str:
        return unavailable_reason(cli, live=live, lean_config=lean_config)

    assert "only with --live" in reason(live=False)
    assert reason() == "the LEAN CLI is not installed"
    for program, missing in (
        ("lean", "Docker is not installed"),
        ("docker", "the LEAN CLI is not logged in (lean login)"),
    ):
        (tmp_path / program).touch(0o755)
        assert reason() == missing
    (tmp_path / ".lean").mkdir()
    (tmp_path / ".lean" / "credentials").touch()
    assert "no lean.json" in reason()
    assert reason(lean_config=tmp_path / "lean.json") == ""


def test_the_environment_says_against_what() -> None:
    """Live runs record the host, others the local server and its latency; no machine or user is named."""
    local = environment.describe(live_url=None, latency=0.02)
    live = environment.describe(live_url="https://api.example.com", latency=0.02)

    assert local["against"] == "the project's local server, 20 ms before each response"
    assert (local["live"], local["latency_s"]) == (False, 0.02)
    assert live["against"] == "the live API, api.example.com"
    assert (live["live"], live["latency_s"]) == (True, None)
    assert {"processor", "cores", "python", "numpy"} <= local.keys()
    assert 0 < local["reference_s"] < 5
    assert not {"host", "hostname", "node", "user"} & local.keys()
