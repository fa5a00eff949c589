"""Correcting the rows of universe files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.universe_rows import correct_universe_file
from server.lean.universe_shares import UniverseShares

DAY = date(2014, 4, 2)

MAPS = {
    "aapl": "19980102,aapl,Q\n20501231,aapl,Q\n",
    "fb": "20120518,fb,Q\n20501231,fb,Q\n",
    "goog": "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n",
    "googl": "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n",
    "longticker": "19980102,longticker,Q\n20501231,longticker,Q\n",
    "tap.a": "20050209,tapa,N\n20121231,tapa,N\n20501231,tap.a,N\n",
}
"""From LEAN's sample data, and one of a long ticker."""

FACTORS = {
    "aapl": "19980102,0.8613657,0.00892857,1\n20140205,0.8908440,0.03571430,512.59\n"
    "20140507,0.8961764,0.03571430,592.33\n20140606,0.9011818,0.03571430,645.57\n20501231,1,1,0\n",
    "googl": "20040819,1,0.5,1\n20140402,1,0.5,1135.1\n20501231,1,1,0\n",
}

AAPL = b"AAPL R735QTJ8XC9X,AAPL,542.55,6443632,3495992541,True,0.8961764,0.0357143"
FB = b"FB V6OIPNZEM8V9,FB,62.72,66280080,4157086617,True,1,1"
GOOCV = b"GOOCV VP83T1ZUHROL,GOOCV,567,146759,83212353,True,1,1"
GOOG = b"GOOG T1AZ164W5VTX,GOOG,1135.1,2147471,2437594332,True,1,0.5"
OTHER = b"ZZZ R735QTJ8XC9X,ZZZ,1,1,1,False,0.3,0.7"


@frozen
class Files:
    """Map and factor files in memory."""

    texts: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        """The bytes of a file."""
        found = self.texts.get(path)
        return None if found is None else found.encode()

    def names(self, folder: str) -> Iterable[str]:
        """The names in a folder."""
        return [path.removeprefix(f"{folder}/") for path in self.texts if path.startswith(f"{folder}/")]


def shares(maps: Mapping[str, str] = MAPS, factors: Mapping[str, str] = FACTORS) -> UniverseShares:
    """The shares of a data folder with these files."""
    texts = {f"{MAP_FILES}/{name}.csv": text for name, text in maps.items()}
    texts |= {f"{FACTOR_FILES}/{name}.csv": text for name, text in factors.items()}
    return UniverseShares(Files(texts))


def corrected(content: bytes, day: date = DAY, known: UniverseShares | None = None) -> bytes:
    """The corrected file; correcting it again changes nothing."""
    known = known or shares()
    result = correct_universe_file(content, day, known)
    assert (result.rows == 0) == (result.content == content)
    again = correct_universe_file(result.content, day, known)
    assert again == (result.content, 0)
    return result.content


def lines(*rows: bytes) -> bytes:
    """A file of these rows."""
    return b"".join(row + b"\n" for row in rows)


@pytest.mark.parametrize("row", [AAPL, FB, GOOCV, GOOG, OTHER])
def test_a_consistent_row_stays(row: bytes) -> None:
    """And so does one of a share without a map file, whatever its identifier and its factors are."""
    assert corrected(lines(row)) == lines(row)


def test_identifier_and_factors_follow_from_the_files() -> None:
    """Of a share whose map file was created after the universe file; nothing else of the row changes."""
    before = lines(
        b"AAPL 2T,AAPL,542.55,6443632,3495992541,True,1,1",
        b"FB 2T,FB,62.72,66280080,4157086617,True,0.5,0.25",
        b"GOOCV 2T,GOOCV,567,146759,83212353,True,1,1",
        b"GOOG 2T,GOOG,1135.1,2147471,2437594332,True,1,1",
        OTHER,
    )

    assert corrected(before) == lines(AAPL, FB, GOOCV, GOOG, OTHER)


