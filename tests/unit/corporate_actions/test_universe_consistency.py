"""Universe files follow from map and factor files: what is written, and what is not even opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import Cancelled, WriteFailedError
from server.corporate_actions.universe_consistency import WARM_UP, make_universe_files_consistent
from server.data_download.data_folder import DataFolder
from tests.support.harness import calendar
from tests.support.universe import (
    COARSE,
    DAYS,
    NUMBER,
    row,
    universe_path,
    universe_texts,
    write,
    write_factor_file,
    write_map_file,
    write_universe,
)

FIRST, LAST = DAYS[0], DAYS[-1]
UNREAD = "the file was opened"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with its ledger."""
    with closing(DataFolder.open(tmp_path, calendar())) as opened:
        yield opened


def run(folder: DataFolder, first: date = FIRST, last: date = LAST) -> tuple[str, ...]:
    """Make the files of a range consistent."""
    return make_universe_files_consistent(folder, first, last, cancel=CancelToken())


def changed(paths: list[Path]) -> list[str]:
    """The names of the files that were written since `write_universe` wrote them."""
    return [path.name for path in paths if path.stat().st_mtime != 1_700_000_000]


def hide_content(path: Path) -> None:
    """Give a file other content that only opening it shows."""
    status = path.stat()
    path.write_bytes(b"B 2T,B,1,1,1,True,1,1".ljust(status.st_size, b"\n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_without_universe_files_nothing_happens(tmp_path: Path, folder: DataFolder) -> None:
    """No state is created; also where other files are in the folder, and for any range."""
    assert run(folder) == ()
    write_map_file(tmp_path, "a")
    write(tmp_path / COARSE / "notes.csv", row("A"))
    write(tmp_path / COARSE / "20131301.csv", row("A"))
    write(tmp_path / COARSE / "20131007.csv.part", row("A"))
    before = universe_texts(tmp_path)

    assert run(folder, date.min, date.max) == ()

    assert universe_texts(tmp_path) == before
    assert not (tmp_path / ".backtest-server").exists()


def test_a_map_file_created_after_the_universe_files(tmp_path: Path, folder: DataFolder) -> None:
    """All days of the range are corrected, and one line reports it."""
    paths = write_universe(tmp_path, [row("A"), row("B"), row("C", "R735QTJ8XC9X", "0.5,2")])
    assert run(folder) == ()
    assert changed(paths) == []
    write_map_file(tmp_path, "a")
    write_factor_file(tmp_path, "a", "0.9000000", "0.5")

    notices = run(folder)

    expected = row("A", NUMBER, "0.9,0.5") + row("B") + row("C", "R735QTJ8XC9X", "0.5,2")
    assert universe_texts(tmp_path) == [expected] * 5
    assert notices == (
        "corrected 5 rows of 5 universe files from 2013-10-07 to 2013-10-11, which did not follow from the map and "
        "factor files",
    )


@pytest.mark.parametrize("reopened", [False, True])
def test_unchanged_files_are_not_opened_again(tmp_path: Path, folder: DataFolder, reopened: bool) -> None:
    """Whether they were consistent or have been corrected; also by a later run of another process."""
    paths = write_universe(tmp_path, [row("B"), row("C")])
    write_map_file(tmp_path, "b")
    run(folder)
    for path in paths:
        hide_content(path)

    with closing(DataFolder.open(tmp_path, calendar())) as other:
        assert run(other if reopened else folder) == ()

    assert all(text.startswith("B 2T,") for text in universe_texts(tmp_path))


def test_nothing_is_written_where_nothing_changes(tmp_path: Path, folder: DataFolder) -> None:
    """And the modification times stay, also after the ledger was deleted."""
    paths = write_universe(tmp_path, [row("B"), row("A", NUMBER)])
    write_map_file(tmp_path, "a")

    assert run(folder) == ()
    folder.close()
    (tmp_path / ".backtest-server/ledger.sqlite").unlink()
    with closing(DataFolder.open(tmp_path, calendar())) as other:
        assert run(other) == ()

    assert changed(paths) == []
    assert not (tmp_path / ".backtest-server/locks").exists()


def test_a_changed_factor_file_changes_its_rows(tmp_path: Path, folder: DataFolder) -> None:
    """All days are compared again."""
    write_universe(tmp_path, [row("A"), row("B")])
    write_map_file(tmp_path, "a")
    write_factor_file(tmp_path, "a", "0.9", "0.5")
    run(folder)
    write_factor_file(tmp_path, "a", "0.45", "0.25")

    run(folder)

    assert universe_texts(tmp_path) == [row("A", NUMBER, "0.45,0.25") + row("B")] * 5


def test_a_changed_universe_file_is_compared_again(tmp_path: Path, folder: DataFolder) -> None:
    """And no other one."""
    paths = write_universe(tmp_path, [row("A", NUMBER)])
    write_map_file(tmp_path, "a")
    run(folder)
    write_universe(tmp_path, [row("A")], [DAYS[2]])

    assert len(run(folder)) == 1

    assert changed(paths) == ["20131009.csv"]
    assert universe_texts(tmp_path) == [row("A", NUMBER)] * 5


def test_a_renamed_share(tmp_path: Path, folder: DataFolder) -> None:
    """The ticker of the day stays; the identifier is that of the first ticker on all days."""
    write_universe(tmp_path, [row("OLD")], DAYS[:2])
    write_universe(tmp_path, [row("NEW")], DAYS[2:])
    write_map_file(tmp_path, "new", "20100104,old,N", "20131008,old,N", "20501231,new,N")

    run(folder)

    old, new = (f"OLD {NUMBER},{ticker},102,1000,102000,True,1,1\n" for ticker in ("OLD", "NEW"))
    assert universe_texts(tmp_path) == [old, old, new, new, new]


def test_two_holders_of_a_ticker(tmp_path: Path, folder: DataFolder) -> None:
    """As in a recorded run; on the day between them the row stays."""
    write_universe(tmp_path, [row("OLD")])
    write_map_file(tmp_path, "old.1", "20100104,old,N", "20131008,old,N")
    write_map_file(tmp_path, "old", "20131010,old,N", "20501231,old,N")

    run(folder)

    numbers = [NUMBER, NUMBER, "2T", "VKMOPCJHN0PX", "VKMOPCJHN0PX"]
    assert universe_texts(tmp_path) == [row("OLD", number) for number in numbers]


def test_the_days_of_a_range(tmp_path: Path, folder: DataFolder) -> None:
    """A year before the first day for the warm-up, and nothing after the last day."""
    early = FIRST - WARM_UP
    days = [early - timedelta(days=1), early, FIRST - timedelta(days=3), LAST, LAST + timedelta(days=3)]
    paths = write_universe(tmp_path, [row("A")], days)
    write_map_file(tmp_path, "a")

    run(folder)

    assert changed(paths) == [path.name for path in paths[1:4]]
    assert run(folder, date.min, date.max) != ()
    assert len(changed(paths)) == 5


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\x00\xff" * 500, b"A", b",,,,,,,", "A 2T,Ä".encode("utf-16"), b"A 2T,A,1,1\n"]
)
def test_a_file_without_a_row_stays(tmp_path: Path, folder: DataFolder, content: bytes) -> None:
    """Empty, binary or cut short: another file is corrected all the same."""
    first, second = write_universe(tmp_path, [row("A")], DAYS[:2])
    first.write_bytes(content)
    write_map_file(tmp_path, "a")

    assert len(run(folder)) == 1

    assert first.read_bytes() == content
    assert second.read_text() == row("A", NUMBER)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, folder: DataFolder) -> None:
    """A folder in its place; a link to nothing is no file."""
    write_universe(tmp_path, [row("A")], DAYS[:1])
    for day in DAYS[1:]:
        universe_path(tmp_path, day).mkdir()
    universe_path(tmp_path, date(2013, 10, 4)).symlink_to(tmp_path / "nothing")
    write_map_file(tmp_path, "a")

    _, notice = run(folder)

    assert notice == (
        "universe files that cannot be read: 2013-10-08 (Is a directory), 2013-10-09 (Is a directory), "
        "2013-10-10 (Is a directory) and 1 more; LEAN cannot read them either"
    )


