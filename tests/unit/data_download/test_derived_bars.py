"""Bars that the host derives from a provider's minutes, whatever the provider does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from attrs import evolve

from server.core.cancel import CancelToken
from server.data_download.availability import Gap
from server.data_download.daily_kinds import DailyKind, read_kinds
from server.data_download.data_folder import DataFolder
from server.data_download.derived_bars import DAYS_AT_ONCE
from server.data_download.errors import NotPublishedError, ProviderUnavailable
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import Capabilities, DataSink
from server.lean.bars import Bars, no_bars
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from tests.support.derived import derived
from tests.support.harness import Rig, calendar, sessions
from tests.support.market import clock
from tests.support.scripted_provider import ScriptedProvider, bars_on, deliver_all

DAYS = sessions(date(2024, 3, 4), 5)
HOUR, MINUTE, DAILY = Resolution.HOUR, Resolution.MINUTE, Resolution.DAILY
MINUTES_ONLY = Capabilities(resolutions=frozenset({MINUTE}))
_HOURS = tuple(f"{day:%Y%m%d} 09:00,102500,102500,102500,102500,10.25" for day in DAYS)
_DAILY = tuple(f"{day:%Y%m%d} 00:00,102500,102500,102500,102500,10.25" for day in DAYS)


class Wrap(Protocol):
    """Wraps a provider as the server does."""

    def __call__(self, provider: ScriptedProvider, *, regular_session: bool = False) -> HostedProvider: ...


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder."""
    return Rig(tmp_path)


@pytest.fixture
def wrap(rig: Rig) -> Iterator[Wrap]:
    """Wraps a provider over the rig's folder."""
    with ExitStack() as stack:

        def wrapped(provider: ScriptedProvider, *, regular_session: bool = False) -> HostedProvider:
            return stack.enter_context(derived(rig, provider.open, regular_session=regular_session))

        yield wrapped


def rows(rig: Rig, name: str = "hour/spy.zip") -> tuple[str, ...]:
    """The rows of a file."""
    return tuple(rig.csv()[name].decode().split("\n"))


def gaps_of(wanted: list[Gap]) -> list[tuple[Series, tuple[date, ...]]]:
    """Series and days."""
    return [(gap.series, gap.days) for gap in wanted]


# --- what a provider is asked for ---


def test_a_provider_is_never_asked_for_hours(rig: Rig, wrap: Wrap) -> None:
    """Although it declares them; its minutes are aggregated and not stored."""
    provider = ScriptedProvider()

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(provider))

    assert (report.days_downloaded, report.days_failed, report.bars) == (5, 0, 5)
    assert provider.batches == [[Series("SPY", MINUTE)]]
    assert rig.csv().keys() == {"hour/spy.zip"}
    assert rows(rig) == _HOURS


@pytest.mark.parametrize("declared", [{HOUR, DAILY}, {DAILY}])
def test_a_provider_without_minutes_has_no_hours(rig: Rig, wrap: Wrap, declared: set[Resolution]) -> None:
    """Whatever it declares, and nothing is asked."""
    provider = ScriptedProvider(capabilities=Capabilities(resolutions=frozenset(declared)))

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(provider))

    (failure,) = report.failures
    assert "has no hour bars, only daily" in failure.error
    assert provider.batches == []


@pytest.mark.parametrize(
    ("capabilities", "regular_session", "requested", "kind"),
    [
        (MINUTES_ONLY, True, MINUTE, DailyKind.REGULAR_SESSION),
        (Capabilities(resolutions=frozenset(Resolution)), True, MINUTE, DailyKind.REGULAR_SESSION),
        (Capabilities(resolutions=frozenset(Resolution)), False, DAILY, DailyKind.VENDOR),
        (Capabilities(resolutions=frozenset({DAILY})), True, DAILY, DailyKind.VENDOR),
    ],
)
def test_daily_bars_are_derived_if_that_is_set_and_the_provider_has_minutes(
    rig: Rig, wrap: Wrap, capabilities: Capabilities, regular_session: bool, requested: Resolution, kind: DailyKind
) -> None:
    """Else they are the provider's own, with a notice where that is not what is set."""
    provider = ScriptedProvider(capabilities=capabilities)

    report = rig.download("SPY", DAYS, DAILY, provider=wrap(provider, regular_session=regular_session))

    assert (report.days_downloaded, provider.batches) == (5, [[Series("SPY", requested)]])
    assert rows(rig, "daily/spy.zip") == _DAILY
    assert any("daily-bars is regular-session" in notice for notice in report.notices) == (
        regular_session and kind is DailyKind.VENDOR
    )
    with rig.downloader() as downloader:
        found = read_kinds(downloader.folder, Series("SPY", DAILY))
    assert found is not None
    assert (found.kind, found.rows) == (kind, {kind: 5})


