"""A file of LEAN's that may stand there already: whose it is, and whether ours takes its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

from server.data_download.data_folder import DataFolder
from server.data_download.report import FileOutcome
from server.lean.zip import FormatError

Row = TypeVar("Row")


@frozen(kw_only=True)
class Standing(Generic[Row]):
    """What stands at a path below the data folder.

    Attributes:
        content: None where there is no file.
        rows: None where there is none or LEAN could not use it; then `problem` says why.
        ours: Whether this program wrote this very content.
    """

    path: str
    read: Callable[[str], list[Row]]
    content: bytes | None = None
    rows: list[Row] | None = None
    problem: str = ""
    ours: bool = False

    def put(self, folder: DataFolder, symbol: str, text: str, *, replace: bool) -> FileOutcome:
        """Put our text there, unless it stands there already or the file is somebody else's.

        Raises:
            WriteFailedError: What stood there still stands.
        """
        if self.content == text.encode():
            return "unchanged"
        if self.content is not None and not self.ours and not replace:
            return "kept"
        folder.writer.write_text(symbol, self.path, text, self.read)
        return "written"

    def notices(self, symbol: str, kind: str, outcome: FileOutcome) -> list[str]:
        """What people should know of a file that was kept."""
        if outcome != "kept":
            return []
        if self.problem:
            return [
                f"the {kind} file of {symbol} is not ours and LEAN cannot use it ({self.problem}); --replace makes it"
            ]
        return [f"the {kind} file of {symbol} is not ours and is kept; --replace puts ours in its place"]


def place(folder: DataFolder, path: Path, read: Callable[[str], list[Row]]) -> Standing[Row]:
    """See what stands at a path in the data folder."""
    relative = path.relative_to(folder.path).as_posix()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Standing(path=relative, read=read)
    except OSError as error:
        return Standing(path=relative, read=read, content=b"", problem=f"it cannot be read: {error.strerror or error}")
    try:
        rows, problem = read(content.decode("utf-8", "replace")), ""
    except FormatError as error:
        rows, problem = None, str(error)
    ours = folder.ledger.wrote(relative, content)
    return Standing(path=relative, read=read, content=content, rows=rows, problem=problem, ours=ours)
