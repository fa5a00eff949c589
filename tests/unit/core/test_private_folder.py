"""Folders for programs, of which nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.core.private_folder import private_folder, write_private_file


def left_over(parent: Path) -> list[str]:
    """The names in the parent folder apart from its lock."""
    return sorted(path.name for path in parent.iterdir() if path.name != "sweep.lock")


def test_only_its_user_can_enter_it_and_nothing_stays(tmp_path: Path) -> None:
    """Also where a folder in it is read-only, and after an error."""
    seen = []

    def use_it() -> None:
        with private_folder(tmp_path / "runs", used_for="a test", first="lean.json") as folder:
            write_private_file(folder / "lean.json", "{}")
            (folder / "copy").mkdir()
            (folder / "copy" / "main.py").write_text("")
            (folder / "copy").chmod(0o500)
            seen.extend(path.stat().st_mode & 0o777 for path in (folder, folder / "lean.json"))
            raise KeyError

    with pytest.raises(KeyError):
        use_it()

    assert seen == [0o700, 0o600]
    assert left_over(tmp_path / "runs") == []


def test_what_a_killed_process_left_is_removed_and_what_one_uses_stays(tmp_path: Path) -> None:
    """Its name is asked about again as long as the answer is yes."""
    code = (
        "import sys; from pathlib import Path; from server.core.private_folder import private_folder\n"
        "with private_folder(Path(sys.argv[1]), used_for='a test', first='x') as folder:\n"
        "    print(folder.name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        dead = process.stdout.readline().strip()
        with private_folder(tmp_path, used_for="a test", first="x"):
            assert (tmp_path / dead).is_dir()
        process.kill()
    asked: list[str] = []

    for answer in (True, False):
        with private_folder(
            tmp_path, used_for="a test", first="x", keeps=lambda name, a=answer: asked.append(name) or a
        ):
            assert not (tmp_path / dead).exists()
    with private_folder(tmp_path, used_for="a test", first="x", keeps=lambda name: asked.append(name) or False):
        pass

    assert asked == [dead, dead]
    assert left_over(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """Here a file is in its place."""
    (tmp_path / "runs").write_text("")

    with (
        pytest.raises(WriteFailedError, match=r"the private folder for a test cannot be made in .*runs: "),
        private_folder(tmp_path / "runs", used_for="a test", first="x"),
    ):
        pass
