"""Reading of symbols and dates from a LEAN project's config/parameters.py without running it."""

from __future__ import annotations

import os
import string
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
    """Symbols, resolution and dates are typed, and the file is named."""
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
    assert None not in (found.symbols, found.start, found.end)


@pytest.mark.parametrize(
    "text",
    [
        'symbols = ["AAPL", "SPY"]',
        'SYMBOLS = ("AAPL", "SPY")',
        'Symbols = {"AAPL", "SPY"}',
        'tickers = "AAPL, SPY"',
        'TICKERS: list[str] = ["aapl", "spy", "AAPL"]',
        'BASE = ["AAPL"]\nSYMBOLS = BASE + ["SPY"]',
        'A = "AAPL"\nSYMBOLS = [A, "SPY"]',
        'SYMBOLS = ["IBM"]\nSYMBOLS = ["AAPL", "SPY"]',
        'SYMBOLS = TICKERS = ["AAPL", "SPY"]',
        'class Parameters:\n    symbols = ["AAPL", "SPY"]',
        'class Parameters:\n    symbols: list[str] = ["AAPL", "SPY"]',
        'ALL = ["AAPL", "SPY"]\nclass Parameters:\n    symbols = ALL',
        'class Parameters:\n    symbols: list[str] = field(default_factory=lambda: ["AAPL", "SPY"])',
        'class Parameters:\n    def __init__(self):\n        names = ["AAPL", "SPY"]\n        self.symbols = names',
        'class P:\n    def __init__(self, start=1):\n        self.a = ["AAPL", "SPY"]\n        self.symbols = self.a',
        'class Parameters:\n    symbols = ["IBM"]\n    def __init__(self):\n        self.symbols = ["AAPL", "SPY"]',
        'SYMBOLS = ["AAPL", "SPY"]\nclass Parameters:\n    symbols = SYMBOLS',
        'symbols = None\nclass Parameters:\n    symbols = ["AAPL", "SPY"]',
        '\ufeffsymbols = ["AAPL", "SPY"]',
        'symbols = ["AAPL", "SPY"]\nsymbol_count = len(symbols)\nprint(symbols)\n"\\d"',
    ],
)
def test_symbols_are_read_in_any_plain_spelling(read, text: str) -> None:
    """Lists, tuples, sets, strings, constants, added lists, classes and dataclasses give the same symbols."""
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
        "datetime.datetime(2024, 1, 2, tzinfo=timezone.utc)",
        "(2024, 1, 2)",
        "[2024, 1, 2]",
        "YEAR_START",
    ],
)
@pytest.mark.parametrize("name", ["start_date", "START", "Start_Date"])
def test_dates_are_read_in_any_plain_spelling(read, name: str, value: str) -> None:
    """ISO strings, date and datetime calls, tuples of numbers and earlier constants give the same day."""
    assert read(f"YEAR = 2024\nYEAR_START = date(YEAR, 1, 2)\n{name} = {value}").start == date(2024, 1, 2)


@pytest.mark.parametrize("value", ['"minute"', '"Minute"', "Resolution.MINUTE", "Resolution.Minute"])
def test_the_resolution_is_read_as_string_or_as_leans_name(read, value: str) -> None:
    """A resolution may be a string or an attribute of LEAN's Resolution."""
    assert read(f"resolution = {value}").resolution is Resolution.MINUTE


def test_missing_parameters_are_none_and_named(read) -> None:
    """A file may give only dates; `missing` names what the request has to give."""
    found = read('END = "2024-01-31"\ndef symbols():\n    return ["SPY"]\n')

    assert (found.symbols, found.resolution, found.start, found.end) == (None, None, None, date(2024, 1, 31))
    assert (found.symbols, found.start) == (None, None)
    assert found.end is not None


