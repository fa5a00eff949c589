"""The request budget: a sliding window shared by processes, and what happens to a file that cannot be used."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import Cancelled
from server.plugins.polygon_provider import budget as budget_module
from server.plugins.polygon_provider.budget import RequestBudget, concurrency_limit
from tests.support.harness import FakeTime

OpenBudget = Callable[..., RequestBudget]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """The budget's clock, which only waits advance."""
    made = FakeTime()
    monkeypatch.setattr(budget_module, "time", made)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that budgets share."""
    return tmp_path / "state" / "requests.sqlite"


@pytest.fixture
def open_budget(path: Path, clock: FakeTime) -> Iterator[OpenBudget]:
    """``open_budget(5)``: a budget of five requests per minute over the shared file; no warning is expected."""
    with ExitStack() as opened:

        def make(per_minute: int | None, **options: Any) -> RequestBudget:
            defaults = {"pause": clock.pause, "waiting": lambda seconds: None, "warn": pytest.fail}
            return opened.enter_context(closing(RequestBudget(path, per_minute, **(defaults | options))))

        yield make


def instants(path: Path) -> list[int]:
    """The requests that the file has, in milliseconds since 1970."""
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute("SELECT item_timestamp FROM requests ORDER BY 1")]


def insert(path: Path, *milliseconds: int) -> None:
    """Add requests to the file, as another process would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO requests (item_timestamp) VALUES (?)", [(value,) for value in milliseconds])


def milliseconds(clock: FakeTime) -> int:
    """The clock's instant."""
    return clock.time_ns() // 1_000_000


@pytest.mark.parametrize("per_minute", [1, 5, 60])
def test_any_minute_has_at_most_the_budget(open_budget: OpenBudget, clock: FakeTime, per_minute: int) -> None:
    """No 60 seconds contain more requests, and no request waits longer than necessary."""
    budget = open_budget(per_minute)
    sent = []
    for _ in range(3 * per_minute + 1):
        budget.acquire()
        sent.append(clock.monotonic())

    assert all(late - early >= 60 for early, late in zip(sent, sent[per_minute:], strict=False))
    assert sent[-1] < 3 * 61


def test_a_wait_ends_with_the_oldest_requests_minute(open_budget: OpenBudget, clock: FakeTime) -> None:
    """Requests 20 s apart: the third waits 40 s, and each wait is reported before it begins."""
    reported: list[float] = []
    budget = open_budget(2, waiting=reported.append)
    budget.acquire()
    clock.pause(20)
    budget.acquire()
    clock.waits.clear()
    budget.acquire()

    assert clock.waits == reported == [pytest.approx(40, abs=0.1)]


def test_short_waits_are_waited_too(open_budget: OpenBudget, clock: FakeTime) -> None:
    """Half a second that is left of the minute, and a pause after a 429."""
    budget = open_budget(1)
    budget.acquire()
    clock.pause(59.5)
    clock.waits.clear()
    budget.acquire()
    assert clock.waits == [pytest.approx(0.55, abs=0.01)]

    unlimited = open_budget(None)
    unlimited.hold(0.5)
    clock.waits.clear()
    unlimited.acquire()
    assert clock.waits == [pytest.approx(0.5, abs=0.01)]


def test_budgets_share_a_file(open_budget: OpenBudget, clock: FakeTime) -> None:
    """Two budgets of two requests allow two together."""
    one, other = open_budget(2), open_budget(2)
    one.acquire()
    other.acquire()
    assert clock.waits == []

    other.acquire()
    assert 60 <= sum(clock.waits) < 62


def test_a_larger_budget_counts_the_requests_of_a_smaller_one(open_budget: OpenBudget, clock: FakeTime) -> None:
    """And the other way round: more requests than the smaller budget allows make it wait until fewer are left."""
    large, small = open_budget(4), open_budget(1)
    for _ in range(4):
        large.acquire()
        clock.pause(5)
    clock.waits.clear()
    small.acquire()

    assert sum(clock.waits) == pytest.approx(55, abs=0.1)  # the last of the four was sent 5 s ago


