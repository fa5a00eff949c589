"""Symbols and dates of a LEAN project, read from config/parameters.py without running it."""

from __future__ import annotations

import os
import string
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.core.errors import ConfigurationError
from server.lean.series import Resolution
from server.project import ProjectParameters, read_project_parameters
from server.project.parameters import MAX_BYTES


@pytest.fixture
def read(tmp_path: Path):
    """Write a parameters file and read it."""

    def write_and_read(text: str | bytes, **options: object) -> ProjectParameters:
        path = tmp_path / "config" / "parameters.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_project_parameters(tmp_path, **options)

    return write_and_read


def symbols_of(read, text: str) -> tuple[str, ...] | None:
    return read(text).symbols


def message_of(read, text: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_file_is_read(read, tmp_path: Path) -> None:
    """Symbols, resolution and dates come out typed, with the file they stand in."""
    found = read(
        'SYMBOLS = ["AAPL", "BRK.B"]\nRESOLUTION = "minute"\nSTART_DATE = "2024-01-02"\nEND_DATE = "20240131"\n'
    )

    assert found == ProjectParameters(
        symbols=("AAPL", "BRK.B"),
        resolution=Resolution.MINUTE,
        start=date(2024, 1, 2),
        end=date(2024, 1, 31),
        source=tmp_path / "config" / "parameters.py",
    )
    assert found.missing == ()


@pytest.mark.parametrize(
    "text",
    [
        'symbols = ["AAPL", "SPY"]',
        'SYMBOLS = ("AAPL", "SPY")',
        'Symbols = {"AAPL", "SPY"}',
        'tickers = "AAPL, SPY"',
        'TICKERS: list[str] = ["aapl", "spy", "AAPL"]',
        'BASE = ["AAPL"]\nSYMBOLS = BASE + ["SPY"]',
        'BASE = ["AAPL"]\nSYMBOLS = [*BASE, "SPY"]',
        'A = "AAPL"\nSYMBOLS = [A, "SPY"]',
        'SYMBOLS = ["AAPL"]\nSYMBOLS += ["SPY"]',
        'SYMBOLS = ["IBM"]\nSYMBOLS = ["AAPL", "SPY"]',
        'SYMBOLS = TICKERS = ["AAPL", "SPY"]',
        'SYMBOLS, CASH = ["AAPL", "SPY"], 5',
        'SYMBOLS = tuple(["AAPL", "SPY"])',
        'class Parameters:\n    symbols = ["AAPL", "SPY"]',
        'class Parameters:\n    symbols: list[str] = ["AAPL", "SPY"]',
        'ALL = ["AAPL", "SPY"]\nclass Parameters:\n    symbols = ALL',
        'class Universe:\n    ALL = ["AAPL", "SPY"]\nsymbols = Universe.ALL',
        'class Parameters:\n    symbols: list[str] = field(default_factory=lambda: ["AAPL", "SPY"])',
        'class Parameters:\n    symbols: str = dataclasses.field(default="AAPL,SPY")',
        'class Parameters:\n    def __init__(self):\n        names = ["AAPL", "SPY"]\n        self.symbols = names',
        'SYMBOLS = ["AAPL", "SPY"]\nclass Parameters:\n    symbols = SYMBOLS',
        'symbols = None\nclass Parameters:\n    symbols = ["AAPL", "SPY"]',
        '\ufeffsymbols = ["AAPL", "SPY"]',
        'symbols = ["AAPL", "SPY"]\nsymbol_count = len(symbols)\nprint(symbols)\n"\\d"',
    ],
)
def test_symbols_are_read_in_any_plain_spelling(read, text: str) -> None:
    """Lists, tuples, sets, texts, constants, joined lists, classes and dataclasses give the same symbols."""
    assert symbols_of(read, text) == ("AAPL", "SPY")


@pytest.mark.parametrize(
    "value",
    [
        '"2024-01-02"',
        '"20240102"',
        '"2024-01-02 00:00:00"',
        "date(2024, 1, 2)",
        "datetime(2024, 1, 2)",
        "datetime(2024, 1, 2, 9, 30)",
        "datetime.date(2024, 1, 2)",
        "datetime.datetime(year=2024, month=1, day=2)",
        'date.fromisoformat("2024-01-02")',
        "(2024, 1, 2)",
        "[2024, 1, 2]",
        "YEAR_START",
    ],
)
@pytest.mark.parametrize("name", ["start_date", "START", "Start_Date"])
def test_dates_are_read_in_any_plain_spelling(read, name: str, value: str) -> None:
    """ISO texts, date and datetime calls, tuples of numbers and earlier constants give the same day."""
    assert read(f"YEAR = 2024\nYEAR_START = date(YEAR, 1, 2)\n{name} = {value}").start == date(2024, 1, 2)


@pytest.mark.parametrize("value", ['"minute"', '"Minute"', "Resolution.MINUTE", "Resolution.Minute"])
def test_the_resolution_is_read_as_text_or_as_leans_name(read, value: str) -> None:
    """A resolution may be a text or an attribute of LEAN's Resolution."""
    assert read(f"resolution = {value}").resolution is Resolution.MINUTE


def test_what_the_file_does_not_say_is_none_and_named(read) -> None:
    """A file with dates only is fine; `missing` names what the request has to give."""
    found = read('END = "2024-01-31"\ndef symbols():\n    return ["SPY"]\n')

    assert (found.symbols, found.resolution, found.start, found.end) == (None, None, None, date(2024, 1, 31))
    assert found.missing == ("symbols", "start")


def test_the_more_telling_name_wins(read) -> None:
    """start_date is taken before start, whatever else start may mean in the file."""
    assert read('start = time(9, 30)\nstart_date = "2024-01-02"').start == date(2024, 1, 2)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("\nSYMBOLS = load()", 2, "load(...) is called"),
        ("SYMBOLS = [s for s in ALL]", 1, "a comprehension"),
        ('SYMBOLS = {"SPY": 1.0}', 1, "a dictionary"),
        ('SYMBOLS = ["SPY", f"{x}"]', 1, "an f-string"),
        ("SYMBOLS = os.environ['S']", 1, "an item or a part of something"),
        ("SYMBOLS = OTHER", 1, "OTHER is not set above it"),
        ('SYMBOLS = LATER\nLATER = ["SPY"]', 1, "LATER is not set above it"),
        ('SYMBOLS = ["SPY"]\nSYMBOLS.append("AAPL")', 2, "append() is called"),
        ('SYMBOLS = ["SPY"]\nSYMBOLS[0] = "AAPL"', 2, "an item of it is changed"),
        ('if FAST:\n    SYMBOLS = ["SPY"]', 2, "has to be run"),
        ('try:\n    pass\nexcept E:\n    SYMBOLS = ["SPY"]', 4, "has to be run"),
        ("from universe import SYMBOLS", 1, "it is imported"),
        ('SYMBOLS = [["SPY"]]', 1, "a list stands inside a list"),
        ('SYMBOLS = ["SPY"] * 2', 1, "an expression"),
        ("class P:\n    def __init__(self, symbols):\n        self.symbols = symbols", 3, "symbols is not set"),
        ('class P:\n    def __init__(self):\n        if x:\n            self.symbols = ["SPY"]', 4, "has to be run"),
        (
            'class P:\n    def __init__(self):\n        self.symbols = ["SPY"]\n        self.symbols.append(x)',
            4,
            "append() is called",
        ),
        ("START_DATE = date.today()", 1, "date.today(...) is called"),
        ("START_DATE = datetime.now() - timedelta(days=30)", 1, "an expression"),
        ("START_DATE = date(2024, 2, 30)", 1, "there is no such day"),
        ("START_DATE = date(99999999999999999999, 1, 1)", 1, "there is no such day"),
    ],
)
def test_what_only_a_run_could_tell_is_an_error(read, tmp_path: Path, text: str, line: int, reason: str) -> None:
    """The error names file, line and reason and shows what would fit."""
    message = message_of(read, text)

    assert f"{tmp_path / 'config' / 'parameters.py'}:{line}: " in message
    assert "cannot be known without running the file" in message
    assert reason in message
    assert "write it plainly, as in " in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('SYMBOLS = ["../../x"]', "'../../x' is not a US equity symbol"),
        ("SYMBOLS = []", "it names no symbol"),
        ("SYMBOLS = 5", "5 is not a list of symbols"),
        ("SYMBOLS = ['SPY', 5]", "5 is not a symbol"),
        ('START_DATE = "02.01.2024"', "'02.01.2024' is not a day"),
        ('START_DATE = "2024-02-30"', "'2024-02-30' is not a day"),
        ("START_DATE = (2024, 1)", "is not a day"),
        ("START_DATE = 20240102", "20240102 is not a day"),
        ('START_DATE = "٢٠٢٤-01-02"', "is not a day"),
        ('RESOLUTION = "hour"', "'hour' is not a resolution"),
    ],
)
def test_what_does_not_fit_is_an_error(read, text: str, reason: str) -> None:
    """A symbol, day or resolution that is none is refused, with the line and what would fit."""
    message = message_of(read, f"\n{text}")

    assert "parameters.py:2: " in message
    assert reason in message
    assert "write it as in " in message


