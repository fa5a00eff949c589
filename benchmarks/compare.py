"""Compares data folders: the same files, the same member in each, the same CSV byte by byte."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from server.core.errors import BacktestServerError


class FilesDifferError(BacktestServerError):
    """A contender wrote other files than expected, so no time of the scenario is valid."""


@frozen
class ZipContent:
    """What a zip file contains.

    Attributes:
        member: The name of its member.
        digest: A digest of the member's bytes.
    """

    member: str
    digest: bytes

    @classmethod
    def from_bytes(cls, member: str, csv: bytes) -> ZipContent:
        """Return the content of a member with these bytes."""
        return cls(member, hashlib.blake2b(csv, digest_size=16).digest())


FolderContent = Mapping[str, ZipContent]
"""Contents by path relative to the data folder."""


def contents_by_path(files: Iterable[tuple[str, str, bytes]]) -> dict[str, ZipContent]:
    """Return contents by path, from tuples of path, member and bytes."""
    return {path: ZipContent.from_bytes(member, csv) for path, member, csv in files}


def read_folder(folder: Path) -> dict[str, ZipContent]:
    """Read the zips of a data folder with the standard library.

    Returns:
        Contents by path. For an unreadable file the member is the error's text.
    """
    found = {}
    for path in sorted((folder / "equity").rglob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                content = ZipContent.from_bytes(", ".join(names), b"".join(map(archive.read, names)))
        except (zipfile.BadZipFile, OSError) as error:
            content = ZipContent.from_bytes(f"unreadable: {error}", b"")
        found[path.relative_to(folder).as_posix()] = content
    return found


def check_same(expected: FolderContent, actual: FolderContent, contender: str, scenario: str) -> None:
    """Check that a contender wrote the expected files.

    Raises:
        FilesDifferError: A file differs; the text names the first one.
    """
    for path in sorted(expected.keys() | actual.keys()):
        wanted, found = expected.get(path), actual.get(path)
        if wanted == found:
            continue
        difference = f"{path} {_difference(wanted, found)}"
        raise FilesDifferError(f"{scenario}: {contender} wrote wrong files: {difference}; the scenario has no result")


def _difference(wanted: ZipContent | None, found: ZipContent | None) -> str:
    if found is None:
        return "is missing"
    if wanted is None:
        return "is not expected"
    if wanted.member != found.member:
        return f"contains {found.member!r} instead of {wanted.member!r}"
    return "contains other bars than expected"
