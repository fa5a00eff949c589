"""Whether two folders hold the same bars: the same files, the same member in each, the same CSV byte by byte."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from server.core.errors import BacktestServerError


class ResultsDiffer(BacktestServerError):  # noqa: N818 - named after what is wrong
    """A contender wrote something else than the others: then nobody's time means anything."""


@frozen
class Content:
    """What a file holds: the member's name, and a digest of its bytes."""

    member: str
    digest: bytes

    @classmethod
    def of(cls, member: str, csv: bytes) -> Content:
        """The content of a member with these bytes."""
        return cls(member, hashlib.blake2b(csv, digest_size=16).digest())


Files = Mapping[str, Content]
"""By the path below the data folder."""


def files_of(contents: Iterable[tuple[str, str, bytes]]) -> dict[str, Content]:
    """Files by path, from paths, members and bytes."""
    return {path: Content.of(member, csv) for path, member, csv in contents}


def read_folder(folder: Path) -> dict[str, Content]:
    """The zips of a data folder, read by the standard library; one that cannot be read has an error for a member."""
    found = {}
    for path in sorted((folder / "equity").rglob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                content = Content.of(", ".join(names), b"".join(map(archive.read, names)))
        except (zipfile.BadZipFile, OSError) as error:
            content = Content.of(f"unreadable: {error}", b"")
        found[path.relative_to(folder).as_posix()] = content
    return found


def check_same(expected: Files, found: Files, who: str, scenario: str) -> None:
    """See that a contender wrote what was expected.

    Raises:
        ResultsDiffer: It did not; the text names the first file that differs.
    """
    for path in sorted(expected.keys() | found.keys()):
        wanted, there = expected.get(path), found.get(path)
        if wanted == there:
            continue
        if there is None:
            how = "is missing"
        elif wanted is None:
            how = "should not be there"
        elif wanted.member != there.member:
            how = f"holds {there.member!r} in place of {wanted.member!r}"
        else:
            how = "holds other bars than expected"
        raise ResultsDiffer(f"{scenario}: what {who} wrote is not right: {path} {how}; no time was believed")
