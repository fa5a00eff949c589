"""LEAN's zips of one member: what is written, what is read, what is refused."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.trade_csv import salvaged_days
from server.lean.zip import first_member, only_member, salvage, zip_bytes

DAY = date(2024, 3, 8)
LAYOUT = layout_of(Series("SPY", Resolution.MINUTE))
GOOD = b"34200000,10000,10000,10000,10000,100\n34260000,10000,10000,10000,10000.5,100.25"


def test_a_zip_is_what_the_standard_library_reads() -> None:
    """One deflated member of the right name, with a sound checksum; the same bars give the same bytes."""
    made = zip_bytes("20240308_spy_minute_trade.csv", GOOD)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        (member,) = archive.infolist()

        assert archive.testzip() is None
        assert archive.read(member) == GOOD
    assert (member.filename, member.compress_type) == ("20240308_spy_minute_trade.csv", zipfile.ZIP_DEFLATED)
    assert made == zip_bytes("20240308_spy_minute_trade.csv", GOOD)


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """A zip as others write it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return target.getvalue()


def streamed(name: str, content: bytes) -> bytes:
    """A zip whose sizes stand behind the data, with the headers of long files."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(content)
    return target.getvalue()


@pytest.mark.parametrize(
    "data",
    [zipped(spy__csv=GOOD), zipped(zipfile.ZIP_STORED, spy__csv=GOOD), streamed("spy.csv", GOOD)],
    ids=["deflated", "stored", "zip64"],
)
def test_zips_of_other_writers_are_read(data: bytes) -> None:
    """The forms in which LEAN's samples come."""
    assert only_member(data) == first_member(data) == ("spy.csv", GOOD)


def test_the_engine_reads_the_first_member() -> None:
    """Several members are read by their first one, but are no file of LEAN's."""
    data = zipped(a__csv=GOOD, b__csv=b"x")

    assert first_member(data) == ("a.csv", GOOD)
    with pytest.raises(FormatError, match="2 members"):
        only_member(data)


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 500, zipped(), zip_bytes("a.csv", GOOD)[:-30]])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    """Nothing, rubbish, a zip without members, a zip that breaks off."""
    for read in (only_member, first_member):
        with pytest.raises(FormatError):
            read(data)


WHOLE = zip_bytes("20240308_spy_minute_trade.csv", GOOD)


@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
@settings(max_examples=300)
def test_a_flipped_bit_is_noticed_or_changes_nothing(at: int, bit: int) -> None:
    """Wherever the damage is, either the check fails or the CSV that comes out is the one that went in."""
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1 << bit
    try:
        LAYOUT.check_zip(bytes(damaged), DAY)
    except FormatError:
        return

    assert only_member(bytes(damaged))[1] == GOOD


@given(upto=st.integers(0, len(WHOLE) - 1))
def test_a_zip_that_breaks_off_is_noticed(upto: int) -> None:
    """However much of it there is."""
    with pytest.raises(FormatError):
        LAYOUT.check_zip(WHOLE[:upto], DAY)


def test_the_member_has_the_name_that_leans_writer_needs() -> None:
    """A sound CSV under another name is refused, and the error has both names."""
    with pytest.raises(FormatError, match=r"called spy\.csv, LEAN writes 20240308_spy_minute_trade\.csv"):
        LAYOUT.check_zip(zip_bytes("spy.csv", GOOD), DAY)


def test_what_the_reader_forgives_is_refused_where_strictness_is_asked_for() -> None:
    """A line end at the end is no fault of a file found, but would be one of a file written."""
    data = zip_bytes(LAYOUT.member(DAY), GOOD + b"\n")

    assert LAYOUT.check_zip(data, DAY).rows == 2
    with pytest.raises(FormatError, match="which LEAN does not write"):
        LAYOUT.check_zip(data, DAY, strict=True)


def test_what_can_be_read_of_a_damaged_daily_zip_names_its_days() -> None:
    """The rows before the damage say which days there were; rubbish says nothing."""
    days = [DAY + timedelta(days=n) for n in range(2000)]
    numbers = random.Random(1)
    content = "\n".join(f"{day:%Y%m%d} 00:00,{numbers.randrange(10**6)},1,1,1,1" for day in days).encode()
    data = zip_bytes("spy.csv", content)

    saved = salvaged_days(salvage(data[: len(data) // 2]))

    assert saved == days[: len(saved)]
    assert len(saved) > 500
    assert salvaged_days(salvage(b"rubbish")) == []
    assert salvaged_days(b"20240231 00:00,1\n20240308 00:0") == [DAY]
