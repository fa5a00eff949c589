"""Responses are checked against their request: a bad bar fails its day, a wrong response is requested once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.data_download import workers
from server.lean.series import Resolution
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, lean_files, lose_files, sessions
from tests.support.market import Market, clock
from tests.support.polygon_downloads import Serve, days_asked
from tests.support.polygon_server import Request
from tests.support.reports import counted

DAILY, MINUTE = Resolution.DAILY, Resolution.MINUTE
YEARS = sessions(date(2021, 1, 4), 753)
DAYS = YEARS[:5]
MARKET = Market.synthetic(["SPY"], YEARS, "daily") | Market.synthetic(["SPY"], DAYS, "minute", bars_per_day=20)
BAD_DAY = YEARS[400]


def spoil(change: Callable[[dict[str, Any]], Any], day: date, answer: dict[str, Any]) -> dict[str, Any]:
    """Change the first bar of a day; NaN and Infinity are written as Python's json does."""
    bars = answer["results"]
    at = next(n for n, bar in enumerate(bars) if bar["t"] >= clock(day, 0))
    bars[at] = change(dict(bars[at]))
    return answer


def text(number: str, day: date, body: bytes) -> bytes:
    """The close of a day's bar as this text."""
    marked = spoil(lambda bar: {**bar, "c": "@"}, day, json.loads(body))
    return json.dumps(marked).replace('"@"', number).encode()


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    """A bar without a field."""
    return lambda bar: {field: value for field, value in bar.items() if field != name}


BAD_BARS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "null": (lambda bar: {**bar, "c": None}, "has no close"),
    "absent": (without("o"), "has no open"),
    "absent volume": (without("v"), "has no volume"),
    "text": (lambda bar: {**bar, "h": "12.5"}, "has no high"),
    "boolean": (lambda bar: {**bar, "l": True}, "has no low"),
    "list": (lambda bar: {**bar, "l": [1.0]}, "has no low"),
    "zero": (lambda bar: {**bar, "c": 0}, "has close 0,"),
    "all zero": (lambda bar: {**bar, "o": 0, "h": 0, "l": 0, "c": 0}, "has open 0,"),
    "negative": (lambda bar: {**bar, "l": -bar["l"]}, "has low -"),
    "high below low": (lambda bar: {**bar, "h": bar["l"], "l": bar["h"] + 1}, "above high"),
    "open above high": (lambda bar: {**bar, "o": bar["h"] + 0.01}, "outside its range"),
    "close below low": (lambda bar: {**bar, "c": bar["l"] - 0.01}, "outside its range"),
    "beyond LEAN's decimal": (lambda bar: {**bar, "h": 1e29}, "has high 1e+29,"),
    "below LEAN's decimal": (lambda bar: {**bar, "l": 1e-30}, "has low 1e-30,"),
    "negative volume": (lambda bar: {**bar, "v": -5}, "has volume -5,"),
    "huge volume": (lambda bar: {**bar, "v": 1e300}, "has volume 1e+300,"),
    "at the close": (lambda bar: {**bar, "t": bar["t"] + 16 * 3_600_000}, "is not the start of a daily bar"),
    "a second late": (lambda bar: {**bar, "t": bar["t"] + 1000}, "is not the start of a daily bar"),
    "no time": (without("t"), "has no time"),
    "time as text": (lambda bar: {**bar, "t": str(bar["t"])}, "has no time"),
    "a null instead of a bar": (lambda bar: None, "has no time"),
}
BODIES = {
    "NaN": (partial(text, "NaN", BAD_DAY), "has no close"),
    "Infinity": (partial(text, "Infinity", BAD_DAY), "has close inf,"),
    "400 digits": (partial(text, "1" * 400, BAD_DAY), "has close inf,"),
    "1e400": (partial(text, "1e400", BAD_DAY), "has close inf,"),
}
BAD_ANSWERS = {
    **{name: (faults.edited(partial(spoil, change, BAD_DAY)), words) for name, (change, words) in BAD_BARS.items()},
    **{name: (Fault(rewrite=rewrite), words) for name, (rewrite, words) in BODIES.items()},
}