@pytest.mark.parametrize(
    ("day", "factors"),
    [
        (date(1997, 12, 31), b"0.1,0.2"),
        (date(1998, 1, 2), b"0.8613657,0.00892857"),
        (date(2014, 2, 5), b"0.890844,0.0357143"),
        (date(2014, 2, 6), b"0.8961764,0.0357143"),
        (date(2014, 6, 6), b"0.9011818,0.0357143"),
        (date(2014, 6, 7), b"1,1"),
        (date(2050, 12, 31), b"1,1"),
    ],
)
def test_factors_are_those_of_the_first_row_not_before_the_day(day: date, factors: bytes) -> None:
    """Without trailing zeros. On a day before the map file's first row the share has no data, and its row stays."""
    row = b"AAPL R735QTJ8XC9X,AAPL,1,1,1,True,"

    assert corrected(lines(row + b"0.1,0.2"), day) == lines(row + factors)


def test_factors_after_the_last_row_are_one() -> None:
    """A factor file without its row of 2050."""
    known = shares(factors={"aapl": "19980102,0.5,0.5,1\n20140401,0.5,0.5,1\n"})

    expected = AAPL.replace(b"0.8961764,0.0357143", b"1,1")
    assert corrected(lines(AAPL), DAY, known) == lines(expected)


@pytest.mark.parametrize("text", ["", "20140402,0.5\nx\n", "20140402,0,0.5,1\n"])
def test_without_factors_that_lean_reads_those_of_the_row_stay(text: str) -> None:
    """The factor file is missing, as of some samples of LEAN, or not read. Where the share changes, they are 1."""
    known = shares(factors={"aapl": text} if text else {})
    foreign = b"AAPL 2T,AAPL,542.55,6443632,3495992541,True,0.8961764,0.0357143"

    assert corrected(lines(AAPL), DAY, known) == lines(AAPL)
    assert corrected(lines(foreign), DAY, known) == lines(AAPL.replace(b"0.8961764,0.0357143", b"1,1"))


@pytest.mark.parametrize(
    ("day", "ticker", "identifier"),
    [
        (date(2014, 3, 26), b"GOOG", b"GOOG T1AZ164W5VTX"),
        (date(2014, 4, 2), b"GOOG", b"GOOG T1AZ164W5VTX"),
        (date(2014, 4, 3), b"GOOG", b"GOOCV VP83T1ZUHROL"),
        (date(2014, 4, 3), b"GOOGL", b"GOOG T1AZ164W5VTX"),
        (date(2014, 4, 2), b"GOOCV", b"GOOCV VP83T1ZUHROL"),
        (date(2014, 4, 3), b"GOOCV", b"X 2T"),
        (date(2014, 3, 26), b"GOOCV", b"X 2T"),
        (date(2012, 12, 31), b"TAPA", b"TAPA T62ATFS9H5R9"),
        (date(2013, 1, 2), b"TAP.A", b"TAPA T62ATFS9H5R9"),
        (date(2013, 1, 2), b"TAPA", b"X 2T"),
        (date(2013, 1, 2), b"tap.a", b"TAPA T62ATFS9H5R9"),
        (date(2013, 1, 2), b"Tap.a", b"X 2T"),
        (date(2013, 1, 2), b"LONGTICKER", b"LONGTICKER R735QTJ8XC9X"),
        (date(2013, 1, 2), b"LONGTICKEX", b"X 2T"),
        (date(2013, 1, 2), b"", b"X 2T"),
    ],
)
def test_the_share_is_the_holder_of_the_ticker_on_that_day(day: date, ticker: bytes, identifier: bytes) -> None:
    """A row's date is the last day of its ticker; a ticker without a holder on the day is left as it is."""
    found = corrected(lines(b"X 2T," + ticker + b",1,1,1,True,1,1"), day)

    assert found.split(b",")[0] == identifier


