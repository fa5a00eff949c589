"""Reading the archive of benchmark runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from server.observability.benchmark_archive import read_runs


def archive(folder: Path, name: str, content: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "results.json").write_text(content if isinstance(content, str) else json.dumps(content))


def run(day: str, commit: str, at: str = "") -> dict[str, Any]:
    return {"date": day, "measured_at": at, "commit": commit, "scenarios": []}


def test_runs_come_newest_first(tmp_path: Path) -> None:
    """By day, then by time; runs that are unreadable or not valid JSON are left out."""
    archive(tmp_path, "2024-01-02-zzz", run("2024-01-02", "zzz", "2024-01-02T08:00"))
    archive(tmp_path, "2024-01-02-aaa", run("2024-01-02", "aaa", "2024-01-02T09:00"))
    archive(tmp_path, "2024-01-01-bbb", run("2024-01-01", "bbb"))
    for name, content in {"cut": '{"date": "20', "list": "[]", "nan": '{"scenarios": [NaN]}', "none": "{}"}.items():
        archive(tmp_path, f"2024-02-01-{name}", content)

    assert [found["commit"] for found in read_runs(tmp_path)] == ["aaa", "zzz", "bbb"]
    assert read_runs(tmp_path / "nothing") == []


def test_former_names_of_contenders_are_replaced(tmp_path: Path) -> None:
    """The first archived runs have other names; malformed entries do no harm."""
    contenders = [{"name": "native"}, {"name": "client-threads"}, {"name": "wire"}, {"name": 1}, "text"]
    scenarios = [{"name": "x", "contenders": contenders}, {"name": "y"}, "text"]
    archive(tmp_path, "2024-01-01-aaa", {"date": "2024-01-01", "scenarios": scenarios})

    (found,) = read_runs(tmp_path)

    assert found["scenarios"][0]["contenders"][:3] == [
        {"name": "polygon"},
        {"name": "massive-threads"},
        {"name": "wire"},
    ]


def test_the_number_of_runs_can_be_limited(tmp_path: Path) -> None:
    """The newest folders are read."""
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        archive(tmp_path, f"{day}-aaa", run(day, "aaa"))

    assert [found["date"] for found in read_runs(tmp_path, 2)] == ["2024-01-03", "2024-01-02"]
