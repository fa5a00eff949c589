"""docs/performance.md agrees with the command `python -m benchmarks`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.__main__ import benchmark
from benchmarks.contenders import CONTENDERS
from benchmarks.scenarios import ScenarioKind

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
COMMAND_LINES = re.findall(r"^\$ python -m benchmarks(.*)$", PAGE, re.MULTILINE)


def first_cells(heading: str) -> list[str]:
    """The code words in the first column of the tables below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [
        word for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for word in re.findall("`(.+?)`", row)
    ]


def test_each_option_is_documented() -> None:
    """The table has each option of the command, and no other."""
    options = {name for param in benchmark.params for name in param.opts}

    assert sorted(first_cells("Running the benchmarks")) == sorted(options)


def test_kinds_and_contenders_are_documented() -> None:
    """The tables have each kind of scenario and each contender, and no other."""
    assert first_cells("Scenarios") == [kind.value for kind in ScenarioKind]
    assert sorted(first_cells("Contenders")) == sorted(CONTENDERS)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_parse(line: str) -> None:
    """The command accepts the command lines of the page."""
    assert benchmark.make_context("benchmarks", shlex.split(line)).command is benchmark


def test_command_lines_are_found() -> None:
    """The page has command lines to check."""
    assert len(COMMAND_LINES) >= 3