def test_the_target_of_a_link_is_written(tmp_path: Path, folder: DataFolder) -> None:
    """The link stays."""
    (target,) = write_universe(tmp_path / "elsewhere", [row("A")], DAYS[:1])
    path = universe_path(tmp_path, DAYS[0])
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    write_map_file(tmp_path, "a")

    run(folder)

    assert path.is_symlink()
    assert target.read_text() == row("A", NUMBER)


def test_a_run_that_dies_leaves_whole_files(
    tmp_path: Path, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are corrected and some are not; the next run corrects the others and removes what is left over."""
    write_universe(tmp_path, [row("A")])
    write_map_file(tmp_path, "a")
    synced: list[str] = []

    def die(path: str) -> None:
        synced.append(path)
        if len(synced) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("server.data_download.files.sync_folder", die)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    monkeypatch.undo()
    assert universe_texts(tmp_path) == [row("A", NUMBER)] * 3 + [row("A")] * 2
    write(tmp_path / COARSE / ".universe~1-0.part", "half")

    (notice,) = run(folder)

    assert notice.startswith("corrected 2 rows of 2 universe files")
    assert universe_texts(tmp_path) == [row("A", NUMBER)] * 5


def test_a_cancelled_run_stops_between_files(tmp_path: Path, folder: DataFolder) -> None:
    """Nothing is changed by one that was cancelled before."""
    write_universe(tmp_path, [row("A")])
    write_map_file(tmp_path, "a")
    cancel = CancelToken()
    cancel.cancel()

    with pytest.raises(Cancelled):
        make_universe_files_consistent(folder, FIRST, LAST, cancel=cancel)

    assert universe_texts(tmp_path) == [row("A")] * 5


class CancelledByWait(CancelToken):
    """Cancelled as soon as it is waited for."""

    def wait(self, seconds: float) -> bool:
        """Cancel instead of waiting."""
        self.cancel()
        return True


def test_the_lock_of_another_process_is_waited_for(tmp_path: Path, folder: DataFolder) -> None:
    """Only where a file is to be written; a cancel ends the wait."""
    write_universe(tmp_path, [row("A")])
    with closing(DataFolder.open(tmp_path, calendar())) as other, other.locks.take_universe() as held:
        assert held
        assert run(folder) == ()
        write_map_file(tmp_path, "a")
        with pytest.raises(Cancelled, match="another process"):
            make_universe_files_consistent(folder, FIRST, LAST, cancel=CancelledByWait())
        assert universe_texts(tmp_path) == [row("A")] * 5

    assert len(run(folder)) == 1


class WrittenWhileWaiting(CancelToken):
    """Another process corrects the files while the lock is waited for."""

    def __init__(self, root: Path, held: Iterator[bool]) -> None:
        super().__init__()
        self.root = root
        self.held = held

    def wait(self, seconds: float) -> bool:
        """Write as the other process, and release its lock."""
        write_universe(self.root, [row("A", NUMBER)])
        next(self.held, None)
        return False


def test_what_another_process_corrected_is_not_written_again(tmp_path: Path, folder: DataFolder) -> None:
    """Files are read again once the lock is held."""
    paths = write_universe(tmp_path, [row("A")])
    write_map_file(tmp_path, "a")

    def other_process() -> Iterator[bool]:
        with closing(DataFolder.open(tmp_path, calendar())) as other, other.locks.take_universe() as held:
            yield held

    held = other_process()
    assert next(held)

    assert make_universe_files_consistent(folder, FIRST, LAST, cancel=WrittenWhileWaiting(tmp_path, held)) == ()

    assert changed(paths) == []


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the file and what to do; the file is unchanged, and a later run corrects it."""
    write_universe(tmp_path, [row("A")])
    write_map_file(tmp_path, "a")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("server.data_download.files.os.fsync", full)
        with pytest.raises(WriteFailedError) as caught:
            run(folder)
    assert str(caught.value) == (
        f"the universe file of 2013-10-07 could not be written to {universe_path(tmp_path, DAYS[0])}: the disk is "
        "full; free some space and run again"
    )
    assert caught.value.symbol is None
    assert universe_texts(tmp_path) == [row("A")] * 5

    assert len(run(folder)) == 1