def test_requests_in_the_file_count_after_a_restart(open_budget: OpenBudget, clock: FakeTime) -> None:
    """A process that ended is counted for a minute."""
    open_budget(1).acquire()
    clock.pause(45)
    clock.waits.clear()
    open_budget(1).acquire()

    assert sum(clock.waits) == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize("ahead", [1_000, 59_000, 86_400_000])
def test_requests_in_the_future_do_not_count(open_budget: OpenBudget, path: Path, clock: FakeTime, ahead: int) -> None:
    """A clock that was ahead and then corrected makes nothing wait, and no wait exceeds the window."""
    budget = open_budget(1)
    insert(path, milliseconds(clock) + ahead)
    budget.acquire()
    assert clock.waits == []

    budget.acquire()
    assert all(wait <= 60.05 for wait in clock.waits)


def test_old_requests_are_removed(open_budget: OpenBudget, path: Path, clock: FakeTime) -> None:
    """The file does not grow."""
    budget = open_budget(5)
    now = milliseconds(clock)
    insert(path, now - 86_400_000, now - 61_000, now + 86_400_000)
    budget.acquire()

    assert instants(path) == [now]


def test_a_file_of_an_earlier_version_is_used(open_budget: OpenBudget, path: Path, clock: FakeTime) -> None:
    """Its table has one column more; its requests count."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE requests (name VARCHAR, item_timestamp INTEGER)")
        connection.execute("INSERT INTO requests VALUES ('polygon', ?)", (milliseconds(clock) - 10_000,))
    open_budget(1).acquire()

    assert sum(clock.waits) == pytest.approx(50, abs=0.1)


def test_without_a_limit_nothing_waits(open_budget: OpenBudget, clock: FakeTime, tmp_path: Path) -> None:
    """And no file is created."""
    budget = open_budget(None)
    for _ in range(100):
        budget.acquire()

    assert clock.waits == []
    assert list(tmp_path.iterdir()) == []


def test_a_limit_can_be_set_later(open_budget: OpenBudget, clock: FakeTime) -> None:
    """After two answers of 429, for example."""
    budget = open_budget(None)
    budget.acquire()
    budget.limit(1)
    budget.acquire()
    assert clock.waits == []

    budget.acquire()
    assert 60 <= sum(clock.waits) < 62
    assert budget.per_minute == 1


def test_a_pause_holds_all_requests(open_budget: OpenBudget, clock: FakeTime) -> None:
    """The longest pause counts; only the first of several at once is reported as new."""
    budget = open_budget(None)
    assert budget.hold(3)
    assert not budget.hold(7)
    assert not budget.hold(5)
    budget.acquire()

    assert clock.waits == [7]
    assert budget.hold(1)


def test_a_cancelled_wait_sends_nothing(open_budget: OpenBudget, path: Path) -> None:
    """The request that was not sent is not counted."""
    budget = open_budget(1, pause=lambda seconds: True)
    budget.acquire()
    with pytest.raises(Cancelled, match=r"^cancelled while waiting for the request budget$"):
        budget.acquire()

    assert len(instants(path)) == 1


def test_a_closed_budget_cancels(open_budget: OpenBudget) -> None:
    """Threads that a cancelled run left behind end with an error of ours."""
    budget = open_budget(5)
    budget.close()
    budget.close()

    with pytest.raises(Cancelled, match=r"^cancelled before the request budget allowed another request$"):
        budget.acquire()


def test_a_closed_budget_opens_no_file(open_budget: OpenBudget, path: Path) -> None:
    """A thread that a cancelled run left behind may still set a limit."""
    budget = open_budget(None)
    budget.close()
    budget.limit(5)

    assert not path.exists()


def test_the_file_has_a_version(open_budget: OpenBudget, path: Path) -> None:
    """So that a later program knows what it reads."""
    open_budget(5).acquire()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_budget_may_be_closed_while_threads_wait_for_it(open_budget: OpenBudget) -> None:
    """Each of them is cancelled; none uses the closed file."""
    waiting, closed = threading.Barrier(9), threading.Event()

    def pause(seconds: float) -> bool:
        waiting.wait(10)
        closed.wait(10)
        return False

    budget = open_budget(1, pause=pause)
    budget.acquire()
    outcomes: list[type[BaseException] | None] = []

    def run() -> None:
        try:
            budget.acquire()
            outcomes.append(None)
        except BaseException as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    waiting.wait(10)
    budget.close()
    closed.set()
    for thread in threads:
        thread.join(10)

    assert outcomes == [Cancelled] * 8


@pytest.mark.parametrize("content", [b"this is not a database" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_replaced(open_budget: OpenBudget, path: Path, clock: FakeTime, content: bytes) -> None:
    """With a warning that names it; the new file is shared again."""
    path.parent.mkdir()
    path.write_bytes(content)
    warned: list[str] = []
    open_budget(1, warn=warned.append).acquire()
    open_budget(1).acquire()

    (message,) = warned
    assert message.startswith(f"{path} is damaged (file is not a database)")
    assert [file.read_bytes() for file in path.parent.glob("requests.sqlite.damaged-*")] == [content]
    assert 60 <= sum(clock.waits) < 62


def test_damage_during_a_run_is_survived(open_budget: OpenBudget, path: Path, clock: FakeTime) -> None:
    """The file is overwritten while it is open: a warning, and an empty file from then on."""
    warned: list[str] = []
    budget = open_budget(2, warn=warned.append)
    budget.acquire()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"\xa5" * path.stat().st_size)
    budget.acquire()
    budget.acquire()

    (message,) = warned
    assert message.startswith(f"{path} is damaged (")
    assert "None" not in message
    assert clock.waits == []
    budget.acquire()
    assert 60 <= sum(clock.waits) < 62
    assert len(list(path.parent.glob("requests.sqlite.damaged-*[0-9]Z"))) == 1


def test_a_table_with_other_columns_gives_way_to_memory(open_budget: OpenBudget, path: Path, clock: FakeTime) -> None:
    """An error that is no damage is a warning too, and the limit still holds within the run."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE requests (something TEXT)")
    warned: list[str] = []
    budget = open_budget(1, warn=warned.append)
    budget.acquire()
    budget.acquire()

    (message,) = warned
    assert message == (
        f"the request budget {path} cannot be used (no such column: item_timestamp); "
        "requests of other processes are not counted in this run"
    )
    assert 60 <= sum(clock.waits) < 62


