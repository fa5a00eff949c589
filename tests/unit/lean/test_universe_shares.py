"""Which share a ticker is, and on which days the same follows for its rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from attrs import field, frozen

from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.universe_shares import ExpectedRow, UniverseShares

TEXTS = {
    f"{MAP_FILES}/goog.csv": b"20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n",
    f"{MAP_FILES}/googl.csv": b"20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n",
    f"{FACTOR_FILES}/googl.csv": b"20040819,1.0000000,0.5,1\n20140402,1,0.50,1135.1\n20501231,1,1,0",
    f"{FACTOR_FILES}/goog.csv": b"20140327,1,0.99,1\n20501231,1,1,0",
}


@frozen
class CountingFiles:
    """Files in memory, and the paths of those that were read."""

    read_paths: list[str] = field(factory=list)

    def read(self, path: str) -> bytes | None:
        """The content of a file."""
        self.read_paths.append(path)
        return TEXTS.get(path)

    def names(self, folder: str) -> Iterable[str]:
        """The names in a folder."""
        return [path.removeprefix(f"{folder}/") for path in TEXTS if path.startswith(f"{folder}/")]


def test_what_follows_holds_while_ticker_and_factors_are_the_same() -> None:
    """The days are bounded by the map file's and the factor file's rows."""
    shares = UniverseShares(CountingFiles())

    class_a = b"GOOG T1AZ164W5VTX"
    assert shares.expected(b"GOOGL", date(2015, 1, 2)) == ExpectedRow(
        date(2014, 4, 3), date(2050, 12, 31), class_a, (b"1", b"1"), class_a + b",GOOGL,", b",1,1"
    )
    assert shares.expected(b"GOOG", date(2010, 1, 4)) == ExpectedRow(
        date(2004, 8, 20), date(2014, 4, 2), class_a, (b"1", b"0.5"), class_a + b",GOOG,", b",1,0.5"
    )
    assert shares.expected(b"GOOGL", date(2014, 4, 2)) is None
    assert shares.expected(b"", date(2014, 4, 2)) is None
    assert shares.has_had(b"GOOG", class_a)
    assert not shares.has_had(b"GOOCV", class_a)


def test_files_are_read_once_and_factor_files_only_where_needed() -> None:
    """Whatever the number of rows."""
    files = CountingFiles()
    shares = UniverseShares(files)
    assert files.read_paths == []

    for day in (date(2013, 1, 2), date(2014, 4, 2), date(2015, 1, 2)):
        for ticker in (b"GOOGL", b"GOOCV" if day.year == 2013 else b"GOOGL", b"AAPL"):
            shares.expected(ticker, day)

    assert sorted(files.read_paths) == [
        f"{FACTOR_FILES}/googl.csv",
        f"{MAP_FILES}/goog.csv",
        f"{MAP_FILES}/googl.csv",
    ]


def test_the_numbers_of_tickers() -> None:
    """The bytes of a ticker are the highest ones of its number; capitals and lower case."""
    words = UniverseShares(CountingFiles()).words

    tickers = {bytes(word.tobytes()).lstrip(b"\0") for word in words.astype("<u8")}
    assert tickers == {b"GOOG", b"goog", b"GOOGL", b"googl", b"GOOCV", b"goocv"}