def test_two_holders_of_one_ticker() -> None:
    """Each on its days, and a row of the other one is corrected; also where two map files claim the same days."""
    old, new = b"OLD UJ0T0SKEFN1H,OLD,1,1,1,True,1,1", b"OLD VKMOPCJHN0PX,OLD,1,1,1,True,1,1"
    known = shares({"old.1": "20100104,old,N\n20131008,old,N\n", "old": "20131010,old,N\n20501231,old,N\n"})
    both = shares({"old.1": "20100104,old,N\n20131011,old,N\n", "old": "20131010,old,N\n20501231,old,N\n"})

    assert corrected(lines(new), date(2013, 10, 8), known) == lines(old)
    assert corrected(lines(new), date(2013, 10, 9), known) == lines(new)
    assert corrected(lines(old), date(2013, 10, 10), known) == lines(new)
    assert corrected(lines(new), date(2013, 10, 11), both) == lines(old)
    assert corrected(lines(old), date(2013, 10, 12), both) == lines(new)
    assert corrected(lines(new), date(2013, 10, 9), both) == lines(old)


def test_a_share_repeated_under_its_next_ticker_stays() -> None:
    """As LEAN's own file of 2014-04-02 has it: the right share of GOOG is there, too."""
    repeated = b"GOOCV VP83T1ZUHROL,GOOG,567,146759,83212353,True,1,1"
    content = lines(GOOCV, repeated, GOOG)

    assert corrected(content) == content
    assert corrected(lines(GOOCV, repeated)) == lines(GOOCV, b"GOOG T1AZ164W5VTX,GOOG,567,146759,83212353,True,1,0.5")


def test_a_repeated_line_stays_repeated() -> None:
    """LEAN offers it twice; both are corrected."""
    row = b"FB 2T,FB,62.72,66280080,4157086617,True,1,1"

    assert corrected(lines(row, row)) == lines(FB, FB)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_a_header_and_a_byte_order_mark_stay(end: bytes, mark: bytes, last: bool) -> None:
    """Also a missing last line end, and empty lines."""
    header = b"security id,ticker,close,volume,dollar volume,fundamental data,price factor,split factor"
    row = b"FB 2T,FB,62.72,66280080,4157086617,True,1,1"
    tail = end if last else b""

    assert corrected(mark + row + end + b"" + end + OTHER + tail) == mark + FB + end + end + OTHER + tail
    assert corrected(mark + header + end + row + tail) == mark + header + end + FB + tail
    assert corrected(mark + row + tail) == mark + FB + tail


def test_the_order_of_bytes_is_restored() -> None:
    """Only if the file had it; line ends stay at their places."""
    first, second = b"GOOG 2T,GOOGL,1,1,1,True,1,1", b"GOOGA 2T,GOOGA,1,1,1,True,1,1"
    third = b"TAP.A 2T,TAP.A,1,1,1,True,1,1"
    day = date(2014, 4, 3)
    tap = b"TAPA T62ATFS9H5R9,TAP.A,1,1,1,True,1,1"
    between = b"TAP.B 2T,TAP.B,1,1,1,True,1,1"
    googl = b"GOOG T1AZ164W5VTX,GOOGL,1,1,1,True,1,1"

    assert corrected(lines(first, second, third, between), day) == lines(googl, second, between, tap)
    assert corrected(lines(second, first, third, between), day) == lines(second, googl, tap, between)
    assert corrected(third + b"\r\n" + between, day) == between + b"\r\n" + tap


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"FB 2T,FB,62.72,66280080,4157086617,True", b"FB V6OIPNZEM8V9,FB,62.72,66280080,4157086617,True"),
        (b"FB V6OIPNZEM8V9,FB,62.72,1,1", b"FB V6OIPNZEM8V9,FB,62.72,1,1"),
        (b"FB V6OIPNZEM8V9,FB,62.72,1000.75,3E3,true,1.0,01", b"FB V6OIPNZEM8V9,FB,62.72,1000.75,3E3,true,1.0,01"),
        (b"FB 2T,FB,62.72,1,1,True,1,1,more", b"FB V6OIPNZEM8V9,FB,62.72,1,1,True,1,1,more"),
        (b"AAPL R735QTJ8XC9X,AAPL,5,1,1", b"AAPL R735QTJ8XC9X,AAPL,5,1,1,False,0.8961764,0.0357143"),
        (b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x", b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.8961764,0.0357143"),
        (b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,1", b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.8961764,0.0357143"),
        (b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,1e3,", b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.8961764,0.0357143"),
        (
            b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.89617640,.03571430",
            b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.89617640,.03571430",
        ),
        (
            b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,1,1,0.8961764,0.0357143",
            b"AAPL R735QTJ8XC9X,AAPL,5,1,1,x,0.8961764,0.0357143,0.8961764,0.0357143",
        ),
        (b"FB 2T,FB,62.72,66280080", b"FB 2T,FB,62.72,66280080"),
        (b"FB,FB,62.72,66280080,1,True,1,1", b"FB,FB,62.72,66280080,1,True,1,1"),
        (b" FB 2T,FB,62.72,66280080,1,True,1,1", b" FB 2T,FB,62.72,66280080,1,True,1,1"),
        (b"\xff\xfe 2T,\xff,62.72,66280080,1,True,1,1", b"\xff\xfe 2T,\xff,62.72,66280080,1,True,1,1"),
    ],
)
def test_rows_of_an_unusual_form(before: bytes, after: bytes) -> None:
    """What LEAN reads the same stays; a row without factors has the factors 1; what is no row of a share stays."""
    assert corrected(lines(before)) == lines(after)


