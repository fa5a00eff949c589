"""The behaviour of the command line equals the recorded one; see tests/recorded/README.md.

Each scenario's exit codes, JSON, requests and files are compared with `tests/recorded/<scenario>.json`. Nothing of the
server is imported: the commands run as `python -m server` in processes of their own.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from isal import isal_zlib

from tests.support import fake_lean
from tests.support.recorded_scenarios import SCENARIOS, Change, Scenario, Step
from tests.support.recorded_vendor import KEY, RecordedVendor

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"
RECORDING = "RECORD_COMMANDS"
STATE = ".backtest-server"

SENTENCE = "<sentence>"
SENTENCES = {
    *("engine_choice", "error", "message", "newest", "notes", "notices", "problem", "reason", "source", "summary"),
    "why",
}
"""Keys whose values are written for people."""
CHANGING = {"started_at": "<time>", "finished_at": "<time>", "duration_s": "<seconds>"}
"""Keys whose values differ from run to run."""

Recorded = dict[str, Any]


# --- running ---


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Recorded]]]:
    """The outcome of each selected scenario, of which two run at a time."""
    selected = {name for item in request.session.items for name in SCENARIOS if f"[{name}]" in item.name}
    folders = {name: tmp_path_factory.mktemp(name) for name in SCENARIOS if name in selected}
    pool = ThreadPoolExecutor(2)
    yield {name: pool.submit(_run, SCENARIOS[name], folder) for name, folder in folders.items()}
    pool.shutdown(cancel_futures=True)


def _run(scenario: Scenario, folder: Path) -> Recorded:
    """Run all steps of a scenario in an empty folder."""
    steps = []
    if scenario.fake_lean:
        fake_lean.install(folder / "bin")
    with RecordedVendor(plan_start=scenario.plan_start) as vendor:
        for step in scenario.steps:
            for change in step.before:
                _apply(change, folder)
            before = _files(folder)
            steps.append(_run_step(scenario, step, folder, vendor) | {"changed": _changed(before, _files(folder))})
    return {"steps": steps, "files": _files(folder)}


def _run_step(scenario: Scenario, step: Step, folder: Path, vendor: RecordedVendor) -> Recorded:
    vendor.answers, vendor.always, vendor.refused = list(step.answers), step.always, frozenset(step.refused)
    environment = {
        "PATH": os.pathsep.join((str(folder / "bin"), os.defpath)),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "POLYGON_API_KEY": KEY,
        "POLYGON_API_URL": vendor.url,
        **scenario.env,
        **step.env,
    }
    done = subprocess.run(
        [sys.executable, "-m", "server", *shlex.split(step.command)],
        cwd=folder,
        env={name: value for name, value in environment.items() if value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    places = {vendor.url: "<vendor>", str(folder): "<folder>"}
    return {
        "name": step.name,
        "command": step.command,
        "exit_code": done.returncode,
        "errors": sum(line.startswith("error: ") for line in done.stderr.splitlines()),
        "output": _output(done.stdout, places),
        "requests": vendor.take(),
    }


def _apply(change: Change, folder: Path) -> None:
    """Change a file of a scenario's folder."""
    what, path, text = change[0], folder / change[1], "".join(change[2:])
    if what == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    elif what == "truncate":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


# --- what is compared ---


def _output(text: str, places: Mapping[str, str]) -> Any:
    """The JSON that was printed, without what differs from run to run; of other text only whether there is any."""
    if not text.startswith("{"):
        return SENTENCE if text.strip() else None
    return _normalized(json.loads(text), "", places)


def _normalized(value: Any, key: str, places: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _normalized(inner, name, places) for name, inner in value.items()}
    if isinstance(value, list):
        return [_normalized(inner, key, places) for inner in value]
    if key in CHANGING:
        return CHANGING[key]
    if not isinstance(value, str):
        return value
    if key in SENTENCES or (" " in value and key != "value" and not value.startswith(("GET ", "lean "))):
        return SENTENCE
    for place, name in places.items():
        value = value.replace(place, name)
    return value


def _files(folder: Path) -> dict[str, Any]:
    """Every file below the data folders, except the state: a zip by its member, others by their content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and STATE not in path.parts and not name.startswith(("bin/", "project/", "lean.json")):
            found[re.sub(r"\.damaged-.*", ".damaged-<time>", name)] = _digest(path.read_bytes())
    return found


def _digest(content: bytes) -> Any:
    whole = hashlib.sha256(content).hexdigest()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {item.filename: hashlib.sha256(archive.read(item)).hexdigest() for item in archive.infolist()}
    except zipfile.BadZipFile:
        return whole
    return {"members": members, "zip": whole}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The files that a step wrote or removed, by content."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _compressor() -> str:
    """The digest of a text compressed as the server's zips are; it may differ with library version and processor."""
    text = "".join(f"{number * 7919 % 86_400_000},{number * 31 % 977}\n" for number in range(2000))
    return hashlib.sha256(isal_zlib.compress(text.encode(), 3)).hexdigest()


def _without_zip_bytes(outcome: Recorded) -> Recorded:
    """An outcome in which zips are their members' content alone, and copies of damaged ones have none."""
    files = {
        name: {"members": found["members"]} if isinstance(found, dict) else None if ".zip.damaged-" in name else found
        for name, found in outcome["files"].items()
    }
    return {**outcome, "files": files}


def _lines(value: Any) -> list[str]:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").splitlines(keepends=True)


def _difference(recorded: Recorded, outcome: Recorded) -> str:
    """The unified diff of each step and of the files, each under the step's name; empty if all is equal."""
    old, new = (
        {**{f"step {step['name']!r}": step for step in part["steps"]}, "files at the end": part["files"]}
        for part in (recorded, outcome)
    )
    diffs = (
        difflib.unified_diff(_lines(old.get(name)), _lines(new.get(name)), f"recorded {name}", f"now {name}", n=4)
        for name in {**old, **new}
    )
    return "".join(line for diff in diffs for line in diff)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_as_recorded(name: str, outcomes: Mapping[str, Future[Recorded]]) -> None:
    """Exit codes, JSON, requests and files, step by step."""
    outcome = {"compressor": _compressor(), **outcomes[name].result()}
    path = RECORDED / f"{name}.json"
    if os.environ.get(RECORDING):
        path.write_text("".join(_lines(outcome)), encoding="utf-8")
        pytest.skip(f"recorded {path.name}")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    if recorded.pop("compressor") != outcome.pop("compressor"):
        recorded, outcome = _without_zip_bytes(recorded), _without_zip_bytes(outcome)

    difference = _difference(recorded, outcome)

    assert not difference, f"{name} differs from its recording:\n{difference}"
    assert [step["name"] for step in recorded["steps"]] == [step["name"] for step in outcome["steps"]]


def test_every_recording_belongs_to_a_scenario() -> None:
    """And every scenario has a recording; names of steps are unique."""
    assert {path.stem for path in RECORDED.glob("*.json")} == set(SCENARIOS)
    for scenario in SCENARIOS.values():
        assert len({step.name for step in scenario.steps}) == len(scenario.steps)