def test_a_provider_that_works_by_day_has_all_gaps_in_one_call(rig: Rig, wrap: Wrap) -> None:
    """Each delivery of one day of each series; the files are written a few times, not once a day."""
    days = sessions(date(2023, 1, 3), 50)

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        for day in days:
            for gap in gaps:
                sink.bars(gap.series, [day], bars_on(day))

    provider = ScriptedProvider(fetch, capabilities=evolve(MINUTES_ONLY, order="day"))

    report = rig.download(["SPY", "QQQ"], days, HOUR, provider=wrap(provider))

    assert (report.days_downloaded, provider.batches) == (100, [[Series("SPY", MINUTE), Series("QQQ", MINUTE)]])
    assert len(rows(rig)) == 50
    assert len([event for event in rig.events if event.kind == "days"]) == 6


# --- what is on disk ---


def test_days_are_taken_from_disk_where_they_are_whole(rig: Rig, wrap: Wrap) -> None:
    """Neither damaged nor refreshed ones; known empty ones are not requested."""
    asked: list[Gap] = []

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        asked.extend(gaps)
        for gap in gaps:
            have = [day for day in gap.days if day != DAYS[4]]
            sink.bars(gap.series, gap.days, bars_on(*have))

    provider = ScriptedProvider(fetch)
    rig.download("SPY", [DAYS[0], *DAYS[2:]], MINUTE, provider=wrap(provider))
    damaged = rig.data / "equity" / "usa" / "minute" / "spy" / f"{DAYS[1]:%Y%m%d}_trade.zip"
    damaged.write_bytes(b"damaged")
    asked.clear()

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(provider))

    damaged.unlink()
    assert gaps_of(asked) == [(Series("SPY", MINUTE), (DAYS[1],))]
    assert (report.days_downloaded, report.days_empty) == (4, 1)
    assert rows(rig) == _HOURS[:4]
    asked.clear()
    rig.download("SPY", DAYS[:2], HOUR, provider=wrap(provider), refresh=True)
    assert gaps_of(asked) == [(Series("SPY", MINUTE), tuple(DAYS[:2]))]
    assert asked[0].refresh == {*DAYS[:2]}


def test_many_days_on_disk_are_aggregated(rig: Rig, wrap: Wrap) -> None:
    """More than are read at once, from minutes and from hours; nothing is requested."""
    days = sessions(date(2023, 1, 3), DAYS_AT_ONCE + 3)
    provider = ScriptedProvider()
    rig.download("SPY", days, MINUTE, provider=wrap(provider))

    hours = rig.download("SPY", days, HOUR, provider=wrap(provider))
    daily = rig.download("SPY", days, DAILY, provider=wrap(provider, regular_session=True))

    assert (hours.days_downloaded, daily.days_downloaded) == (len(days), len(days))
    assert len(provider.batches) == 1


