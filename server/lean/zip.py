"""Zips as LEAN keeps them: one deflated member, nothing else.

Python's zipfile would do, at a tenth of a millisecond a file; a year of minute bars is 252 files a symbol and a
first look over a grown data folder tens of thousands, so the plain one-member form is written and read here, and
zipfile reads whatever has another form.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import cast

from isal import isal_zlib

from server.lean.errors import FormatError

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_DEFLATE = 8
_SIZES_FOLLOW = 8
_NO_TIME, _NO_DATE = 0, 0x21  # 1980-01-01: the same bars give the same bytes
_UNKNOWN = 0xFFFFFFFF
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
_DAMAGED = (cast("type[Exception]", isal_zlib.error), UnicodeDecodeError, struct.error)

COMPRESSION_LEVEL = 3
"""LEAN writes with .NET's ``CompressionLevel.Optimal``, zlib's 6. This is ISA-L's best: an eighth of the time, for
files an eighth to a fifth larger (docs/performance.md)."""


def zip_bytes(member: str, content: bytes) -> bytes:
    """A zip with this one deflated member."""
    name = member.encode("ascii")
    packer = isal_zlib.compressobj(COMPRESSION_LEVEL, isal_zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    crc = isal_zlib.crc32(content)
    sizes = (crc, len(packed), len(content))
    local = _LOCAL.pack(b"PK\3\4", 20, 0, _DEFLATE, _NO_TIME, _NO_DATE, *sizes, len(name), 0)
    central = _CENTRAL.pack(b"PK\1\2", 20, 20, 0, _DEFLATE, _NO_TIME, _NO_DATE, *sizes, len(name), 0, 0, 0, 0, 0, 0)
    start = len(local) + len(name) + len(packed)
    end = _END.pack(b"PK\5\6", 0, 0, 1, 1, len(central) + len(name), start, 0)
    return b"".join((local, name, packed, central, name, end))


def only_member(data: bytes) -> tuple[str, bytes]:
    """The name and content of a zip's one member, its checksum tested.

    Raises:
        FormatError: Not a zip, truncated, damaged, or not exactly one member.
    """
    return _plain_member(data) or _any_member(data, alone=True)


def first_member(data: bytes) -> tuple[str, bytes]:
    """The name and content of the first member, which is the one LEAN's engine reads.

    Raises:
        FormatError: Not a zip, truncated or damaged, or without any member.
    """
    return _plain_member(data) or _any_member(data, alone=False)


def members(data: bytes) -> list[tuple[str, bytes]]:
    """The name and content of each member, in the order in which LEAN's engine sees them.

    Raises:
        FormatError: Not a zip, truncated or damaged, or without any member.
    """
    plain = _plain_member(data)
    return [plain] if plain else _read_members(data)


def _plain_member(data: bytes) -> tuple[str, bytes] | None:
    """The member if the zip has the plain form and is whole, else None."""
    if len(data) < _LOCAL.size + _CENTRAL.size + _END.size:
        return None
    mark, _, _, _, entries, size, start, comment = _END.unpack_from(data, len(data) - _END.size)
    if mark != b"PK\5\6" or entries != 1 or comment or start + size + _END.size != len(data) or size < _CENTRAL.size:
        return None
    fields = _CENTRAL.unpack_from(data, start)
    flags, method, crc, packed, unpacked, name_length = *fields[3:5], *fields[7:11]
    if fields[0] != b"PK\1\2" or flags & 1 or method != _DEFLATE or fields[-1] != 0 or _UNKNOWN in (packed, unpacked):
        return None
    local = _LOCAL.unpack_from(data, 0)
    begin = _LOCAL.size + local[-2] + local[-1]
    if local[0] != b"PK\3\4" or begin + packed > start:
        return None
    try:
        content = isal_zlib.decompress(memoryview(data)[begin : begin + packed], -15, unpacked or 1)
        name = data[start + _CENTRAL.size : start + _CENTRAL.size + name_length].decode("ascii")
    except _DAMAGED:
        return None
    if len(content) != unpacked or isal_zlib.crc32(content) != crc:
        return None
    return name, content


def _any_member(data: bytes, *, alone: bool) -> tuple[str, bytes]:
    found = _read_members(data)
    if alone and len(found) > 1:
        raise FormatError(f"the zip has {len(found)} members, LEAN's have one")
    return found[0]


def _read_members(data: bytes) -> list[tuple[str, bytes]]:
    """All members; one after the first that cannot be read is empty, since the engine does not open it."""
    found: list[tuple[str, bytes]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                try:
                    content = archive.read(member)
                except _UNREADABLE:
                    if not found:
                        raise
                    content = b""
                found.append((member.filename, content))
    except _UNREADABLE as error:
        raise FormatError(f"it is no whole zip: {error}") from error
    if not found:
        raise FormatError("the zip is empty")
    return found


def salvage(data: bytes) -> bytes:
    """What can still be read of the first member of a damaged zip; a row that is cut off is left out.

    Nothing if its checksum is wrong: then no row of it can be trusted.
    """
    try:
        local = _LOCAL.unpack_from(data, 0)
        if local[0] != b"PK\3\4" or local[3] != _DEFLATE:
            return b""
        packed = data[_LOCAL.size + local[-2] + local[-1] :]
        reader = zlib.decompressobj(-15)
        content = reader.decompress(packed)
    except (struct.error, zlib.error):
        return b""
    if not reader.eof:
        return content[: content.rfind(b"\n") + 1]
    crc_is_known = not local[2] & _SIZES_FOLLOW
    return b"" if crc_is_known and zlib.crc32(content) != local[6] else content
