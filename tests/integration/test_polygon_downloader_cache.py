"""Downloads whose responses are cached, and state files that are damaged."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.lean.series import Resolution
from server.plugins.polygon_provider import fetch_run
from tests.support import faults
from tests.support.harness import Rig, csv_of, lean_files, lose_files, sessions
from tests.support.market import Market
from tests.support.polygon_downloads import DAILY, DAYS, MARKET, MINUTE, SECOND, Serve
from tests.support.reports import counted


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_what_was_answered_is_not_asked_again(polygon_server: Serve, tmp_path: Path, resolution: Resolution) -> None:
    """Files that were lost come back from the HTTP cache: no request, the same bytes."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS, resolution)
    lose_files(rig)
    server.reset()

    report = rig.download("SPY", DAYS, resolution)

    assert counted(report) == (0, 8, 0, 0)
    assert (report.api_calls, report.http_cache_hits, report.bytes_fetched) == (0, 1, 0)
    assert server.requests == []
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, resolution)


def test_all_pages_of_an_answer_are_kept(polygon_server: Serve, tmp_path: Path) -> None:
    """Two pages, two hits."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600))
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[:1], SECOND)
    lose_files(rig)

    report = rig.download("SPY", DAYS[:1], SECOND)

    assert (report.api_calls, report.http_cache_hits) == (0, 2)


def test_cached_responses_serve_a_user_with_another_key(polygon_server: Serve, tmp_path: Path) -> None:
    """What is kept is found by its address alone."""
    server = polygon_server(MARKET)
    Rig(tmp_path, server.url).download("SPY", DAYS)
    rig = Rig(tmp_path, server.url, key="another")
    lose_files(rig)

    assert rig.download("SPY", DAYS).http_cache_hits == 1


def spoil_answers(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change what the HTTP cache holds of each answer."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, value FROM responses").fetchall()
        assert rows
        for key, value in rows:
            connection.execute("UPDATE responses SET value = ? WHERE key = ?", (change(bytes(value)), key))
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda value: b"rubbish",
        lambda value: value[: len(value) // 2],
        lambda value: value[: len(value) // 2] + bytes([value[len(value) // 2] ^ 255]) + value[len(value) // 2 + 1 :],
        lambda value: b"",
    ],
    ids=["rubbish", "cut", "flipped", "empty"],
)
def test_a_damaged_response_in_the_cache_is_requested_again(
    polygon_server: Serve, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """One request, the right files, and the next time it is in the cache again."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    spoil_answers(rig.cache_path, change)
    lose_files(rig)

    assert counted(rig.download("SPY", DAYS)) == (0, 8, 0, 0)
    assert len(server.requests) == 2
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)

    lose_files(rig)
    assert rig.download("SPY", DAYS).api_calls == 0


def cut_file(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rubbish_file(path: Path) -> None:
    """Write something else into a file."""
    path.write_bytes(b"this is no database at all" * 200)


def holed_file(path: Path) -> None:
    """Overwrite all but the first page of a database."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + random.Random(1).randbytes(len(content) - 4096))


DAMAGES = pytest.mark.parametrize("damage", [cut_file, rubbish_file, holed_file])


@DAMAGES
def test_a_damaged_http_cache_is_created_again(
    polygon_server: Serve, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The download goes on as if there were none; the run after it has a sound one."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    rig.download("BRK.B", DAYS)
    damage(rig.cache_path)
    lose_files(rig)

    assert counted(rig.download("SPY", DAYS)) == (0, 8, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)

    lose_files(rig)
    assert rig.download("SPY", DAYS).complete
    lose_files(rig)
    assert rig.download("SPY", DAYS).api_calls == 0


@DAMAGES
def test_a_damaged_ledger_is_created_again(
    polygon_server: Serve, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The files are looked at again and found present; nothing is asked for, nothing lost."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    long = sessions(date(2023, 1, 3), 200)
    rig.download("NONE", long)
    rig.download("SPY", DAYS)
    before = rig.csv()
    server.reset()
    damage(rig.ledger_path)

    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)
    assert server.requests == []
    assert rig.csv() == before
    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)


def test_a_state_folder_that_cannot_be_made_only_costs_time(polygon_server: Serve, tmp_path: Path) -> None:
    """Where a file is in its place the run says so and writes nothing."""
    from server.core.errors import WriteFailedError

    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.data.mkdir()
    rig.state.write_bytes(b"a file of the user's")

    with pytest.raises(WriteFailedError, match="a file is in the place of a folder"):
        rig.download("SPY", DAYS)
    assert rig.state.read_bytes() == b"a file of the user's"
    assert server.requests == []


# --- responses of a run that was cut off ---

LONG = sessions(date(2023, 9, 1), 60)
LONG_MARKET = Market.synthetic(["SPY", "AAPL"], LONG, "minute", bars_per_day=5)


def test_the_rest_of_an_answer_is_taken_from_it(polygon_server: Serve, tmp_path: Path) -> None:
    """Also where the days that are missing would be asked for in other windows now."""
    server = polygon_server(LONG_MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download(["SPY", "AAPL"], LONG)
    whole, sent = csv_of(rig.data), len(server.requests)
    for number, path in enumerate(sorted((rig.data / "equity").rglob("*.zip"))):
        if number % 7 < 3:
            path.unlink()

    report = rig.download(["SPY", "AAPL"], LONG)

    assert (report.api_calls, len(server.requests)) == (0, sent)
    assert report.http_cache_hits == sent
    assert 40 < report.days_downloaded < 60
    assert csv_of(rig.data) == whole


def test_days_that_no_answer_covers_are_fetched_beside(polygon_server: Serve, tmp_path: Path) -> None:
    """And only those."""
    server = polygon_server(LONG_MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", LONG[10:30])
    for path in (rig.data / "equity").rglob("*.zip"):
        path.unlink()
    server.requests.clear()

    report = rig.download("SPY", LONG)

    asked = {
        day
        for request in server.requests
        if request.window
        for day in LONG
        if request.window[2] <= day.isoformat() <= request.window[3]
    }
    assert asked == {*LONG[:10], *LONG[30:]}
    assert report.days_downloaded == 60
    assert csv_of(rig.data) == lean_files(LONG_MARKET, "SPY", LONG, Resolution.MINUTE)


def test_an_answer_is_kept_before_it_is_worked_on(
    polygon_server: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends while answers wait to be worked on has them the next time."""
    server = polygon_server(LONG_MARKET)
    rig = Rig(tmp_path, server.url)

    def end(*step: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(fetch_run, "read_response", end)
        (failure,) = rig.download("SPY", LONG[:5]).failures
    sent = len(server.requests)

    report = rig.download("SPY", LONG[:5])

    assert failure.code == "provider_failed"
    assert (sent, len(server.requests)) == (1, 1)
    assert (report.api_calls, report.http_cache_hits, report.days_downloaded) == (0, 1, 5)


def test_an_answer_that_is_not_believed_is_not_kept(polygon_server: Serve, tmp_path: Path) -> None:
    """The next run requests it again."""
    server = polygon_server(LONG_MARKET, faults=[faults.adjusted(), faults.adjusted()])
    rig = Rig(tmp_path, server.url)

    assert rig.download("SPY", LONG[:5]).days_failed == 5
    report = rig.download("SPY", LONG[:5])

    assert (report.api_calls, report.http_cache_hits, report.days_downloaded) == (1, 0, 5)
