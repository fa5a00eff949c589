"""Where LEAN keeps factor and map files, and what is read of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from server.corporate_actions.paths import (
    factor_file_path,
    load_factor_rows,
    load_map_rows,
    map_file_path,
)
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow
from server.lean.map_file import MapRow

BOTH = pytest.mark.parametrize(
    ("path", "load"), [(factor_file_path, load_factor_rows), (map_file_path, load_map_rows)], ids=["factor", "map"]
)
PathOf = Callable[[Path, str], Path]
Load = Callable[[Path, str], list[Any] | None]


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_paths_are_those_that_lean_looks_at(tmp_path: Path) -> None:
    """Names are in lower case whatever the case of the symbol; a share's class stays behind its point."""
    assert factor_file_path(tmp_path, "BRK.B") == tmp_path / "equity/usa/factor_files/brk.b.csv"
    assert map_file_path(tmp_path, "aapl") == tmp_path / "equity/usa/map_files/aapl.csv"


@BOTH
@pytest.mark.parametrize("symbol", ["../../etc/passwd", "", "A/B", "AÄ", "A\n"])
def test_no_path_is_built_from_what_is_no_symbol(tmp_path: Path, path: PathOf, load: Load, symbol: str) -> None:
    """Neither to look nor to read."""
    for call in (path, load):
        with pytest.raises(ValueError, match="is not a US equity symbol"):
            call(tmp_path, symbol)


@BOTH
def test_no_file_is_none_and_an_empty_one_has_no_rows(tmp_path: Path, path: PathOf, load: Load) -> None:
    """Nor is a folder that is missing, or a file in its place, a fault."""
    assert load(tmp_path, "SPY") is None
    put(tmp_path / "equity", b"a file, where a folder is looked for")
    assert load(tmp_path, "SPY") is None
    (tmp_path / "equity").unlink()
    put(path(tmp_path, "SPY"), b"")
    assert load(tmp_path, "SPY") == []


def test_rows_come_as_lean_reads_them(tmp_path: Path) -> None:
    """A byte order mark and CRLF do not matter."""
    put(factor_file_path(tmp_path, "X"), b"\xef\xbb\xbf20200102,0.99,0.5,10.5\r\n20501231,1,1,0\r\n")
    put(map_file_path(tmp_path, "X"), b"20200102,y,Q\n20501231,x,Q\n")

    assert load_factor_rows(tmp_path, "X") == [
        FactorRow(date(2020, 1, 2), Fraction(99, 100), Fraction(1, 2), Fraction(21, 2)),
        FactorRow(date(2050, 12, 31), Fraction(1), Fraction(1), Fraction(0)),
    ]
    assert load_map_rows(tmp_path, "X") == [
        MapRow(date(2020, 1, 2), "Y", "Q"),
        MapRow(date(2050, 12, 31), "X", "Q"),
    ]


@BOTH
def test_a_damaged_file_is_a_fault(tmp_path: Path, path: PathOf, load: Load) -> None:
    """A line that cannot be read, bytes that are no text, and a folder where the file should be."""
    for content in (b"20200102\n", b"20200102,\xff\xff,1,1\n2020010\xff,x\n"):
        put(path(tmp_path, "X"), content)
        with pytest.raises(FormatError, match=r"the line '2020010"):
            load(tmp_path, "X")
    path(tmp_path, "X").unlink()
    path(tmp_path, "X").mkdir()
    with pytest.raises(FormatError, match="it cannot be read"):
        load(tmp_path, "X")


@BOTH
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read_is_a_fault(tmp_path: Path, path: PathOf, load: Load) -> None:
    """It is not taken for a missing one."""
    put(path(tmp_path, "X"), b"")
    path(tmp_path, "X").chmod(0)
    with pytest.raises(FormatError, match="Permission denied"):
        load(tmp_path, "X")


def test_leans_samples_are_read_whole(lean_sample_data: Path) -> None:
    """As many rows as the file has lines, with its dates."""
    for symbol in ("AAPL", "SPY"):
        for path, load in ((factor_file_path, load_factor_rows), (map_file_path, load_map_rows)):
            lines = list(csv.reader(path(lean_sample_data, symbol).read_text().splitlines()))
            rows: Any = load(lean_sample_data, symbol)
            assert [f"{row.date:%Y%m%d}" for row in rows] == [line[0] for line in lines]
