"""Symbols as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.series import parse_symbol, parse_symbols

SYMBOLS = st.from_regex(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z0-9]{1,3}){0,2}", fullmatch=True)


@given(SYMBOLS)
def test_capitals_and_lower_case(symbol: str) -> None:
    """Both are the same symbol; it is returned in capitals."""
    assert parse_symbol(symbol) == symbol
    assert parse_symbol(symbol.lower()) == symbol


@given(SYMBOLS)
def test_mixed_case(symbol: str) -> None:
    """It is rejected with the reason and the symbol in capitals, wherever the capitals are."""
    mixed = "".join(letter.lower() if index % 2 else letter for index, letter in enumerate(symbol))
    if mixed in (symbol, symbol.lower()):
        return

    with pytest.raises(ValueError, match="mixes capitals and lower case") as raised:
        parse_symbol(mixed)

    assert repr(mixed) in str(raised.value)
    assert f"write {symbol} if you mean that one" in str(raised.value)


@pytest.mark.parametrize("text", ["Ibm", "BACpB", "spY", "BRK.b", "brk.B", "A1b"])
def test_mixed_case_of_vendors_and_users(text: str) -> None:
    """A preferred share as the vendor writes it, and other ways of mixing."""
    with pytest.raises(ValueError, match="mixes capitals and lower case"):
        parse_symbol(text)


@pytest.mark.parametrize("text", ["BRK-B", "BRK/B", "BRK_B", "brk-b", "Brk/b"])
def test_another_separator(text: str) -> None:
    """The class of a share as other programs write it."""
    with pytest.raises(ValueError, match=r"is not a US equity symbol; did you mean BRK\.B\?"):
        parse_symbol(text)


@pytest.mark.parametrize("text", ["", ".", "-", "B-", "-B", "BRK--B", "SPY/../..", "SPY\n", "BRK-CLASS", "1-A", "É"])
def test_what_no_separator_makes_a_symbol(text: str) -> None:
    """Nothing is suggested that is not a symbol itself."""
    with pytest.raises(ValueError, match=r"write it as LEAN does, for example SPY or BRK"):
        parse_symbol(text)


def test_several_symbols() -> None:
    """Each once, in capitals, in order."""
    assert parse_symbols(["spy", "AAPL", "SPY", "brk.b"]) == ("SPY", "AAPL", "BRK.B")


def test_several_texts_that_are_not_symbols() -> None:
    """All of them are in the message."""
    with pytest.raises(ValueError, match="mixes") as raised:
        parse_symbols(["SPY", "Ibm", "BRK-B", "?"])

    for words in ("'Ibm' mixes", "'BRK-B' is not a US equity symbol; did you mean BRK.B?", "'?' is not"):
        assert words in str(raised.value)


@given(st.lists(st.text(max_size=6), max_size=6))
def test_any_texts(texts: list[str]) -> None:
    """Nothing but symbols, or a ValueError."""
    try:
        symbols = parse_symbols(texts)
    except ValueError:
        return
    assert all(parse_symbol(symbol) == symbol for symbol in symbols)