def test_a_file_with_a_bad_bar_is_fetched(rig: Rig, wrap: Wrap) -> None:
    """A price of 0 on disk, which LEAN would read, does not become an hour."""
    series = Series("SPY", MINUTE)
    layout = layout_of(series)
    path = rig.data / layout.path(DAYS[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(zip_bytes(layout.member(DAYS[0]), b"34200000,100,100,0,100,1"))
    provider = ScriptedProvider()

    report = rig.download("SPY", DAYS[:2], HOUR, provider=wrap(provider))

    assert report.days_downloaded == 2
    assert rows(rig) == _HOURS[:2]


@pytest.mark.parametrize("label", ["08:00", "16:00"])
def test_hours_with_extended_sessions_do_not_become_daily_bars(rig: Rig, wrap: Wrap, label: str) -> None:
    """The 09:00 of such a file holds trades before 09:30, so its days are fetched; the hours stay."""
    layout = layout_of(Series("SPY", HOUR))
    labels = sorted(["09:00", label])
    foreign = "\n".join(f"{DAYS[0]:%Y%m%d} {one},1,1,1,1,1" for one in labels)
    path = rig.data / layout.path(None)
    path.parent.mkdir(parents=True)
    path.write_bytes(zip_bytes(layout.member(None), foreign.encode()))
    provider = ScriptedProvider()

    rig.download("SPY", DAYS[:1], DAILY, provider=wrap(provider, regular_session=True))

    assert provider.batches == [[Series("SPY", MINUTE)]]
    assert rows(rig, "daily/spy.zip") == _DAILY[:1]
    assert rows(rig) == tuple(foreign.split("\n"))


# --- days without bars, and failures ---


def test_minutes_outside_the_session_alone_make_an_empty_day(rig: Rig, wrap: Wrap) -> None:
    """There is no row for a day without trades in the session; the day is not requested again at once."""
    early = evolve(bars_on(DAYS[0]), time=np.array([clock(DAYS[0], 14_400_000)], np.int64))
    provider = ScriptedProvider(lambda gaps, sink: sink.bars(gaps[0].series, gaps[0].days, early))

    report = rig.download("SPY", DAYS[:1], HOUR, provider=wrap(provider))
    again = rig.download("SPY", DAYS[:1], HOUR, provider=wrap(provider))

    assert (report.days_empty, report.days_failed, again.days_empty) == (1, 0, 1)
    assert len(provider.batches) == 1


def test_a_bad_minute_fails_its_day_only(rig: Rig, wrap: Wrap) -> None:
    """The reason names the bar of minutes."""

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        bars = bars_on(*gaps[0].days)
        bars.low[1] = float("nan")
        sink.bars(gaps[0].series, gaps[0].days, evolve(bars, low=bars.low.copy(), high=bars_on(*gaps[0].days).high))

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(ScriptedProvider(fetch)))

    (failure,) = report.failures
    assert (failure.series, failure.days, failure.code) == (Series("SPY", HOUR), (DAYS[1],), "bad_response")
    assert f"SPY minute {DAYS[1]}: the bar of {DAYS[1]} 09:30:00 New York has no" in failure.error
    assert len(rows(rig)) == 4


@pytest.mark.parametrize("fault", ["order", "outside", "other series", "other day", "not bars"])
def test_a_delivery_that_is_not_valid_is_refused(rig: Rig, wrap: Wrap, fault: str) -> None:
    """With the error that a provider gets for any resolution."""

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        series, days, bars = gaps[0].series, gaps[0].days, bars_on(*gaps[0].days)
        if fault == "order":
            bars = bars[::-1]
        elif fault == "outside":
            days = days[:1]
        elif fault == "other series":
            series = Series("SPY", HOUR)
        elif fault == "other day":
            days = (date(2024, 3, 1), *days)
        sink.bars(series, days, None if fault == "not bars" else bars)  # type: ignore[arg-type]

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(ScriptedProvider(fetch)))

    assert {failure.code for failure in report.failures} == {"bad_response"}
    assert report.days_failed == 5
    assert rig.csv() == {}


def test_what_the_provider_cannot_deliver_goes_to_the_fallback(rig: Rig, wrap: Wrap) -> None:
    """Days that were delivered stay."""

    def first_two(gaps: Sequence[Gap], sink: DataSink) -> None:
        sink.bars(gaps[0].series, gaps[0].days[:2], bars_on(*gaps[0].days[:2]))
        raise ProviderUnavailable("down")

    other = ScriptedProvider(capabilities=MINUTES_ONLY)
    report = rig.download(
        "SPY", DAYS, HOUR, provider=wrap(ScriptedProvider(first_two)), fallback=evolve(wrap(other), name="other")
    )

    assert (report.days_downloaded, report.days_failed, report.fallback) == (5, 0, "other")
    assert rows(rig) == _HOURS


