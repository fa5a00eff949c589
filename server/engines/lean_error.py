"""The error of an algorithm on one line: ``message (file.py, line 12)``.

LEAN's texts have the message between prefixes of its own methods and a stack, most of which is LEAN's (LEAN:
``StackExceptionInterpreter``, ``PythonUtil.PythonExceptionStackParser``, ``BacktestingSetupHandler``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LENGTH = 400
"""The number of characters to which a message is cut; log.txt has all of it."""

_PREFIXES = re.compile(
    r"""\s*(?:
      \d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d\                                     # the algorithm's time
    | [A-Za-z]\w*(?:\.[A-Za-z]\w*)*\(\):\s                                 # a method of LEAN
    | (?:[A-Za-z]\w*[.+])+\w*Exception:\s                                  # a type of exception
    | Unhandled\ exception\.\s
    | Runtime\ Error:\s
    | RuntimeError\ at\ .{1,40}?\ UTC\.\ Context:\ \w+\s
    | Algorithm\.Initialize\(\)\ Error:\s
    | During\ the\ algorithm\ initialization,\ the\ following\ exception\ has\ occurred:\s
    | Unable\ to\ import\ python\ module\ .+?\.py\.\s
    )""",
    re.VERBOSE,
)
_AGGREGATE = re.compile(r"One or more errors occurred\. \((.*)\)\s*", re.DOTALL)
_MESSAGE_END = re.compile(
    r"""\sStack\ Trace:
    | \n\s*(?:at|--->|---)\s
    | \n\s*File\ "
    | \s+\([^()\s]+\.py,\ line\ \d+\)
    | \s+in\ [^\n]*?\.(?:py|cs):\s?line\ \d+
    | \s+at\ [\w<>]+\ in\ \S+\.py:\s?line\ \d+
    """,
    re.VERBOSE,
)
_MODULE = re.compile(r"Unable to import python module (?:[^\n]*?[/\\])?([^/\\\n]+?\.py)\.\s")
_SYNTAX = re.compile(r"\(([^()\s/\\]+\.py), line (\d+)\)")
_PYTHON_FRAME = re.compile(r'File "([^"\n]+\.py)", line (\d+)|([^\s/\\:"\'()]+\.py):\s?line (\d+)')
_CSHARP_FRAME = re.compile(r"^\s*at ([\w.+`<>]+)[^\n]*? in [^\n]*?([^\s/\\:]+\.cs):line (\d+)", re.MULTILINE)
_CSHARP_SUMMARY = re.compile(r" in ([^\s/\\:]+\.cs):line (\d+)")
_LIBRARY = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d")
_OF_LEAN = re.compile(r"QuantConnect\.(?!Algorithm\.(?:CSharp|Python)\b)|Python\.Runtime\.|System\.|Microsoft\.")
_FILES_OF_LEAN = re.compile(
    r"QCAlgorithm[\w.]*|AlgorithmPythonWrapper|\w*SetupHandler|Engine|Loader|AlgorithmManager|PythonUtil|Extensions"
)
_ALGORITHM_ERROR = re.compile(
    r"Runtime Error: |(?:[\w.]+\(\): )*Algorithm\.Initialize\(\) Error: |Engine\.Run\(\): |"
    r"(?:[\w.]+\(\): )*During the algorithm initialization|Extensions\.SetRuntimeError\(\): |"
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:Runtime Error: |During the algorithm initialization)"
)
_UNHANDLED = "Unhandled exception."
_NO_PANDAS = "'QuantConnect.Python.PandasConverter' threw an exception"


def error_line(text: str, stacks: Sequence[str] = ()) -> str | None:
    """Return an error on one line, with the algorithm's file and line where LEAN's texts have them.

    Args:
        text: What LEAN wrote: ``RuntimeError`` of the result's state, or a message of the log.
        stacks: Further texts that may have the file and line, the best first.

    Returns:
        ``message (file.py, line 12)``, or None where the text is empty.
    """
    message = " ".join(_message(text).split())
    if not message:
        return None
    if len(message) > LENGTH:
        message = message[: LENGTH - 3] + "..."
    place = _place(text, stacks)
    return f"{message} ({place})" if place and not message.endswith(f"({place})") else message


def logged_error(errors: Sequence[str]) -> str | None:
    """Return the error of the algorithm or the engine among a log's errors; None where there is no such error.

    Data that was not found, and lines that the algorithm logs as errors, are no errors of the run.

    Args:
        errors: The texts of the log's error messages.
    """
    found = [text for text in errors if _ALGORITHM_ERROR.match(text)]
    first = next((text for text in found if "SetRuntimeError" not in text), found[0] if found else "")
    return error_line(first, [text for text in found if text is not first])


def unhandled_exception(console: str) -> str | None:
    """Return the exception with which LEAN's process ended (LEAN: .NET's abort), from what it printed."""
    _, found, text = console.rpartition(_UNHANDLED)
    return error_line(text) if found else None


def error_advice(error: str | None) -> str | None:
    """Return what an error of LEAN does not say itself; None where there is nothing to add."""
    if error and _NO_PANDAS in error:
        return "LEAN's Python could not import pandas: the first python3 on the PATH must have pandas and numpy"
    return None


def _message(text: str) -> str:
    before = None
    while before != text:
        before = text
        text = text[match.end() :] if (match := _PREFIXES.match(text)) else text
        aggregate = _AGGREGATE.match(text.partition(" Stack Trace:")[0].partition("\n")[0])
        text = aggregate[1] if aggregate else text
    end = _MESSAGE_END.search(text)
    return text[: end.start()] if end else text


def _place(text: str, stacks: Sequence[str]) -> str | None:
    """Return the algorithm's file and line as ``file.py, line 12``, or its file alone."""
    texts = (text, *stacks)
    for one in texts:
        if match := _SYNTAX.search(one):
            return f"{match[1]}, line {match[2]}"
    for one in texts:
        frames = [match for match in _PYTHON_FRAME.finditer(one) if not _LIBRARY.search(match[0])]
        if frames:
            path, line, name, named_line = frames[-1].groups()
            return f"{_file_name(path) if path else name}, line {line or named_line}"
    if match := _MODULE.search(text):
        return None if _NO_PANDAS in text else match[1]
    return _csharp_place(texts)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _csharp_place(texts: Sequence[str]) -> str | None:
    frames = [match for one in texts for match in _CSHARP_FRAME.finditer(one)]
    for match in frames:
        if not _OF_LEAN.match(match[1]):
            return f"{match[2]}, line {match[3]}"
    foreign = {match[2] for match in frames}
    for one in texts:
        summary = _CSHARP_SUMMARY.search(one)
        if summary and summary[1] not in foreign and not _FILES_OF_LEAN.fullmatch(summary[1].removesuffix(".cs")):
            return f"{summary[1]}, line {summary[2]}"
    return None
