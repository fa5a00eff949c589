"""Whether a folder can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.core.disk_space import check_writable
from server.core.errors import WriteFailedError


def test_a_writable_folder_is_left_as_it_was(tmp_path: Path) -> None:
    """It is created if necessary; nothing remains in it."""
    folder = tmp_path / "state"

    check_writable(folder)

    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the reason, and not as a full disk."""
    (tmp_path / "file").write_text("")

    with pytest.raises(WriteFailedError, match=f"{tmp_path}/file/state cannot be written") as caught:
        check_writable(tmp_path / "file" / "state")

    assert caught.value.code == "write_failed"
