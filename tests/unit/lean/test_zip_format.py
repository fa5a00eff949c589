"""The bytes of a zip by the format's specification (APPNOTE.TXT of PKWARE, 4.3), and what of a zip is checked."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest

from server.lean.errors import FormatError
from server.lean.zip import first_member, members, only_member, salvage, zip_bytes

NAME = "20240308_spy_minute_trade.csv"
ROWS = b"34200000,10000,10000,10000,10000,100\n34260000,10000,10000,10000,10000.5,100.25"
LOCAL, CENTRAL, END = 30, 46, 22
"""Sizes of the three headers."""


def parts(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The local header with its name, the packed content, the central header with its name, the end record."""
    start = len(data) - END - CENTRAL - len(NAME)
    return data[: LOCAL + len(NAME)], data[LOCAL + len(NAME) : start], data[start:-END], data[-END:]


def test_every_field_of_the_headers() -> None:
    """Version 2.0, deflated, 1980-01-01 00:00, no flags, no extra fields, no comment, one member in one volume."""
    local, packed, central, end = parts(zip_bytes(NAME, ROWS))
    sizes = struct.pack("<III", zlib.crc32(ROWS), len(packed), len(ROWS))
    common = struct.pack("<HHHHH", 20, 0, 8, 0, 0x21) + sizes + struct.pack("<HH", len(NAME), 0)

    assert zlib.decompress(packed, -15) == ROWS
    assert local == b"PK\3\4" + common + NAME.encode()
    assert central == b"PK\1\2" + struct.pack("<H", 20) + common + bytes(14) + NAME.encode()
    start = len(local) + len(packed)
    assert end == b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), start, 0)


@pytest.mark.parametrize("content", [ROWS, b"", b"x" * 200_000])
def test_a_plain_zip_is_read_without_zipfile(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """That costs a tenth of the time, which matters for ten thousands of files."""
    data = zip_bytes(NAME, content)
    monkeypatch.setattr(zipfile, "ZipFile", pytest.fail)

    assert only_member(data) == first_member(data) == (NAME, content)
    assert members(data) == [(NAME, content)]


def test_extra_fields_of_the_local_header_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As .NET and others write them."""
    data = zip_bytes(NAME, ROWS)
    local, packed, central, end = parts(data)
    extra = b"\x55\x54\x05\0\3abcd"
    longer = local[:28] + struct.pack("<H", len(extra)) + local[30:] + extra
    moved = end[:16] + struct.pack("<I", len(longer) + len(packed)) + end[20:]
    monkeypatch.setattr(zipfile, "ZipFile", pytest.fail)

    assert only_member(longer + packed + central + moved) == (NAME, ROWS)


def changed(part: int, at: int, value: bytes) -> bytes:
    """A zip with other bytes in one of its parts."""
    found = [*parts(zip_bytes(NAME, ROWS))]
    found[part] = found[part][:at] + value + found[part][at + len(value) :]
    return b"".join(found)


@pytest.mark.parametrize(
    "data",
    [
        changed(0, 0, b"XK"),
        changed(2, 0, b"XK"),
        changed(2, 8, b"\1"),
        changed(2, 10, b"\0"),
        changed(2, 10, b"\x0c"),
        changed(2, 16, bytes(4)),
        changed(2, 20, struct.pack("<I", 3)),
        changed(2, 24, struct.pack("<I", len(ROWS) - 1)),
        changed(2, 42, struct.pack("<I", 1)),
        changed(3, 0, b"XK"),
        changed(3, 12, struct.pack("<I", 10)),
        changed(1, 0, b"\xff" * 8),
    ],
    ids=[
        *("local signature", "central signature", "encrypted", "stored", "bzip2", "checksum", "packed size"),
        *("size below", "offset of the local header", "end signature", "central size", "content"),
    ],
)
def test_a_wrong_field_is_refused(data: bytes) -> None:
    """By each way to read it."""
    for read in (only_member, first_member, members):
        with pytest.raises(FormatError, match=r"^it is no whole zip: ."):
            read(data)


def test_a_size_that_is_too_large_does_not_matter() -> None:
    """All content is there, and its checksum is right."""
    assert only_member(changed(2, 24, struct.pack("<I", len(ROWS) + 1))) == (NAME, ROWS)


@pytest.mark.parametrize("cut", [1, END - 1, END, END + 1])
def test_a_zip_without_its_whole_end_record_is_refused(cut: int) -> None:
    """LEAN finds the members by it."""
    with pytest.raises(FormatError, match=r"^it is no whole zip: ."):
        only_member(zip_bytes(NAME, ROWS)[:-cut])


def test_a_comment_is_read_as_any_zip_is() -> None:
    """LEAN's zips have none."""
    data = zip_bytes(NAME, ROWS)

    assert only_member(data[:-2] + struct.pack("<H", 5) + b"hello") == (NAME, ROWS)


def two_members(spoil: Callable[[bytes, zipfile.ZipInfo], bytes] = lambda data, second: data) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", ROWS)
        archive.writestr("b.csv", b"other" * 50)
        second = archive.infolist()[1]
    return spoil(target.getvalue(), second)


def test_a_damaged_second_member_is_empty() -> None:
    """LEAN does not open it; the first one counts."""
    data = two_members(lambda data, second: data[: second.header_offset] + b"RUIN" + data[second.header_offset + 4 :])

    assert members(two_members()) == [("a.csv", ROWS), ("b.csv", b"other" * 50)]
    assert members(data) == [("a.csv", ROWS), ("b.csv", b"")]
    assert first_member(data) == ("a.csv", ROWS)
    with pytest.raises(FormatError, match="the zip has 2 members, LEAN's have one"):
        only_member(data)


def test_a_zip_without_members_is_empty() -> None:
    """The error says so."""
    empty = b"PK\5\6" + bytes(18)

    for read in (only_member, first_member, members):
        with pytest.raises(FormatError, match=r"^the zip is empty$"):
            read(empty)


def streamed(content: bytes) -> bytes:
    """A zip whose local header has neither checksum nor sizes."""

    class Pipe(io.BytesIO):
        def seek(self, *_: object) -> int:
            raise OSError("a pipe")

    target = Pipe()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spy.csv", content)
    return target.getvalue()


LINES = b"".join(
    b"%d,10000,10000,10000,10000,%d\n" % (34_200_000 + 60_000 * n, n * n * 7919 % 99_991) for n in range(2000)
)


def test_what_is_saved_of_a_damaged_zip() -> None:
    """Whole rows of a stream that breaks off; all of a whole stream whose checksum is right or not known."""
    data = zip_bytes("spy.csv", LINES)

    saved = salvage(data[: len(data) // 2])
    assert LINES.startswith(saved)
    assert saved.endswith(b"\n")
    assert len(saved) > len(LINES) // 4
    assert salvage(data) == salvage(data[:-60]) == LINES
    assert struct.unpack_from("<I", streamed(LINES), 14) == (0,)
    assert salvage(streamed(LINES)) == LINES
    extra = data[:28] + struct.pack("<H", 3) + data[30:37] + b"abc" + data[37:]
    assert salvage(extra) == LINES


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"XK"), (8, b"\0\0"), (14, bytes(4)), (40, b"\xff" * 9)],
    ids=["signature", "stored", "checksum", "content"],
)
def test_nothing_is_saved_of_what_cannot_be_trusted(at: int, value: bytes) -> None:
    """Another file, another method, a wrong checksum, a stream that cannot be unpacked."""
    data = zip_bytes("spy.csv", LINES)

    assert salvage(data[:at] + value + data[at + len(value) :]) == b""
    assert salvage(data[:20]) == b""
