"""What the check before a backtest finds: the engine's recorded answers, and each kind of damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.backtest.data_check import DataRequest, check_data
from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.json import to_json
from server.data_download.data_folder import DataFolder
from server.lean.layout import FACTOR_FILES, MAP_FILES, layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from tests.support.check_rig import check, opened, path_of, put, zipped
from tests.support.harness import calendar, sessions
from tests.support.lean_feed import Question, questions
from tests.support.scripted_provider import bars_on

pytestmark = pytest.mark.damaged_zips

DAYS = sessions(date(2024, 3, 4), 5)
MINUTE, HOUR, DAILY = Resolution.MINUTE, Resolution.HOUR, Resolution.DAILY
SPY_MINUTE, SPY_DAILY = Series("SPY", MINUTE), Series("SPY", DAILY)
MINUTES = [f"{34_200_000 + 60_000 * row},10000,10000,10000,10000,100" for row in range(4)]
ROWS = [f"{day:%Y%m%d} 00:00,10000,10000,10000,10000,100" for day in DAYS]
LISTED = "19980102,spy\n20501231,spy\n"

FOUND_IN_QUESTIONS: dict[str, list[tuple[str, str, list[str], int]]] = {
    "daily-bad-row": [("damage", "unreadable_rows", ["2013-10-09", "2013-10-10"], 2)],
    "daily-on-a-holiday": [("notice", "closed_day", ["2013-11-28"], 1)],
    "daily-out-of-order": [("notice", "rows_out_of_order", ["2013-10-08"], 1)],
    "daily-repeated": [("notice", "repeated_rows", [], 0)],
    "delisted": [("damage", "map_file_ends", ["2013-10-10", "2013-10-11"], 0)],
    "events-dated-on-a-weekend": [("damage", "event_on_closed_day", ["2013-10-12"], 0)],
    "events-without-a-reference-price": [
        ("damage", "no_reference_price", ["2013-10-09", "2013-10-10", "2013-10-11"], 0)
    ],
    "factor-file-begins-late-minute": [("damage", "factor_file_begins_late", ["2013-10-07"], 0)],
    "factor-file-with-a-bad-line": [("damage", "unreadable_line", [], 0)],
    "hole-daily": [("notice", "missing_days", ["2013-10-08"], 0)],
    "map-file-begins-late": [("damage", "map_file_begins_late", ["2013-10-07"], 0)],
    "map-file-garbage": [("damage", "unreadable_line", [], 0)],
    "map-file-of-one-row": [
        ("damage", "map_file_begins_late", [f"2013-10-{day:02d}" for day in (7, 8, 9, 10, 11)], 0),
    ],
    "map-file-without-a-last-row": [
        ("damage", "map_file_ends", [f"2013-10-{day:02d}" for day in (7, 8, 9, 10, 11)], 0),
    ],
    "minute-bad-row": [("damage", "unreadable_rows", ["2013-10-07"], 3)],
    "minute-header": [("notice", "other_lines", ["2013-10-07"], 0)],
    "minute-odd-columns": [
        ("damage", "unreadable_rows", ["2013-10-07"], 4),
        ("notice", "other_lines", ["2013-10-07"], 0),
    ],
    "older-holder-asked-early": [],
    "reused-ticker-asked-early": [("damage", "map_file_begins_late", ["2013-10-07", "2013-10-08"], 0)],
}
"""What each recorded question has; the others have nothing. Days are those of which the engine fed no bar or event."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with a map and a factor file folder, and a map file."""
    put(tmp_path, {f"{MAP_FILES}/spy.csv": LISTED})
    with opened(tmp_path) as found:
        yield found


@pytest.mark.parametrize(("name", "question"), questions().items())
def test_recorded_questions(tmp_path: Path, name: str, question: Question) -> None:
    """What the engine did not feed, or not as it is, has its cause; what it fed whole has none."""
    put(tmp_path, question.files)
    request = question.request
    days = calendar().trading_days(request.start, request.end)

    with opened(tmp_path) as folder:
        found = check(folder, question.symbols, question.resolution, days)
        again = check(folder, question.symbols, question.resolution, days)

    kinds = [
        (one.severity, one.kind, [str(day) for day in one.days], one.rows)
        for one in found.findings
        if one.kind != "missing_days" or name == "hole-daily"
    ]
    assert kinds == FOUND_IN_QUESTIONS.get(name, [])
    assert again == found


