"""Files appear whole or not at all, whatever the operating system refuses."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import WriteFailedError
from server.data_download import files
from server.data_download.data_folder import DataFolder
from server.lean.series import Resolution, Series
from tests.support.data_folder import DAILY, DAYS, MINUTE, daily, minutes, on_disk, path_of
from tests.support.harness import csv_of, leftovers


def test_a_new_file_takes_the_place_of_the_old_one(folder: DataFolder) -> None:
    """Whole."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0], 20_000).csv]


def test_a_temporary_name_is_none_that_lean_lists(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the same folder and ends in neither .csv nor .zip."""
    seen: list[Path] = []
    real = os.replace

    def watch(source: Any, target: Any) -> None:
        seen.append(Path(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", watch)
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    (temporary,) = seen
    assert temporary.parent == path_of(folder, DAYS[0]).parent
    assert temporary.suffix not in (".zip", ".csv")


def test_files_are_as_readable_as_the_user_wants(folder: DataFolder) -> None:
    """LEAN's container may run as another user: the usual mask decides."""
    mask = os.umask(0o022)
    os.umask(mask)
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert stat.S_IMODE(path_of(folder, DAYS[0]).stat().st_mode) == 0o666 & ~mask


def failing(name: str, number: int, *, after: int = 0) -> Callable[[pytest.MonkeyPatch], None]:
    """Make a call of the operating system fail with this error, after this many calls that work."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(os, name)
        calls = iter(range(10_000))

        def fail(*args: Any, **kwargs: Any) -> Any:
            if next(calls) >= after:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        monkeypatch.setattr(files.os, name, fail)

    return patch


FAULTS = [
    ("write", errno.ENOSPC, "the disk is full; free some space"),
    ("write", errno.EDQUOT, "the disk quota is used up"),
    ("write", errno.EIO, "Input/output error; check the disk"),
    ("fsync", errno.ENOSPC, "the disk is full; free some space"),
    ("fsync", errno.EIO, "Input/output error; check the disk"),
    ("replace", errno.EACCES, "you may not write there"),
    ("replace", errno.EROFS, "the file system is read-only"),
    ("open", errno.EROFS, "the file system is read-only"),
    ("open", errno.EMFILE, r"Too many open files; raise the limit of this process \(ulimit -n\)"),
    ("read", errno.EIO, "Input/output error; check the disk"),
]


@pytest.mark.parametrize(("call", "number", "advice"), FAULTS)
@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_a_failed_write_leaves_the_old_file_whole(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str, resolution: Resolution
) -> None:
    """No leftovers; the message names symbol, resolution and path and says what to do; the next try works."""
    text = daily if resolution is DAILY else minutes
    folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0])])
    before = csv_of(folder.path)

    with monkeypatch.context() as patch:
        failing(call, number)(patch)
        with pytest.raises(WriteFailedError, match=advice) as caught:
            folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0], 20_000)])

    message = str(caught.value)
    assert message.startswith(f"SPY {resolution.value} could not be written to {folder.path}")
    assert "\n" not in message
    assert caught.value.symbol == "SPY"
    assert csv_of(folder.path) == before
    assert leftovers(folder.path) == []
    folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0], 20_000)])
    assert csv_of(folder.path) != before


def test_of_several_days_those_before_the_failure_stay(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them whole; the next look finds them."""
    with monkeypatch.context() as patch:
        failing("replace", errno.ENOSPC, after=2)(patch)
        with pytest.raises(WriteFailedError):
            folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS])

    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


def test_a_short_write_is_gone_on_with(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda file, data: real(file, bytes(data)[:7]))
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]


def test_what_reads_back_differently_is_not_put_in_place(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not what was written is reported, and the old file stays."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    real = os.read
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "read", lambda file, size: real(file, size)[:-1] + b"!")
        with pytest.raises(WriteFailedError, match="reads back differently"):
            folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]
    assert leftovers(folder.path) == []


def test_an_interrupt_in_the_middle_leaves_nothing(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a write: the temporary file goes."""

    def interrupted(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert leftovers(folder.path) == []
    assert csv_of(folder.path) == {}


def test_a_batch_that_does_not_fit_is_written_file_after_file(tmp_path: Path) -> None:
    """With four descriptors left, 30 files are written, and nothing else is left behind."""
    zips = [files.ZipToWrite(f"{day}_trade.zip", f"{day}.csv", b"34200000,1,1,1,1,1") for day in range(30)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(tmp_path, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 4, before[1]))
    try:
        marks = files.put_zips(str(tmp_path), ".spy~", zips)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert [size for size, _ in marks] == [(tmp_path / item.name).stat().st_size for item in zips]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(item.name for item in zips)
