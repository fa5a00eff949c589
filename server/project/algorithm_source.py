"""What the source of an algorithm states literally: its first and last day, and its benchmark. No code is run.

Python is read from its syntax tree. C# is read by patterns, after its comments are removed. A value that is not
literal, or for which the source has two different ones, is unknown.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from attrs import evolve, frozen

from server.lean.series import parse_symbol

DEFAULT_BENCHMARK = "SPY"
"""The benchmark of an algorithm that sets none (LEAN: ``DefaultBrokerageModel.GetBenchmark``)."""

MAX_BYTES = 1_000_000
"""Largest source file that is read."""

_NAMES = {
    "set_start_date": "start",
    "SetStartDate": "start",
    "set_end_date": "end",
    "SetEndDate": "end",
    "set_benchmark": "benchmark",
    "SetBenchmark": "benchmark",
}
_EARLIER = re.compile(r"warm_?up|history", re.IGNORECASE)
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_CSHARP_CALL = re.compile(r"\b(SetStartDate|SetEndDate|SetBenchmark)\s*\(")
_CSHARP_DAY = re.compile(r"\s*(?:new\s+DateTime\s*\(\s*)?(\d{4})\s*,\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_CSHARP_TEXT = re.compile(
    r'\s*(?:[\w.]+\s*,\s*)?(?:\w+\s*\.\s*)?(?:AddEquity\s*\(\s*|QuantConnect\.Symbol\.Create\s*\(\s*)?"([^"\n]*)"'
)


@frozen(kw_only=True)
class AlgorithmSource:
    """What an algorithm's source states.

    Attributes:
        start: The first day that it sets literally; None if unknown.
        end: The last day that it sets literally; None if unknown.
        benchmark: The ticker of the benchmark, in capitals: the literal one, or SPY where the source sets none; None
            where it sets one that is not literal.
        reads_earlier: Whether it names a warm-up or a history, which read bars of days before the first one.
    """

    start: date | None = None
    end: date | None = None
    benchmark: str | None = DEFAULT_BENCHMARK
    reads_earlier: bool = False


def read_algorithm_source(project: Path | None) -> AlgorithmSource:
    """Read the source of a project: its main.py, or all C# files of its folder.

    Args:
        project: The project's folder, or its main file; None without a project.

    Returns:
        What it states; of a project without source, or with source that cannot be read, nothing but the default
        benchmark. LEAN reports a source with errors.
    """
    if project is None:
        return AlgorithmSource()
    if project.is_file():
        paths = [project]
    else:
        main = project / "main.py"
        paths = [main] if main.is_file() else sorted(project.glob("*.cs"))
    calls: list[tuple[str, object]] = []
    reads_earlier = False
    for path in paths:
        text = _text(path)
        reads_earlier = reads_earlier or bool(_EARLIER.search(text))
        calls += csharp_calls(text) if path.suffix.lower() == ".cs" else python_calls(text)
    return evolve(source_of(calls), reads_earlier=reads_earlier)


def source_of(calls: Sequence[tuple[str, object]]) -> AlgorithmSource:
    """Return what calls state.

    Args:
        calls: What is set (``start``, ``end``, ``benchmark``), and the literal value, or None for another one.
    """
    values = {name: [value for called, value in calls if called == name] for name in ("start", "end", "benchmark")}
    start, end, benchmark = (_one(values[name]) for name in ("start", "end", "benchmark"))
    return AlgorithmSource(
        start=start if isinstance(start, date) else None,
        end=end if isinstance(end, date) else None,
        benchmark=(str(benchmark) if benchmark else None) if values["benchmark"] else DEFAULT_BENCHMARK,
    )


def python_calls(text: str) -> list[tuple[str, object]]:
    """Return the calls of a Python source that set a day or the benchmark, in the form of `source_of`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        return list(_python_calls(ast.walk(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def csharp_calls(text: str) -> list[tuple[str, object]]:
    """Return the calls of a C# source that set a day or the benchmark, in the form of `source_of`."""
    code = _COMMENT.sub(lambda match: match[1] or " ", text)
    calls: list[tuple[str, object]] = []
    for call in _CSHARP_CALL.finditer(code):
        name = _NAMES[call[1]]
        if name == "benchmark":
            found = _CSHARP_TEXT.match(code, call.end())
            calls.append((name, _ticker(found[1]) if found else None))
        else:
            found = _CSHARP_DAY.match(code, call.end())
            calls.append((name, _day(map(int, found.groups())) if found else None))
    return calls


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def _python_calls(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, object]]:
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=called), args=args) if called in _NAMES:
                name = _NAMES[called]
                arguments = [*args, *(keyword.value for keyword in node.keywords)]
                yield name, _benchmark(arguments) if name == "benchmark" else _python_day(arguments)
            case _:
                pass


def _python_day(args: Sequence[ast.expr]) -> date | None:
    match args:
        case [ast.Call(args=inner)]:  # datetime(2024, 1, 2)
            return _python_day(inner) if len(inner) >= 3 else None
        case [
            ast.Constant(value=int() as year),
            ast.Constant(value=int() as month),
            ast.Constant(value=int() as day),
            *_,
        ]:
            return _day((year, month, day))
        case _:
            return None


def _benchmark(args: Sequence[ast.expr]) -> str | None:
    """The ticker of ``set_benchmark("QQQ")``, or of ``set_benchmark(self.add_equity("QQQ", ...).symbol)``."""
    match args[-1:]:
        case [ast.Constant(value=str() as text)]:
            return _ticker(text)
        case [ast.Attribute(attr="symbol" | "Symbol", value=ast.Call(args=[ast.Constant(value=str() as text), *_]))]:
            return _ticker(text)
        case _:
            return None


def _one(values: Sequence[object]) -> object:
    """The value, if all are the same."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _day(numbers: Iterable[int]) -> date | None:
    try:
        return date(*numbers)
    except (ValueError, OverflowError):
        return None


def _ticker(text: str) -> str | None:
    try:
        return parse_symbol(text)
    except ValueError:
        return None
