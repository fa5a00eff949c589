"""Looking up shares: all map files decide, and they are read once for all symbols."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from attrs import field, frozen

from server.lean.feed.share import MapFiles, find_map_file
from server.lean.layout import MAP_FILES

TEXTS = {
    "fb.csv": b"20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n",
    "old.csv": b"20100104,old,N\n20501231,new,N\n",
    "con.csv": b"20100104,con,N\n20501231,con,N\n",
    "notes.txt": b"fb",
}


@frozen
class CountingFiles:
    """Files in memory, and the names of those that were read."""

    read_names: list[str] = field(factory=list)

    def read(self, path: str) -> bytes | None:
        """The content of a file."""
        name = path.removeprefix(f"{MAP_FILES}/")
        self.read_names.append(name)
        return TEXTS.get(name)

    def names(self, folder: str) -> Iterable[str]:
        """All names."""
        return TEXTS


def test_map_files_are_read_once_for_all_symbols() -> None:
    """Each symbol may read the one map file that it found again; nothing of what LEAN does not read is opened."""
    files = CountingFiles()
    maps = MapFiles(files)

    found = [find_map_file(maps, ticker, date(2024, 1, 2)) for ticker in ("FB", "META", "OLD", "NEW", "NONE")]

    assert found == ["FB", "FB", "OLD", "OLD", "NONE"]
    assert maps.contents == [("FB", TEXTS["fb.csv"].lower()), ("OLD", TEXTS["old.csv"].lower())]
    assert len(files.read_names) <= len(maps.contents) + len(found)
    assert not {"con.csv", "notes.txt"} & set(files.read_names)
