"""The data check of a backtest in its results folder: what LEAN itself cannot know."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from attrs import frozen

from server.core.errors import WriteFailedError
from server.core.json import from_json, to_json
from server.engines.missing_data import MissingFile

CHECK_FILE = "data-check.json"


@frozen(kw_only=True)
class StoredCheck:
    """What a backtest knows of its data besides LEAN's own record.

    Attributes:
        untrusted: Why the result cannot be trusted, a sentence each.
        missing: Files that LEAN opened and that lack days of the algorithm's range, which LEAN fills with the last
            price (fact 12 of its recorded runs).
        notices: What else a user should know.
    """

    untrusted: tuple[str, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    notices: tuple[str, ...] = ()


def read_check(folder: Path) -> StoredCheck | None:
    """Return the data check of a results folder; None where it has none that can be read."""
    with suppress(OSError, ValueError, TypeError):
        content = msgspec.json.decode((folder / CHECK_FILE).read_bytes())
        return from_json(content, StoredCheck)
    return None


def write_check(folder: Path, check: StoredCheck) -> None:
    """Write the data check of a backtest into its results folder.

    Raises:
        WriteFailedError: It cannot be written.
    """
    path, content = folder / CHECK_FILE, msgspec.json.format(msgspec.json.encode(to_json(check)), indent=2)
    draft = path.with_suffix(".new")
    try:
        draft.write_bytes(content + b"\n")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise WriteFailedError(f"the data check {path} cannot be written: {error.strerror or error}") from error