@pytest.mark.parametrize(("fault", "words"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_one_bad_daily_bar_fails_its_day(polygon_server: Serve, tmp_path: Path, fault: Fault, words: str) -> None:
    """All other days of the answer are written; the next run requests that day alone, from the network."""
    server = polygon_server(MARKET, faults=[fault])
    rig = Rig(tmp_path, server.url)
    good = [day for day in YEARS if day != BAD_DAY]

    report = rig.download("SPY", YEARS, DAILY)

    assert counted(report) == (0, 752, 0, 1)
    (failure,) = report.failures
    assert (failure.symbol, failure.days, failure.code) == ("SPY", (BAD_DAY,), "bad_response")
    assert failure.error.startswith(f"Polygon's answer about SPY daily {BAD_DAY} cannot be used: ")
    assert words in failure.error
    assert "no time" in words or f"{BAD_DAY} " in failure.error.partition("used: ")[2]
    assert "\n" not in failure.error
    assert (report.api_calls, report.retries) == (1, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", good, DAILY)

    again = rig.download("SPY", YEARS, DAILY)
    assert counted(again) == (752, 1, 0, 0)
    assert (again.api_calls, again.http_cache_hits) == (1, 0)
    assert days_asked(server)[1] == (str(BAD_DAY), str(BAD_DAY))
    assert rig.csv() == lean_files(MARKET, "SPY", YEARS, DAILY)


@pytest.mark.parametrize("resolution", [DAILY, MINUTE])
def test_a_bar_without_its_time_where_one_day_is_asked_for(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution
) -> None:
    """The day fails, and nothing else of the run."""
    change = partial(spoil, lambda bar: {**bar, "t": bar["t"] + 1000}, DAYS[0])
    server = polygon_server(MARKET, faults=[faults.edited(change)])
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS[:1], resolution)

    (failure,) = report.failures
    assert (failure.days, failure.code) == (tuple(DAYS[:1]), "bad_response")
    assert counted(rig.download("SPY", DAYS[:1], resolution)) == (0, 1, 0, 0)


def test_a_bad_bar_fails_its_day_on_every_run(polygon_server: Serve, tmp_path: Path) -> None:
    """While the vendor has it: one request for the one day, and never a cached answer."""
    server = polygon_server(MARKET)
    server.on_request = lambda request, n: faults.edited(partial(spoil, lambda bar: {**bar, "c": None}, BAD_DAY))
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", YEARS, DAILY)

    for _ in range(2):
        report = rig.download("SPY", YEARS, DAILY)
        assert counted(report) == (752, 0, 0, 1)
        assert (report.api_calls, report.http_cache_hits) == (1, 0)
        assert report.failures[0].days == (BAD_DAY,)


MINUTE_BARS = {**BAD_BARS, "a second late": (BAD_BARS["a second late"][0], "is not the start of a minute bar")}
del MINUTE_BARS["at the close"]


@pytest.mark.parametrize(("change", "words"), MINUTE_BARS.values(), ids=MINUTE_BARS.keys())
@pytest.mark.parametrize("processes", [0, 2])
def test_one_bad_minute_fails_its_day(
    polygon_server: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    change: Callable[[dict[str, Any]], Any],
    words: str,
) -> None:
    """Whether files are written by worker processes or not."""
    monkeypatch.setattr(workers, "worker_count", lambda tasks: processes)
    fault = faults.edited(partial(spoil_second, change, DAYS[2]))
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[fault]).url)

    report = rig.download("SPY", DAYS)

    assert counted(report) == (0, 4, 0, 1)
    (failure,) = report.failures
    assert failure.days == (DAYS[2],)
    assert words in failure.error
    assert rig.csv() == lean_files(MARKET, "SPY", [*DAYS[:2], *DAYS[3:]], MINUTE)
    assert counted(rig.download("SPY", DAYS)) == (4, 1, 0, 0)


def spoil_second(change: Callable[[dict[str, Any]], Any], day: date, answer: dict[str, Any]) -> dict[str, Any]:
    """Change the second bar of a day."""
    bars = answer["results"]
    at = next(n for n, bar in enumerate(bars) if bar["t"] >= clock(day, 0)) + 1
    bars[at] = change(dict(bars[at]))
    return answer


def test_days_without_bars_next_to_a_bad_one_are_empty(polygon_server: Serve, tmp_path: Path) -> None:
    """Only the day of the bad bar fails."""
    market = Market.synthetic(["SPY"], [DAYS[0], DAYS[1], DAYS[4]], "daily")
    fault = faults.edited(partial(spoil, lambda bar: {**bar, "h": 0}, DAYS[1]))
    rig = Rig(tmp_path, polygon_server(market, faults=[fault]).url)

    assert counted(rig.download("SPY", DAYS, DAILY)) == (0, 2, 2, 1)