@pytest.mark.parametrize(
    "text",
    [
        "20140402,fb,Q\n20140402,meta,Q\n",
        "2012-05-18,fb\n",
        "20120518,\n",
        "20120518,f/b\n20501231,fb\n",
        "18000101,fb\n20501231,fb\n",
        "",
        "\x00\x01",
    ],
)
def test_a_map_file_that_lean_does_not_read_counts_as_missing(text: str) -> None:
    """The rows stay."""
    row = b"FB 2T,FB,62.72,66280080,4157086617,True,1,1"

    assert corrected(lines(row), DAY, shares({"fb": text})) == lines(row)


@given(content=st.binary(max_size=200) | st.text("FBAPL 2T,.1\r\n\0", max_size=80).map(str.encode))
def test_any_bytes(content: bytes) -> None:
    """No content raises, and nothing but rows of shares changes."""
    assert corrected(content) == content or b"FB" in content or b"AAPL" in content


ROWS = st.tuples(
    st.sampled_from(["AAPL", "FB", "GOOG", "GOOCV", "ZZZ", "ABCDEFGHIJ"]),
    st.sampled_from(["R735QTJ8XC9X", "2T", "V6OIPNZEM8V9"]),
    st.sampled_from(["1,1", "0.5,1", "0.8961764,0.0357143"]),
)


@given(rows=st.lists(ROWS, max_size=12), day=st.dates(date(2012, 1, 1), date(2016, 1, 1)), ends=st.sampled_from("\n\r"))
def test_every_row_of_a_holder_has_its_identifier(rows: list[tuple[str, str, str]], day: date, ends: str) -> None:
    """Any rows on any day: the number of lines, their tickers and all other fields stay."""
    text = ends.join(f"{ticker} {number},{ticker},{n},1,1,True,{end}" for n, (ticker, number, end) in enumerate(rows))

    found = corrected(text.encode(), day).decode().split(ends)

    before = [line.split(",")[1:6] for line in text.split(ends)]
    assert sorted(line.split(",")[1:6] for line in found) == sorted(before)
    holders = {"AAPL": "AAPL R735QTJ8XC9X"}
    holders |= {"FB": "FB V6OIPNZEM8V9"} if day >= date(2012, 5, 18) else {}
    holders |= {"GOOG": "GOOG T1AZ164W5VTX" if day <= DAY else "GOOCV VP83T1ZUHROL"}
    holders |= {"GOOCV": "GOOCV VP83T1ZUHROL"} if date(2014, 3, 27) <= day <= DAY else {}
    assert all(holders.get(line.split(",")[1], line.split(",")[0]) == line.split(",")[0] for line in found if line)
