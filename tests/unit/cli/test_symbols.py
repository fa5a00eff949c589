"""Symbols on the command line, and files of them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.symbols import MAX_BYTES, InvalidSymbols, parse_symbol_file, read_symbols

SYMBOLS = st.lists(st.from_regex(r"[A-Z]{1,5}(\.[A-Z])?", fullmatch=True), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("SPY\nAAPL\n", ["SPY", "AAPL"]),
        ("SPY\r\nAAPL\r\n", ["SPY", "AAPL"]),
        ("SPY\rAAPL", ["SPY", "AAPL"]),
        ("\n\n  spy  \n\t\nbrk.b", ["SPY", "BRK.B"]),
        ('# my list\n  # more\nSPY # the market, "big"\nAAPL#none', ["SPY", "AAPL"]),
        ("symbol\nSPY\n", ["SPY"]),
        ("Ticker\nSPY\n", ["SPY"]),
        ('# from a broker\n\nname,TICKER,weight\nApple #1,AAPL,0.5\n"Berkshire, B","BRK.B",0.5\n', ["AAPL", "BRK.B"]),
        ("weight;Symbol\n0.5;AAPL\n", ["AAPL"]),
        ("weight\tsymbol\n0.5\tAAPL\n", ["AAPL"]),
        ("ticker,symbol\nold,AAPL\n", ["AAPL"]),
        ("AAPL,0.5\nMSFT,0.5\n,,\n", ["AAPL", "MSFT"]),
        ("AAPL,symbol\nMSFT,x\n", ["X"]),
        ("", []),
        ("# nothing\nsymbol\n", []),
    ],
)
def test_a_file_of_symbols(text: str, symbols: list[str]) -> None:
    """Lines or a CSV column, comments, blank lines, and the line ends of every system."""
    assert parse_symbol_file(text, "list") == (symbols, [])


def test_all_that_is_not_a_symbol() -> None:
    """Each entry with its line, as an editor counts lines."""
    text = 'symbol,name\nSPY,a\nBRK-B,b\n\n# c\nIbm,d\n,e\n"x,y",f\n\x1b[31m,g\n'

    symbols, causes = parse_symbol_file(text, "my list.csv")

    assert symbols == ["SPY"]
    assert causes[0] == "my list.csv line 3: BRK-B is not a US equity symbol; did you mean BRK.B?"
    assert causes[1].startswith("my list.csv line 6: Ibm mixes capitals and lower case")
    assert causes[2] == "my list.csv line 7: the column of symbols is empty"
    assert causes[3].startswith("my list.csv line 8: x,y is not a US equity symbol")
    assert causes[4].startswith(r"my list.csv line 9: '\x1b[31m' is not a US equity symbol")
    assert len(causes) == 5


@given(SYMBOLS, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "symbol", "# list", "x,Ticker"]))
def test_every_list_is_read_back(symbols: list[str], line_end: str, first: str) -> None:
    """Whatever the line ends, and with a heading, a comment, a column or nothing before it."""
    column = ["0.5," if "," in first else ""] * len(symbols)
    lines = [first] * bool(first) + [a + b for a, b in zip(column, symbols, strict=True)]

    assert parse_symbol_file(line_end.join(lines), "list") == (symbols, [])


@given(st.text())
def test_any_text(text: str) -> None:
    """Each line is a symbol, is left out, or has one sentence."""
    symbols, causes = parse_symbol_file(text, "list")

    assert all(symbol.isascii() and symbol == symbol.upper() for symbol in symbols)
    assert all(cause.startswith("list line ") for cause in causes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """UTF-8 with or without a byte order mark, and UTF-16 with one; the path is relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("lists").mkdir()
    Path("lists/a.txt").write_text("SPY\nAAPL\n", encoding=encoding)

    assert read_symbols(["msft", "@lists/a.txt", "SPY"]) == ("MSFT", "SPY", "AAPL")


def test_one_argument_that_is_not_a_symbol() -> None:
    """It is an invalid value of the argument."""
    with pytest.raises(click.BadParameter, match=r"'BRK-B' is not a US equity symbol; did you mean BRK\.B\?"):
        read_symbols(["SPY", "BRK-B"])


def test_arguments_and_entries_at_once(tmp_path: Path) -> None:
    """Several arguments and the entries of several files are reported together."""
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("SPY\nIbm\n")
    second.write_text("BRK/B\n")

    with pytest.raises(InvalidSymbols) as raised:
        read_symbols(["?", f"@{first}", "BACpB", f"@{second}", "@none"])

    starts = [
        "'?' is not",
        f"{first} line 2: Ibm mixes",
        "'BACpB' mixes",
        f"{second} line 1: BRK/B is not",
        "there is no file none",
    ]
    assert len(raised.value.causes) == len(starts)
    assert all(cause.startswith(start) for cause, start in zip(raised.value.causes, starts, strict=True))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no symbols"),
        (b"# SPY\n\n", "has no symbols"),
        (b"symbol,name\n", "has no symbols"),
        (b"SPY\n\xff\xfa\n", "is not UTF-8 text"),
        (b"SPY\n" * (MAX_BYTES // 4 + 1), "is larger than 10,000,000 bytes"),
    ],
)
def test_files_without_symbols(tmp_path: Path, content: bytes, words: str) -> None:
    """One sentence that names the file."""
    path = tmp_path / "list.txt"
    path.write_bytes(content)

    with pytest.raises(InvalidSymbols) as raised:
        read_symbols([f"@{path}"])

    (cause,) = raised.value.causes
    assert cause.startswith(f"{path} {words}")


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A folder, nothing at all, and a name that no file can have."""
    for text, words in (
        (f"@{tmp_path}", "cannot be read: Is a directory"),
        ("@", "@ is followed by no file"),
        ("@a\0b", "no file"),
    ):
        with pytest.raises(InvalidSymbols, match=words):
            read_symbols([text])