def test_a_finding_in_json(folder: DataFolder) -> None:
    """Paths are relative to the data folder, and it has the symbol of the request."""
    put(folder.path, {path_of(SPY_DAILY): {"spy.csv": "\n".join([*ROWS[:2], "garbage", *ROWS[3:]])}})

    found = to_json(check(folder, ["SPY"], DAILY, DAYS))

    assert found == {
        "files": 1,
        "findings": [
            {
                "symbol": "SPY",
                "path": "equity/usa/daily/spy.zip",
                "kind": "unreadable_rows",
                "severity": "damage",
                "days": ["2024-03-06", "2024-03-07"],
                "rows": 2,
                "message": "row 3 cannot be read: 'garbage'; because of it LEAN does not read 1 other row",
                "loses": True,
                "optional": False,
            }
        ],
    }


@pytest.mark.parametrize(
    ("content", "kind", "rows"),
    [
        (b"", "empty_zip", 0),
        (zipped(), "empty_zip", 0),
        (b"rubbish" * 9, "cut_short_zip", 0),
        (zip_bytes("20240304_spy_minute_trade.csv", "\n".join(MINUTES).encode())[:-9], "cut_short_zip", 4),
        (zipped(("20240304_spy_minute_trade.csv", "")), "empty_member", 0),
        (zipped(("20240304_spy_minute_trade.csv", "\n\n")), "empty_member", 0),
        (zipped(("a.csv", ""), ("20240304_spy_minute_trade.csv", MINUTES[0])), "foreign_member", 1),
        (zipped(("__MACOSX/._a", "\0\5"), ("20240304_spy_minute_trade.csv", MINUTES[0])), "foreign_member", 1),
        (zipped(("20240304_spy_minute_trade.csv", "garbage")), "unreadable_rows", 0),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join([*MINUTES[:2], "x", *MINUTES[2:]]))), "unreadable_rows", 3),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join([*MINUTES[:2], "", *MINUTES[2:]]))), "other_lines", 2),
    ],
)
def test_damage_of_a_minute_file(folder: DataFolder, content: bytes, kind: str, rows: int) -> None:
    """LEAN loses the day, or what follows a row or line: the day and the number of rows that are known of it."""
    put(folder.path, {path_of(SPY_MINUTE, DAYS[0]): content})

    (one, *others) = check(folder, ["SPY"], MINUTE, DAYS).findings

    assert (one.severity, one.kind, one.days, one.rows, one.loses) == ("damage", kind, (DAYS[0],), rows, True)
    assert [other for other in others if other.is_damage] == []


@pytest.mark.parametrize(
    ("content", "kind", "loses"),
    [
        (zipped(("a.csv", MINUTES[0])), "member_name", False),
        (zipped(("20240304_spy_minute_trade.csv", "\r\n".join(MINUTES))), "form", False),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join([*MINUTES, ""]))), "form", False),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join([MINUTES[1], *MINUTES]))), "rows_out_of_order", True),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join([MINUTES[0], *MINUTES]))), "repeated_rows", False),
        (zipped(("20240304_spy_minute_trade.csv", "\n".join(["t,o,h,l,c,v", *MINUTES]))), "other_lines", False),
    ],
)
def test_notices_about_a_minute_file(folder: DataFolder, content: bytes, kind: str, loses: bool) -> None:
    """They cost single rows at most; the second check has them from the ledger, or opens the file again."""
    put(folder.path, {path_of(SPY_MINUTE, DAYS[0]): content})

    for _ in range(2):
        found = check(folder, ["SPY"], MINUTE, DAYS)

        assert found.damage == ()
        assert (kind, loses) in [(one.kind, one.loses) for one in found.notices]