def test_two_different_values_are_an_error(read) -> None:
    """Where module and class disagree, nobody guesses: the error names both lines."""
    message = message_of(read, 'SYMBOLS = ["SPY"]\nclass P:\n    symbols = ["AAPL"]\n')

    assert "stands on line 1 and, with another value, on line 3" in message


def test_an_end_before_the_start_is_an_error(read) -> None:
    """The file's own range has to make sense."""
    assert "lies before the start" in message_of(read, 'START = "2024-01-31"\nEND = "2024-01-02"')


def test_what_the_request_gives_is_not_looked_for(read) -> None:
    """A field that the request gives may say in the file what it likes."""
    found = read('SYMBOLS = load()\nSTART = "2024-01-31"\nEND = "2024-01-02"', skip=("symbols", "start", "resolution"))

    assert (found.symbols, found.start, found.end) == (None, None, date(2024, 1, 2))


def test_nothing_in_the_file_is_run(read, tmp_path: Path) -> None:
    """A file that would write, leave or fail when run is only read."""
    trace = tmp_path / "run"
    text = f'open({str(trace)!r}, "w")\nraise SystemExit(3)\nSYMBOLS = ["SPY"]\n'

    assert symbols_of(read, text) == ("SPY",)
    assert not trace.exists()


def test_the_projects_main_file_stands_for_its_folder(read, tmp_path: Path) -> None:
    """LEAN's CLI takes a folder or a file in it; so do we."""
    read('SYMBOLS = "SPY"')
    main = tmp_path / "main.py"
    main.write_text("")

    assert read_project_parameters(main).symbols == ("SPY",)


