"""What the source of an algorithm states literally: its days and its benchmark."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.project.algorithm_source import (
    AlgorithmSource,
    csharp_calls,
    python_calls,
    read_algorithm_source,
    source_of,
)

START, END = date(2013, 10, 7), date(2013, 10, 11)


def python(*lines: str) -> AlgorithmSource:
    """The source of an algorithm whose ``initialize`` has these lines."""
    body = "".join(f"        {line}\n" for line in lines) or "        pass\n"
    return source_of(python_calls(f"class A(QCAlgorithm):\n    def initialize(self):\n{body}"))


def csharp(*lines: str) -> AlgorithmSource:
    """The source of a C# algorithm with these lines."""
    return source_of(csharp_calls("\n".join(lines)))


@pytest.mark.parametrize(
    "lines",
    [
        ("self.set_start_date(2013, 10, 7)", "self.set_end_date(2013, 10, 11)"),
        ("self.SetStartDate(2013, 10, 7)", "self.SetEndDate(2013, 10, 11)"),
        ("self.set_start_date(datetime(2013, 10, 7))", "self.set_end_date(date(2013, 10, 11))"),
        (
            "self.set_start_date(datetime.datetime(2013, 10, 7, 9, 30))",
            "self.set_end_date(year=2013, month=10, day=11)",
        ),
        ("self.set_start_date(2013, 10, 7)", "self.set_start_date(2013, 10, 7)", "self.set_end_date(2013, 10, 11)"),
    ],
)
def test_days_in_python(lines: tuple[str, ...]) -> None:
    """In both spellings of LEAN, as numbers or as a date."""
    assert python(*lines) == AlgorithmSource(start=START, end=END, benchmark="SPY")


@pytest.mark.parametrize(
    "line",
    [
        "self.set_start_date(self.year, 1, 1)",
        "self.set_start_date(datetime.now() - timedelta(30))",
        "self.set_start_date(2013, 2, 30)",
        "self.set_start_date()",
        "self.set_start_date('2013-10-07')",
        "# self.set_start_date(2013, 10, 7)",
    ],
)
def test_days_that_are_not_literal(line: str) -> None:
    """They are unknown, as is a date that does not exist."""
    assert python(line, "self.set_end_date(2013, 10, 11)").start is None


def test_two_different_days_are_unknown() -> None:
    """Only a run shows which one counts."""
    assert python("self.set_start_date(2013, 1, 1)", "self.set_start_date(2014, 1, 1)").start is None


@pytest.mark.parametrize(
    ("line", "ticker"),
    [
        ("pass", "SPY"),
        ('self.set_benchmark("ibm")', "IBM"),
        ("self.SetBenchmark('QQQ')", "QQQ"),
        ('self.set_benchmark(SecurityType.EQUITY, "IBM")', "IBM"),
        ('self.set_benchmark(self.add_equity("QQQ", Resolution.DAILY).symbol)', "QQQ"),
        ("self.set_benchmark(self.spy)", None),
        ("self.set_benchmark(lambda time: 1)", None),
        ('self.set_benchmark("../../x")', None),
    ],
)
def test_benchmark_in_python(line: str, ticker: str | None) -> None:
    """The literal one; SPY where none is set; unknown for any other."""
    assert python(line).benchmark == ticker


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("SetStartDate(2013, 10, 7);", "SetEndDate(2013,10,11);"), AlgorithmSource(start=START, end=END)),
        (
            ("SetStartDate(new DateTime(2013, 10, 7)); // SetStartDate(1999, 1, 1)", "/* SetEndDate(2000, 1, 1) */"),
            AlgorithmSource(start=START),
        ),
        (('SetBenchmark("IBM");',), AlgorithmSource(benchmark="IBM")),
        (('SetBenchmark(SecurityType.Equity, "IBM");',), AlgorithmSource(benchmark="IBM")),
        (('SetBenchmark(AddEquity("QQQ").Symbol);',), AlgorithmSource(benchmark="QQQ")),
        (("SetBenchmark(time => 1);",), AlgorithmSource(benchmark=None)),
        (('Log("SetBenchmark(x) // no comment");',), AlgorithmSource(benchmark=None)),
    ],
)
def test_csharp(lines: tuple[str, ...], expected: AlgorithmSource) -> None:
    """Comments do not count; a text that looks like a call makes the value unknown rather than wrong."""
    assert csharp(*lines) == expected


def test_projects(tmp_path: Path) -> None:
    """A folder, its main.py, a folder of C#; without source, or with source that is no Python, only the default."""
    (tmp_path / "py").mkdir()
    main = tmp_path / "py" / "main.py"
    main.write_text("class A(QCAlgorithm):\n  def initialize(self): self.set_start_date(2013, 10, 7)\n")
    (tmp_path / "cs").mkdir()
    (tmp_path / "cs" / "Main.cs").write_text("SetEndDate(2013, 10, 11);")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "main.py").write_bytes(b"def (\xff\x00")

    found = [read_algorithm_source(path) for path in (tmp_path / "py", main, tmp_path / "cs", tmp_path / "bad", None)]

    assert [(one.start, one.end) for one in found] == [
        (START, None),
        (START, None),
        (None, END),
        (None, None),
        (None, None),
    ]
    assert {one.benchmark for one in found} == {"SPY"}


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    """Nothing is raised."""
    source_of([*python_calls(text), *csharp_calls(text)])
