"""Where LEAN keeps the files of a series, and LEAN's own files read and rendered again."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.data_download.verify import check_folder
from server.lean.errors import FormatError
from server.lean.layout import layout_of, parse_path
from server.lean.series import DataType, Resolution, Series
from server.lean.zip import only_member, zip_bytes

DAY = date(2024, 3, 8)
GOOD = b"34200000,10000,10000,10000,10000,100\n34260000,10000,10000,10000,10000.5,100.25"


@pytest.mark.parametrize(
    ("series", "path", "member"),
    [
        (Series("SPY", Resolution.MINUTE), "minute/spy/20240308_trade.zip", "20240308_spy_minute_trade.csv"),
        (
            Series("SPY", Resolution.MINUTE, DataType.QUOTE),
            "minute/spy/20240308_quote.zip",
            "20240308_spy_minute_quote.csv",
        ),
        (Series("BRK.B", Resolution.SECOND), "second/brk.b/20240308_trade.zip", "20240308_brk.b_second_trade.csv"),
        (Series("BRK.B", Resolution.DAILY), "daily/brk.b.zip", "brk.b.csv"),
        (Series("BRK.B", Resolution.HOUR), "hour/brk.b.zip", "brk.b.csv"),
    ],
)
def test_paths_are_leans(series: Series, path: str, member: str) -> None:
    """Lower case, dots kept, a file for each day or one for all days; and back again."""
    layout = layout_of(series)

    assert layout.path(DAY) == f"equity/usa/{path}"
    assert layout.member(DAY) == member
    assert parse_path(f"equity/usa/{path}") == (series, None if layout.one_file else DAY)


@pytest.mark.parametrize(
    "path",
    [
        "equity/usa/week/spy.zip",
        "equity/usa/minute/spy/20240308_openinterest.zip",
        "equity/usa/minute/spy/20241308_trade.zip",
        "equity/usa/minute/spy/2024038_trade.zip",
        "equity/usa/minute/spy.zip",
        "equity/usa/minute/SPY/20240308_trade.zip",
        "equity/usa/daily/spy/20240308_trade.zip",
        "equity/usa/daily/spy.csv",
        "equity/usa/daily/..zip",
        "equity/usa/map_files/spy.csv",
        "option/usa/minute/spy/20240308_trade.zip",
        "equity",
        "",
    ],
)
def test_a_path_without_bars_has_no_series(path: str) -> None:
    """Other resolutions, data types, endings, days that do not exist, names that LEAN does not write."""
    assert parse_path(path) is None


@given(st.text(max_size=60))
def test_any_text_has_a_series_or_none(path: str) -> None:
    """What is recognized is the path that the layout gives back."""
    found = parse_path(path)

    assert found is None or layout_of(found[0]).path(found[1]) == path


def test_every_sample_path_is_read_and_written(lean_sample_data: Path) -> None:
    """Each zip of LEAN's samples has a series, whose layout gives its path back (LEAN: ``LeanData.TryParsePath``)."""
    zips = [path.relative_to(lean_sample_data).as_posix() for path in lean_sample_data.rglob("*.zip")]
    assert len(zips) > 20
    for path in zips:
        if path.split("/")[2] in list(Resolution):
            series, day = parse_path(path) or pytest.fail(path)
            assert layout_of(series).path(day) == path


@pytest.mark.damaged_zips
def test_the_check_of_a_folder_names_the_first_wrong_file(tmp_path: Path) -> None:
    """Good files are counted, hour files and quotes passed over."""
    good = tmp_path / layout_of(Series("SPY", Resolution.MINUTE)).path(DAY)
    good.parent.mkdir(parents=True)
    good.write_bytes(zip_bytes("20240308_spy_minute_trade.csv", GOOD))
    (good.parent / "20240308_quote.zip").write_bytes(b"not looked at")

    assert check_folder(tmp_path) == 1

    wrong = good.with_name("20240311_trade.zip")
    wrong.write_bytes(good.read_bytes())
    with pytest.raises(FormatError, match=r"20240311_trade\.zip: the member is called 20240308_spy"):
        check_folder(tmp_path)


def sample_files(folder: Path) -> list[Path]:
    """The trade bar files of LEAN's samples that are ours."""
    return [path for path in sorted(folder.rglob("*.zip")) if parse_path(path.relative_to(folder).as_posix())]


@pytest.mark.parametrize("rewrite", [lambda data: data, lambda data: data + b"\n"], ids=["as is", "line end"])
def test_leans_samples_are_written_as_they_were_read(lean_sample_data: Path, rewrite: Callable[[bytes], bytes]) -> None:
    """Every sample zip, read into bars and printed again, gives the same CSV, and has the form that is checked."""
    files = sample_files(lean_sample_data)
    assert len(files) > 20
    for path in files:
        series, day = parse_path(path.relative_to(lean_sample_data).as_posix()) or pytest.fail(str(path))
        layout = layout_of(series)
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            content = archive.read(name).removesuffix(b"\n")
        read = layout.parse(rewrite(content), day)
        days = list(layout.rows_by_day(content, day))
        again = b"\n".join(text.csv for text in layout.render(read, days))

        assert again == content, path
        if name != "tapa/tapa.csv":  # the hour file of TAPA, which LEAN reads but would not write
            assert only_member(path.read_bytes())[0] == name == layout.member(day)
        layout.check_zip(zip_bytes(layout.member(day), again), day, strict=True)