def test_a_folder_that_cannot_be_used_gives_way_to_memory(open_budget: OpenBudget, path: Path, clock: FakeTime) -> None:
    """The run goes on with a warning and its own count."""
    path.parent.write_bytes(b"a file")
    warned: list[str] = []
    budget = open_budget(1, warn=warned.append)
    budget.acquire()
    budget.acquire()

    (message,) = warned
    assert message.startswith(f"the request budget {path} cannot be used ([Errno ")
    assert message.endswith("); requests of other processes are not counted in this run")
    assert 60 <= sum(clock.waits) < 62


def test_a_locked_file_gives_way_to_memory(
    open_budget: OpenBudget, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that keeps the write lock does not stop a run."""
    monkeypatch.setattr(budget_module, "BUSY_SECONDS", 0.0)
    warned: list[str] = []
    budget = open_budget(1, warn=warned.append)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        budget.acquire()

    (message,) = warned
    assert "cannot be used (database is locked)" in message


# --- requests in flight ---


def test_the_concurrency_limit_is_five() -> None:
    """A sixth request waits, and is cancelled with its run; errors release their part."""
    for _ in range(7):
        with pytest.raises(ZeroDivisionError), concurrency_limit(lambda: False):
            raise ZeroDivisionError
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(concurrency_limit(lambda: False))
        with pytest.raises(Cancelled):
            held.enter_context(concurrency_limit(lambda: True))
    with pytest.raises(Cancelled):
        held.enter_context(concurrency_limit(lambda: True))