def test_zips_of_lean_are_aggregated(rig: Rig, wrap: Wrap, tmp_path: Path) -> None:
    """A provider may deliver files; one that is not LEAN's is refused."""

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        layout = layout_of(gaps[0].series)
        for day in gaps[0].days:
            path = tmp_path / "delivered.zip"
            content = layout.render(bars_on(day), [day])[0].csv if day != DAYS[3] else b"34200000,1"
            path.write_bytes(zip_bytes(layout.member(day), content))
            try:
                sink.lean_file(gaps[0].series, day, path)
            except ProviderUnavailable:
                raise
            except Exception as error:
                sink.unavailable(gaps[0].series, [day], error)  # type: ignore[arg-type]
            path.unlink()

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(ScriptedProvider(fetch)))

    assert rows(rig) == (*_HOURS[:3], _HOURS[4])
    assert [(failure.days, failure.code) for failure in report.failures] == [((DAYS[3],), "bad_response")]


def test_today_is_provisional_and_fetched_again(rig: Rig, wrap: Wrap) -> None:
    """As at any other resolution; before the session there is nothing yet, which is no empty day."""
    minutes: list[Bars] = [no_bars()]
    provider = ScriptedProvider(lambda gaps, sink: sink.bars(gaps[0].series, gaps[0].days, minutes[0]))
    rig.now = datetime(2024, 3, 8, 13, tzinfo=UTC)  # 08:00 in New York

    early = rig.download("SPY", DAYS[4:], HOUR, provider=wrap(provider))
    assert [failure.code for failure in early.failures] == [NotPublishedError.code]
    minutes[0] = bars_on(DAYS[4], price=8.0)
    rig.download("SPY", DAYS[4:], MINUTE, provider=wrap(provider))  # provisional minutes are not taken from disk
    minutes[0] = bars_on(DAYS[4], price=9.0)
    rig.now = datetime(2024, 3, 8, 16, tzinfo=UTC)
    assert rig.download("SPY", DAYS[4:], HOUR, provider=wrap(provider)).complete
    assert rows(rig)[0].endswith("90000,90000,90000,90000,9")

    minutes[0] = bars_on(DAYS[4])
    rig.now = datetime(2024, 3, 9, 16, tzinfo=UTC)
    assert rig.download("SPY", DAYS[4:], HOUR, provider=wrap(provider)).days_downloaded == 1
    assert rows(rig) == _HOURS[4:]


def test_a_cancelled_run_delivers_nothing_more(rig: Rig, wrap: Wrap) -> None:
    """What was aggregated before and is not written is lost; a later delivery is refused."""
    cancel = CancelToken()

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        sink.bars(gaps[0].series, gaps[0].days[:2], bars_on(*gaps[0].days[:2]))
        cancel.cancel()
        assert sink.cancelled

    report = rig.download("SPY", DAYS, HOUR, provider=wrap(ScriptedProvider(fetch)), cancel=cancel)

    assert (report.cancelled, report.days_failed) == (True, 5)
    assert rig.csv() == {}


def test_the_plan_has_the_requests_for_missing_minutes(rig: Rig, wrap: Wrap) -> None:
    """None for what is on disk."""
    provider = ScriptedProvider(deliver_all, plan=lambda gaps: [f"{gap.series} {len(gap.days)}" for gap in gaps])
    rig.download("SPY", DAYS[:2], MINUTE, provider=wrap(provider))
    hosted = wrap(provider)

    def plan(days: Sequence[date]) -> list[str]:
        return hosted.plan([Gap(series=Series("SPY", HOUR), days=tuple(days))], CancelToken())

    assert plan(DAYS) == ["SPY minute 3"]
    assert plan(DAYS[:2]) == []
    folder = DataFolder.open(rig.data, calendar(), rig.state)
    assert folder.catalog.states(Series("SPY", HOUR), DAYS).keys() == {*DAYS}
    folder.close()