def test_a_daily_file_that_ends_early(folder: DataFolder) -> None:
    """LEAN repeats its last bar; days that the vendor is known to have no bars of are no loss."""
    put(folder.path, {path_of(SPY_DAILY): {"spy.csv": "\n".join(ROWS[:2])}})
    at = datetime(2024, 6, 3, tzinfo=UTC)

    (one,) = check(folder, ["SPY"], DAILY, DAYS).findings
    assert (one.severity, one.kind, one.days) == ("damage", "ends_early", tuple(DAYS[2:]))
    assert "it ends on 2024-03-05, so LEAN repeats its last bar on 3 trading days after it" in one.sentence

    folder.ledger.record_days(SPY_DAILY, now=at, empty=DAYS[2:])
    assert check(folder, ["SPY"], DAILY, DAYS).findings == ()


def test_further_requests_may_be_optional(folder: DataFolder) -> None:
    """As the benchmark is; the own request of the same file is not."""
    put(folder.path, {path_of(Series("IBM", HOUR)): b"rubbish", path_of(SPY_MINUTE, DAYS[0]): b""})
    further = DataRequest(symbols=("IBM",), resolution=HOUR, days=tuple(DAYS), optional=True)

    found = check(folder, ["SPY"], MINUTE, DAYS, further)

    assert [(one.symbol, one.kind, one.optional) for one in found.damage] == [
        ("SPY", "empty_zip", False),
        ("IBM", "cut_short_zip", True),
    ]
    assert found.damage[1].days == tuple(DAYS)


def test_files_are_those_of_the_tickers_of_the_days(folder: DataFolder) -> None:
    """A renamed share has its earlier days under the earlier ticker."""
    put(folder.path, {f"{MAP_FILES}/new.csv": f"20100104,old\n{DAYS[1]:%Y%m%d},old\n20501231,new\n"})
    put(folder.path, {path_of(Series(ticker, MINUTE), day): b"" for ticker in ("OLD", "NEW") for day in DAYS})

    found = check(folder, ["NEW"], MINUTE, DAYS)

    assert [one.path for one in found.damage] == [
        path_of(Series("OLD" if day <= DAYS[1] else "NEW", MINUTE), day) for day in DAYS
    ]
    assert {one.symbol for one in found.damage} == {"NEW"}
    assert found.files == 5


@pytest.mark.parametrize(("factors", "severity"), [(True, "damage"), (False, "notice")])
def test_a_missing_folder_of_map_files(tmp_path: Path, factors: bool, severity: str) -> None:
    """LEAN then applies no event, which is a loss where there are events."""
    (tmp_path / FACTOR_FILES).mkdir(parents=True)
    if factors:
        (tmp_path / FACTOR_FILES / "spy.csv").write_text("19980102,0.9,1,1\n20240305,0.9,1,5\n20501231,1,1,0")
    with opened(tmp_path) as folder:
        found = check(folder, ["SPY"], DAILY, DAYS).findings

    assert [(one.kind, one.path, one.severity) for one in found] == [("missing_folder", MAP_FILES, severity)]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("20240304,0.9,1,0\n20501231,1,1,0", ["no_reference_price"]),
        ("20240301,0.9,1,0\n20501231,1,1,0", []),  # before the range
        ("20240308,0.9,1,0\n20501231,1,1,0", []),  # its event is after the range
        ("20240304,1,1,0\n20501231,1,1,0", []),  # no event
        ("20240302,0.9,1,5\n20501231,1,1,0", []),  # a Saturday before the range
        ("20240302,0.8,1,5\n20240305,0.9,1,5\n20240304,0.9,1,5\n20501231,1,1,0", ["lines_out_of_order"]),
        ("20240302,0.9,1\njunk", ["unreadable_line"]),
    ],
)
def test_factor_files(folder: DataFolder, rows: str, found: list[str]) -> None:
    """Only what LEAN meets within the range counts."""
    put(folder.path, {f"{FACTOR_FILES}/spy.csv": "20100104,0.7,1,5\n" + rows})

    assert [one.kind for one in check(folder, ["SPY"], DAILY, DAYS).findings] == found