def test_a_bad_bar_is_taken_from_no_cache(
    polygon_server: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached answer of a run that was killed before it looked at the bars: that day is requested from the network."""
    spoiled = faults.edited(partial(spoil, lambda bar: {**bar, "c": None}, DAYS[2]))
    server = polygon_server(MARKET, faults=[spoiled])
    rig = Rig(tmp_path, server.url)

    def end(*arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("server.plugins.polygon_provider.fetch_run.choose_days", end)
        rig.download("SPY", DAYS, DAILY)

    report = rig.download("SPY", DAYS, DAILY)

    assert counted(report) == (0, 5, 0, 0)
    assert (report.http_cache_hits, report.api_calls) == (1, 1)
    assert days_asked(server)[1:] == [(str(DAYS[2]), str(DAYS[2]))]


def test_of_bars_of_one_instant_the_first_counts(polygon_server: Serve, tmp_path: Path) -> None:
    """Whatever the second one has, as in LEAN's reader."""

    def repeat(answer: dict[str, Any]) -> dict[str, Any]:
        bars = [one for bar in answer["results"] for one in (bar, {**bar, "c": None})]
        return {**answer, "results": bars, "resultsCount": len(bars), "count": len(bars)}

    rig = Rig(tmp_path, polygon_server(MARKET, faults=[faults.edited(repeat)]).url)

    assert counted(rig.download("SPY", DAYS, DAILY)) == (0, 5, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)


# --- once more ---


def shifted(days: int, answer: dict[str, Any]) -> dict[str, Any]:
    """All bars of other dates."""
    return {**answer, "results": [{**bar, "t": bar["t"] + days * 86_400_000} for bar in answer["results"]]}


WRONG = {
    "another ticker": (faults.edited(lambda answer: {**answer, "ticker": "QQQ"}), "it is about QQQ"),
    "another case": (faults.edited(lambda answer: {**answer, "ticker": "Spy"}), "it is about Spy"),
    "count": (faults.edited(lambda answer: {**answer, "resultsCount": 6}), "resultsCount is 6, but it has 5 bars"),
    "cut list": (faults.edited(lambda answer: {**answer, "results": answer["results"][:3]}), "but it has 3 bars"),
    "later dates": (faults.edited(partial(shifted, 364)), "bars outside the days"),
    "earlier dates": (faults.edited(partial(shifted, -7)), "bars outside the days"),
    "adjusted": (faults.adjusted(), "adjusted for splits"),
    "status": (faults.status_error("try later"), "its status is ERROR: try later"),
    "descending": (faults.unsorted_bars(), "out of order"),
}


@pytest.mark.parametrize("fault", [fault for fault, _ in WRONG.values()], ids=WRONG.keys())
def test_a_wrong_answer_is_requested_once_more(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault
) -> None:
    """The second answer is written, without a failure."""
    server = polygon_server(MARKET, faults=[fault])
    rig = Rig(tmp_path, server.url, pause=clockwork.pause, retry_attempts=1)

    report = rig.download("SPY", DAYS, DAILY)

    assert counted(report) == (0, 5, 0, 0)
    assert (len(server.requests), report.api_calls, report.retries, report.http_cache_hits) == (2, 2, 1, 0)
    assert clockwork.waits == []
    assert "once more" in rig.messages("retry")[0]
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)

    lose_files(rig)
    assert rig.download("SPY", DAYS, DAILY).http_cache_hits == 1


@pytest.mark.parametrize(("fault", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_second_wrong_answer_fails_the_days(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault, words: str
) -> None:
    """After two requests whatever number of tries is set, on every run; no answer is kept."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = Rig(tmp_path, server.url, pause=clockwork.pause, retry_attempts=8)

    for run in (1, 2):
        report = rig.download("SPY", DAYS, DAILY)

        assert counted(report) == (0, 0, 0, 5)
        assert (report.failures[0].days, report.failures[0].code) == (tuple(DAYS), "bad_response")
        assert words in report.failures[0].error
        assert (len(server.requests), report.api_calls, report.http_cache_hits) == (2 * run, 2, 0)
    assert rig.csv() == {}


def test_only_the_wrong_page_is_requested_once_more(polygon_server: Serve, tmp_path: Path) -> None:
    """The first page of a session of seconds is right, the second says that it is about another ticker."""
    market = Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600)
    server = polygon_server(market, faults=[None, WRONG["another ticker"][0]])
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS[:1], Resolution.SECOND)

    assert counted(report) == (0, 1, 0, 0)
    assert len(server.requests) == 3
    assert server.requests[1].target == server.requests[2].target
    assert rig.csv() == lean_files(market, "SPY", DAYS[:1], Resolution.SECOND)


def test_other_symbols_are_not_concerned(polygon_server: Serve, tmp_path: Path) -> None:
    """Every answer about one of two symbols is about the other one."""
    market = Market.synthetic(["SPY", "QQQ"], DAYS, "daily")

    def mix_up(request: Request, n: int) -> Fault | None:
        return WRONG["another ticker"][0] if request.window and request.window[0] == "SPY" else None

    rig = Rig(tmp_path, polygon_server(market, on_request=mix_up).url)

    report = rig.download(["SPY", "QQQ"], DAYS, DAILY)

    assert counted(report) == (0, 5, 0, 5)
    assert rig.csv() == lean_files(market, "QQQ", DAYS, DAILY)
