"""Errors of LEAN on one line, with the algorithm's file and line and not those of LEAN."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.lean_error import error_advice, error_line, logged_error, unhandled_exception

INITIALIZING = "During the algorithm initialization, the following exception has occurred: "
IMPORTING = f"Algorithm.Initialize() Error: {INITIALIZING}Loader.TryCreatePythonAlgorithm(): "
WRAPPER = "Unable to import python module /p/strategy/main.py. AlgorithmPythonWrapper(): "
PANDAS = "The type initializer for 'QuantConnect.Python.PandasConverter' threw an exception."


@pytest.mark.parametrize(
    ("text", "stack", "line"),
    [
        (
            "2013-10-07 11:00:00 Runtime Error: The key 'x' was not found in the collection, use get(key)\n"
            '  at on_data\n    {}["x"]\n    ~~^^^^^\n in main.py: line 12\n',
            "",
            "The key 'x' was not found in the collection, use get(key) (main.py, line 12)",
        ),
        (
            "2013-10-07 11:00:00 Runtime Error: bad\n  at on_data\n    help_me()\n in main.py: line 12\n"
            "  at help_me\n    raise ValueError('bad')\n in helper.py: line 3\n",
            "",
            "bad (helper.py, line 3)",
        ),
        (
            "2013-10-07 11:00:00 Runtime Error: two\nlines\n  at on_data\n    raise\n in main.py: line 7\n",
            "",
            "two lines (main.py, line 7)",
        ),
        (
            "Runtime Error: division by zero\n at on_data in main.py:line 12 :: 1 / 0\n",
            "",
            "division by zero (main.py, line 12)",
        ),
        (
            f"2013-10-07 00:00:00 {INITIALIZING}bad setting\n  at initialize\n    raise\n in main.py: line 7\n bad",
            "",
            "bad setting (main.py, line 7)",
        ),
        (
            f"{IMPORTING}{WRAPPER}expected ':' (main.py, line 4): class Broken(X) expected ':' (main.py, line 4)",
            "",
            "expected ':' (main.py, line 4)",
        ),
        (
            f"{IMPORTING}{WRAPPER}Please ensure that one class inherits from QCAlgorithm. in "
            "AlgorithmPythonWrapper.cs:line 178 Please ensure that one class inherits from QCAlgorithm. Stack Trace: x",
            "",
            "Please ensure that one class inherits from QCAlgorithm. (main.py)",
        ),
        (f"{IMPORTING}{WRAPPER}{PANDAS} in AlgorithmPythonWrapper.cs:line 123 {PANDAS}", "", PANDAS),
        (
            "2013-10-07 11:10:00 Runtime Error: something went wrong in Main.cs:line 75",
            "System.Exception: something went wrong in Main.cs:line 75\n"
            "   at Algos.Fails.OnData(Slice slice) in /home/user/algo/Main.cs:line 75\n"
            "   at QuantConnect.Lean.Engine.AlgorithmManager.Run(Job job) in Engine/AlgorithmManager.cs:line 582",
            "something went wrong (Main.cs, line 75)",
        ),
        (
            "2013-10-07 11:10:00 Runtime Error: no such symbol in QCAlgorithm.Trading.cs:line 240",
            "   at QuantConnect.Algorithm.QCAlgorithm.Order(Symbol one) in Algorithm/QCAlgorithm.Trading.cs:line 240\n"
            "   at QuantConnect.Algorithm.CSharp.Mine.OnData(Slice slice) in /home/me/my algo/Mine.cs:line 31\n"
            "   at QuantConnect.Lean.Engine.AlgorithmManager.Run(Job job) in Engine/AlgorithmManager.cs:line 582",
            "no such symbol (Mine.cs, line 31)",
        ),
        (
            "2013-10-07 11:10:00 Runtime Error: engine trouble in Security.cs:line 5",
            "   at QuantConnect.Securities.Security.Update(X x) in Common/Securities/Security.cs:line 5",
            "engine trouble",
        ),
        (
            f"Algorithm.Initialize() Error: {INITIALIZING}Algorithm type name not found. Stack Trace: "
            f"QuantConnect.Lean.Engine.Setup.AlgorithmSetupException: {INITIALIZING}Algorithm type name not found.\n"
            "   at QuantConnect.Lean.Engine.Engine.Run(Job job) in /Lean/Engine/Engine.cs:line 125",
            "",
            "Algorithm type name not found.",
        ),
        (
            "Algorithm.Initialize() Error: One or more errors occurred. (Unable to locate file: /d/x (1).csv) "
            "Stack Trace: System.AggregateException: One or more errors occurred.",
            "",
            "Unable to locate file: /d/x (1).csv",
        ),
    ],
)
def test_one_line_with_the_algorithms_place(text: str, stack: str, line: str) -> None:
    """LEAN's prefixes, source lines and stack are left out; the deepest place in the user's files is named."""
    assert error_line(text, [stack]) == line


def test_frames_of_libraries_are_not_the_algorithm() -> None:
    """An error raised inside pandas is shown where the algorithm called it."""
    stack = (
        '  File "/p/main.py", line 12, in on_data\n    frame["x"]\n'
        '  File "/usr/lib/python3.11/site-packages/pandas/core/frame.py", line 3800, in __getitem__\n'
    )

    assert error_line("Runtime Error: 'x'", [stack]) == "'x' (main.py, line 12)"


def test_a_long_message_is_cut() -> None:
    """The place stays readable at the end."""
    line = error_line("Runtime Error: " + "x" * 5000 + "\n  at on_data\n in main.py: line 12\n")

    assert line is not None
    assert line.endswith("x... (main.py, line 12)")
    assert len(line) < 450


@given(st.text())
def test_any_text_becomes_at_most_one_line(text: str) -> None:
    """No text of an error breaks the line or the program."""
    line = error_line(text)

    assert line is None or len(line.splitlines()) == 1


def test_errors_of_a_log() -> None:
    """The algorithm's error counts, with the file and line of its stack; missing data and own lines do not."""
    data = "SubscriptionDataSourceReader.InvalidSource(): File not found: /d/equity/usa/hour/spy.zip"
    own = "2014-06-30 16:00:00 an error line of the algorithm, the run is fine"
    stack = (
        "Extensions.SetRuntimeError(): Extensions.SetRuntimeError(): RuntimeError at 10/07/2013 15:00:00 UTC. Context: "
        "OnData Python.Runtime.PythonException: ('missing',)\n"
        '  File "/p/main.py", line 12, in on_data\n    {}["missing"]\n   at Python.Runtime.PythonException.Throw()'
    )

    assert logged_error([data, own]) is None
    assert logged_error([data, stack]) == "('missing',) (main.py, line 12)"
    assert logged_error([stack, "2013-10-07 11:00:00 Runtime Error: no key"]) == "no key (main.py, line 12)"
    assert logged_error([f"Engine.Run(): {IMPORTING}No module named 'x'\n  at <module>\n    import x"]) == (
        "No module named 'x'"
    )


def test_an_abort_is_in_what_lean_printed() -> None:
    """An unhandled exception of .NET, without its stack; another text has no exception."""
    console = (
        "20261127 13:31:39.648 TRACE:: Engine.Main(): Started\n"
        "Unhandled exception. System.IO.FileNotFoundException: JobQueue.TryCreatePythonAlgorithm(): Unable to find py "
        "file: /p/nosuchfile.py\n   at QuantConnect.Queues.JobQueue.NextJob() in /Lean/Queues/JobQueue.cs:line 127"
    )

    assert unhandled_exception(console) == "Unable to find py file: /p/nosuchfile.py"
    assert unhandled_exception("Error: fine") is None


def test_advice() -> None:
    """LEAN's error for a Python without pandas names neither."""
    assert "pandas and numpy" in (error_advice(PANDAS) or "")
    assert error_advice("bad setting") is None
    assert error_advice(None) is None