def test_the_more_specific_name_wins(read) -> None:
    """start_date is taken before start, whatever else start may mean in the file."""
    assert read('start = time(9, 30)\nstart_date = "2024-01-02"').start == date(2024, 1, 2)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("\nSYMBOLS = load()", 2, "a call"),
        ("SYMBOLS = [s for s in ALL]", 1, "a comprehension"),
        ('SYMBOLS = {"SPY": 1.0}', 1, "a dictionary"),
        ('SYMBOLS = ["SPY", f"{x}"]', 1, "an f-string"),
        ("SYMBOLS = os.environ['S']", 1, "an expression"),
        ("SYMBOLS = OTHER", 1, "OTHER is not set above it"),
        ('SYMBOLS = LATER\nLATER = ["SPY"]', 1, "LATER is not set above it"),
        ('SYMBOLS = ["SPY"]\nSYMBOLS.append("AAPL")', 2, "it is changed by a statement"),
        ('SYMBOLS = ["SPY"]\nSYMBOLS[0] = "AAPL"', 2, "it is changed by a statement"),
        ('SYMBOLS = ["SPY"]\nSYMBOLS += ["AAPL"]', 2, "it is set by a statement"),
        ('SYMBOLS, CASH = ["SPY"], 5', 1, "it is set by a statement"),
        ('SYMBOLS = "SPY," + "AAPL"', 1, "an expression"),
        ('SYMBOLS = [*BASE, "AAPL"]', 1, "an expression"),
        ('if FAST:\n    SYMBOLS = ["SPY"]', 2, "has to be run"),
        ('try:\n    pass\nexcept E:\n    SYMBOLS = ["SPY"]', 4, "has to be run"),
        ("from universe import SYMBOLS", 1, "it is imported"),
        ('SYMBOLS = [["SPY"]]', 1, "a list inside a list"),
        ('SYMBOLS = ["SPY"] * 2', 1, "an expression"),
        ("class P:\n    def __init__(self, symbols):\n        self.symbols = symbols", 3, "it is an argument"),
        (
            'symbols = ["SPY"]\nclass P:\n    def __init__(self, *, symbols):\n        self.symbols = symbols',
            4,
            "an argument",
        ),
        ('class P:\n    def __init__(self):\n        if x:\n            self.symbols = ["SPY"]', 4, "has to be run"),
        (
            'class P:\n    def __init__(self):\n        self.symbols = ["SPY"]\n        self.symbols.append(x)',
            4,
            "it is changed by a statement",
        ),
        ("START_DATE = date.today()", 1, "a call"),
        ('START_DATE = date.fromisoformat("2024-01-02")', 1, "a call"),
        ("START_DATE = date(year=2024, month=1, day=2)", 1, "a call"),
        ("START_DATE = datetime.now() - timedelta(days=30)", 1, "an expression"),
    ],
)
def test_a_value_that_is_known_only_by_a_run_is_an_error(
    read, tmp_path: Path, text: str, line: int, reason: str
) -> None:
    """The error names file, line and reason and shows an example."""
    message = message_of(read, text)

    assert f"{tmp_path / 'config' / 'parameters.py'}:{line}: " in message
    assert "cannot be known without running the file" in message
    assert reason in message
    assert "write it plainly, as in " in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('SYMBOLS = ["../../x"]', "'../../x' is not a US equity symbol"),
        ("SYMBOLS = []", "() is not a list of symbols"),
        ("SYMBOLS = 5", "5 is not a list of symbols"),
        ("SYMBOLS = ['SPY', 5]", "'5' is not a US equity symbol"),
        (f"SYMBOLS = 0x1{'0' * 5_000}", "SYMBOLS does not fit"),
        ("START_DATE = date(2024, 2, 30)", "(2024, 2, 30) is not a day"),
        ("START_DATE = date(99999999999999999999, 1, 1)", "is not a day"),
        ('START_DATE = "02.01.2024"', "'02.01.2024' is not a day"),
        ('START_DATE = "2024-02-30"', "'2024-02-30' is not a day"),
        ("START_DATE = (2024, 1)", "is not a day"),
        ("START_DATE = 20240102", "20240102 is not a day"),
        ('START_DATE = "٢٠٢٤-01-02"', "is not a day"),
        ('RESOLUTION = "week"', "'week' is not a resolution"),
    ],
)
def test_an_invalid_value_is_an_error(read, text: str, reason: str) -> None:
    """An invalid symbol, day or resolution is an error with the line and an example."""
    message = message_of(read, f"\n{text}")

    assert "parameters.py:2: " in message
    assert reason in message
    assert "write it as in " in message


def test_two_different_values_are_an_error(read) -> None:
    """If module and class disagree, the error names both lines."""
    message = message_of(read, 'SYMBOLS = ["SPY"]\nclass P:\n    symbols = ["AAPL"]\n')

    assert "is set on line 1 and, to another value, on line 3" in message


def test_an_end_before_the_start_is_an_error(read) -> None:
    """The range of the file is checked."""
    assert "lies before the start" in message_of(read, 'START = "2024-01-31"\nEND = "2024-01-02"')


def test_fields_of_the_request_are_not_read(read) -> None:
    """The file may have any value for a field that the request gives."""
    found = read('SYMBOLS = load()\nSTART = "2024-01-31"\nEND = "2024-01-02"', skip=("symbols", "start", "resolution"))

    assert (found.symbols, found.start, found.end) == (None, None, date(2024, 1, 2))


