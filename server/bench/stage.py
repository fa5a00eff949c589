"""What a run finds: the folder that it begins with, and the kill that it may have to survive."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby
from pathlib import Path

import msgspec
from attrs import frozen

from server.bench.job import Job, Ran
from server.bench.processes import environment, python
from server.bench.scenarios import Kind
from server.core.errors import BacktestServerError
from server.core.secret import Secret, mask_secrets

_LOOK_SECONDS = 0.002
_KILL_TRIES = 5


class RunFailed(BacktestServerError):  # noqa: N818 - named after what is wrong
    """A contender's run came to nothing."""


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """An empty folder on a real disk, since syncing to one in memory costs nothing; removed afterwards.

    Args:
        beside: Where it goes if the folder for temporary files is in memory.
    """
    home = Path(tempfile.gettempdir())
    if _in_memory(home):
        home = beside
    with tempfile.TemporaryDirectory(prefix=".backtest-server-bench-", dir=home) as folder:
        yield Path(folder)


def _in_memory(path: Path) -> bool:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.read_text().splitlines())}
    nearest = next(kinds[str(p)] for p in (path.resolve(), *path.resolve().parents) if str(p) in kinds)
    return nearest in ("tmpfs", "ramfs")


def run_child(job: Job) -> Ran:
    """Run a contender in a process of its own, to its end.

    Raises:
        RunFailed: It failed; the text is the last thing it said, without the key.
    """
    command = python("server.bench.child")
    done = subprocess.run(command, input=msgspec.json.encode(job), capture_output=True, env=environment())
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunFailed(mask_secrets(said[-1][:300], [Secret(job.key)]))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Ran)


def kill_half_way(job: Job, files: int) -> int:
    """Run a contender and kill it (SIGKILL) once half of its files are there. Returns how many there were then.

    Raises:
        RunFailed: It was over each time before it could be killed, or it failed.
    """
    for _ in range(_KILL_TRIES):
        _out_of_the_way(job.path)
        job.path.mkdir()
        with subprocess.Popen(
            python("server.bench.child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.write(msgspec.json.encode(job))
            process.stdin.close()
            try:
                while process.poll() is None and _zips(job.path) < files / 2:
                    time.sleep(_LOOK_SECONDS)
            finally:
                process.kill()
            if process.wait() < 0:
                return _zips(job.path)
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            if process.returncode:
                said = process.stderr.read().decode(errors="replace").strip().splitlines() or ["nothing"]
                raise RunFailed(mask_secrets(said[-1][:300], [Secret(job.key)]))
    raise RunFailed(f"its run was over {_KILL_TRIES} times before it could be killed half way")


def _out_of_the_way(folder: Path) -> None:
    """Move a folder aside, to be removed with everything else at the end.

    ext4 looks a while for an inode where many were given up in the last minutes (``recently_deleted`` in its
    ialloc.c): files made after a removal would take twenty times as long as a user's do.
    """
    if folder.is_dir():
        folder.rename(Path(tempfile.mkdtemp(prefix="gone-", dir=folder.parent)) / folder.name)


def _zips(folder: Path) -> int:
    return sum(1 for _ in (folder / "equity").rglob("*.zip"))


@frozen
class Stage:
    """Makes the folder of a run, of a contender that looks at what is there first.

    Attributes:
        home: An empty folder of the contender's own.
        fill: Fetches everything into the folder of this path.
    """

    kind: Kind
    home: Path
    days: Sequence[date]
    fill: Callable[[Path], object]

    def ready(self, *, remembers: bool) -> Path:
        """The folder of the next run. Those that remember nothing get an empty one: they fetch everything anyway."""
        data, filled = self.home / "data", self.home / "filled"
        if self.kind is Kind.PRESENT and remembers and data.is_dir():
            return data  # a run that finds everything there changes nothing
        _out_of_the_way(data)
        if not remembers or self.kind not in (Kind.WARM_CACHE, Kind.PRESENT, Kind.GAPS):
            data.mkdir(parents=True)
            return data
        if not filled.is_dir():
            filled.mkdir(parents=True)
            self.fill(filled)
        if self.kind is Kind.PRESENT:
            filled.rename(data)
            return data
        cache = "http-cache.*" if self.kind is Kind.GAPS else ""
        shutil.copytree(filled, data, ignore=shutil.ignore_patterns(cache))
        if self.kind is Kind.WARM_CACHE:
            _out_of_the_way(data / "equity")
        else:
            missing = {f"{next(days):%Y%m%d}" for _, days in groupby(self.days, lambda day: (day.year, day.month))}
            for path in (data / "equity").rglob("*.zip"):
                if path.name[:8] in missing:
                    path.unlink()
        return data