def test_no_project_and_no_parameters_file_are_errors(tmp_path: Path) -> None:
    """Each says what is not there and what to do."""
    with pytest.raises(ConfigurationError, match=r"there is no LEAN project at .*nowhere; name the folder"):
        read_project_parameters(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"has no config/parameters\.py; write one with symbols"):
        read_project_parameters(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_parameters_file(tmp_path: Path) -> None:
    """A file that would block its reader for ever is not opened."""
    (tmp_path / "config").mkdir()
    os.mkfifo(tmp_path / "config" / "parameters.py")

    with pytest.raises(ConfigurationError, match="has no config/parameters"):
        read_project_parameters(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"SYMBOLS = [", "not valid Python"),
        (b"SYMBOLS = '\xff'", "not UTF-8"),
        (b"SYMBOLS = 1\0", "not "),
        (b"#" * (MAX_BYTES + 1), "is larger than 1,000,000 bytes"),
        (b"X = " + b"(" * 5_000, "not valid Python"),
        (b"X = " + b"-" * 300_000 + b"1", "is not Python that can be read"),
        (b"X = a" + b".b" * 300_000, "is not Python that can be read"),
        (b"X = " + b"1+" * 300_000 + b"1", "is not Python that can be read"),
        (b"SYMBOLS = " + b"[" * 60 + b"]" * 60, "nested too deeply"),
        (b"SYMBOLS = " + b"A + " * 200 + b"A", "nested too deeply"),
        (b"SYMBOLS = ['A'" + b",'A'" * 100_000 + b"]", "more than 5,000 items"),
        (b"A = ['A', 'B']\n" + b"A = A + A\n" * 60_000 + b"SYMBOLS = A", "more than 5,000 items"),
        (b"A = 'AB'\n" + b"A = A + A\n" * 60_000 + b"SYMBOLS = A", "longer than 20,000 characters"),
    ],
)
def test_hostile_files_are_refused_quickly(read, content: bytes, reason: str) -> None:
    """Whatever the bytes, there is one clear error in a few seconds."""
    began = time.monotonic()

    assert reason in message_of(read, content)
    assert time.monotonic() - began < 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(string.printable, max_size=200))
def test_any_text_gives_parameters_or_an_error_for_people(read, text: str) -> None:
    """No text makes the reader fail in another way than by a ConfigurationError."""
    try:
        found = read(f"SYMBOLS = {text}")
    except ConfigurationError:
        return
    assert found.symbols is None or found.symbols


def test_the_examples_parameters_are_read() -> None:
    """The project in examples/ says what the demo needs."""
    found = read_project_parameters(Path(__file__).parents[2] / "examples" / "ZacQC")

    assert (found.symbols, found.resolution) == (("AAPL",), Resolution.DAILY)
    assert (found.start, found.end) == (date(2023, 1, 3), date(2023, 1, 10))
    assert found.missing == ()