def test_nothing_in_the_file_is_run(read, tmp_path: Path) -> None:
    """A file that would write, leave or fail when run is only read."""
    trace = tmp_path / "run"
    text = f'open({str(trace)!r}, "w")\nraise SystemExit(3)\nSYMBOLS = ["SPY"]\n'

    assert symbols_of(read, text) == ("SPY",)
    assert not trace.exists()


def test_the_main_file_of_a_project_is_accepted(read, tmp_path: Path) -> None:
    """As in LEAN's CLI, a project is named by its folder or a file in it."""
    read('SYMBOLS = "SPY"')
    main = tmp_path / "main.py"
    main.write_text("")

    assert read_project_parameters(main).symbols == ("SPY",)


def test_no_project_and_no_parameters_file_are_errors(tmp_path: Path) -> None:
    """Each message names what is missing and what to do."""
    with pytest.raises(ConfigurationError, match=r"there is no LEAN project at .*nowhere; name the folder"):
        read_project_parameters(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"has no config/parameters\.py; write one with symbols"):
        read_project_parameters(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_a_parameters_file(tmp_path: Path) -> None:
    """A file whose reader would block is not opened."""
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
        (b"SYMBOLS = " + b"[" * 60 + b"]" * 60, "a list inside a list"),
        (b"SYMBOLS = " + b"A + " * 1_500 + b"A", "nested too deeply"),
        (b"SYMBOLS = ['A'" + b",'A'" * 100_000 + b"]", "more than 5,000 items"),
        (b"A = ['A', 'B']\n" + b"A = A + A\n" * 60_000 + b"SYMBOLS = A", "more than 5,000 items"),
        (b"A = ['A', 'B']\n" + b"A = [A, A]\n" * 60_000 + b"SYMBOLS = A", "a list inside a list"),
    ],
)
def test_hostile_files_are_refused(read, content: bytes, reason: str) -> None:
    """Deep nesting, huge lists and exponential growth give one clear error each."""
    assert reason in message_of(read, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(string.printable, max_size=200))
def test_any_text_gives_parameters_or_a_configuration_error(read, text: str) -> None:
    """No text raises another exception than ConfigurationError."""
    try:
        found = read(f"SYMBOLS = {text}")
    except ConfigurationError:
        return
    assert found.symbols is None or found.symbols


PUBLIC_PROJECTS = {
    "attributes set in __init__": """
class TradingParameters:
    def __init__(self):
        self.StopLoss = 125  # cents
        self.Algo_Off_Before = time(10, 57)
        self.symbols = [
            'AAPL',
            'NVDA',
        ]  # symbols to trade
        self.start_date = "2020-01-01"
        self.end_date = "2021-01-01"
    def update_parameter(self, name, value):
        setattr(self, name, value)
""",
    "attributes of a class": """
class RunConfig:
    Start_Date = date(2020, 1, 1)
    End_Date = datetime(2021, 1, 1)
    Resolution = Resolution.Daily
    Tickers = ("AAPL", "NVDA")
""",
    "attributes of a dataclass": """
@dataclass
class LeanConfig:
    start_date: tuple = (2020, 1, 1)
    end_date: tuple = (2021, 1, 1)
    resolution: str = "Daily"
    risk: float = 0.3
    symbols: List[str] = field(default_factory=lambda: [
        "AAPL", "NVDA"
    ])
""",
    "lists that are added": """
ETFS = ["AAPL"]
STOCKS = ["NVDA"]
TRAINING_SYMBOLS = ETFS + STOCKS
SYMBOLS = TRAINING_SYMBOLS
START_DATE = date(2020, 1, 1)
END_DATE = date(2021, 1, 1)
""",
}


@pytest.mark.parametrize("text", PUBLIC_PROJECTS.values(), ids=PUBLIC_PROJECTS.keys())
def test_the_forms_of_public_projects_are_read(read, text: str) -> None:
    """Each form in which public LEAN projects write their parameters gives symbols and dates."""
    found = read(text)

    assert (found.symbols, found.start, found.end) == (("AAPL", "NVDA"), date(2020, 1, 1), date(2021, 1, 1))


def test_the_examples_parameters_are_read() -> None:
    """The project in examples/ gives all parameters."""
    found = read_project_parameters(Path(__file__).parents[3] / "examples" / "ZacQC")

    assert (found.symbols, found.resolution) == (("AAPL",), Resolution.DAILY)
    assert (found.start, found.end) == (date(2023, 1, 3), date(2023, 1, 10))
    assert None not in (found.symbols, found.start, found.end)