def test_bars_that_a_file_of_this_program_excludes_are_meant(folder: DataFolder) -> None:
    """Its first and last row were computed; without bars outside, either is a notice."""
    text = f"{DAYS[1]:%Y%m%d},spy\n{DAYS[3]:%Y%m%d},spy\n"
    put(folder.path, {f"{MAP_FILES}/spy.csv": text})
    notices = check(folder, ["SPY"], MINUTE, DAYS)
    assert [(one.severity, one.kind, one.loses) for one in notices.findings] == [
        ("notice", "map_file_begins_late", False),
        ("notice", "map_file_ends", False),
    ]

    put(folder.path, {path_of(SPY_MINUTE, day): zip_bytes("x.csv", MINUTES[0].encode()) for day in DAYS})
    foreign = check(folder, ["SPY"], MINUTE, DAYS)
    assert [(one.kind, one.days) for one in foreign.damage] == [
        ("map_file_begins_late", (DAYS[0],)),
        ("map_file_ends", (DAYS[4],)),
    ]

    folder.writer.write_text("SPY", f"{MAP_FILES}/spy.csv", text, lambda read: None)
    assert check(folder, ["SPY"], MINUTE, DAYS).damage == ()


def test_an_unreadable_map_file_of_another_name(folder: DataFolder) -> None:
    """LEAN takes the ticker for a share of its own then."""
    put(folder.path, {f"{MAP_FILES}/new.csv": "20100104,spy\ngarbage\n20501231,new\n"})

    (one,) = check(folder, ["SPY"], DAILY, DAYS).findings

    assert (one.kind, one.path) == ("unreadable_line", f"{MAP_FILES}/new.csv")


def test_a_cancelled_check(folder: DataFolder) -> None:
    """It ends at once."""
    cancel = CancelToken()
    cancel.cancel()

    with pytest.raises(Cancelled, match="while its data was checked"):
        check_data(
            folder, [DataRequest(symbols=("SPY",), resolution=DAILY, days=tuple(DAYS))], today=DAYS[-1], cancel=cancel
        )


def test_progress_counts_files(folder: DataFolder) -> None:
    """After each symbol."""
    put(folder.path, {path_of(Series(name, MINUTE), DAYS[0]): b"" for name in ("SPY", "IBM")})
    seen: list[int] = []

    check(folder, ["SPY", "IBM"], MINUTE, DAYS, progress=seen.append)

    assert seen == [1, 2]


def test_an_unchanged_file_is_not_opened_again(folder: DataFolder) -> None:
    """Its findings are in the ledger, by size and modification time."""
    path = folder.path / path_of(SPY_MINUTE, DAYS[0])
    put(folder.path, {path_of(SPY_MINUTE, DAYS[0]): zipped(("a.csv", MINUTES[0]))})
    before = check(folder, ["SPY"], MINUTE, DAYS)
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    assert check(folder, ["SPY"], MINUTE, DAYS) == before
    assert [one.kind for one in before.findings] == ["member_name"]


@settings(max_examples=20, deadline=None)
@given(
    resolution=st.sampled_from([MINUTE, DAILY]),
    parts=st.lists(st.sets(st.sampled_from(DAYS), min_size=1), min_size=1, max_size=4),
)
def test_files_that_the_product_wrote_have_no_finding(resolution: Resolution, parts: list[set[date]]) -> None:
    """In any order of writing; with and without its ledger."""
    series = Series("SPY", resolution)
    with TemporaryDirectory() as place:
        put(Path(place), {f"{MAP_FILES}/spy.csv": LISTED})
        with opened(Path(place)) as folder:
            for part in parts:
                bars = bars_on(*sorted(part), daily=resolution is DAILY)
                folder.writer.write_days(series, layout_of(series).render(bars, sorted(part)))
            days = sorted(set().union(*parts))
            assert check(folder, ["SPY"], resolution, days).findings == ()
        (Path(place) / ".backtest-server/ledger.sqlite").unlink()
        with opened(Path(place)) as folder:
            assert check(folder, ["SPY"], resolution, days).findings == ()
