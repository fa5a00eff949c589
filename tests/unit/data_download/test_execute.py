"""How a plan is executed: in which batches a provider is asked, under which locks, and what is left at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.data_download.availability import Gap
from server.data_download.data_folder import DataFolder
from server.data_download.errors import ProviderUnavailable
from server.data_download.provider import Capabilities, DataSink
from server.data_download.verify import check_folder
from server.lean.series import Resolution, Series
from tests.support.harness import Rig, calendar, leftovers, sessions
from tests.support.patience import PATIENCE
from tests.support.scripted_provider import ScriptedProvider, bars_on, deliver, deliver_all

DAYS = sessions(date(2024, 3, 4), 3)
BY_DAY = Capabilities(resolutions=frozenset(Resolution), order="day")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder."""
    return Rig(tmp_path)


def symbols(count: int) -> list[str]:
    """Symbols AA, AB, ..."""
    return [f"{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(count)]


# --- a provider that works by day ---


def test_a_provider_that_works_by_day_has_all_gaps_in_one_call(rig: Rig) -> None:
    """At two resolutions of a hundred tickers each: opened once a download, one call, one lock."""
    tickers = symbols(100)
    held: list[list[str]] = []

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        by_day = sorted({day for gap in gaps for day in gap.days})
        for day in by_day:
            for gap in gaps:
                daily = gap.series.resolution is Resolution.DAILY
                sink.bars(gap.series, [day], bars_on(day, daily=daily))
        held.append(sorted(path.name for path in (rig.state / "locks").iterdir()))

    for resolution in (Resolution.DAILY, Resolution.MINUTE):
        provider = ScriptedProvider(fetch, capabilities=BY_DAY)
        report = rig.download(tickers, DAYS, resolution, provider=provider.hosted())

        assert (report.days_downloaded, report.days_failed) == (300, 0)
        assert (provider.opened, provider.closed) == (1, 1)
        assert provider.batches == [[Series(ticker, resolution) for ticker in tickers]]
    assert held == [["all-daily.lock"], ["all-daily.lock", "all-minute.lock"]]
    check_folder(rig.data)


def test_a_run_by_symbol_waits_for_one_by_day_and_finds_its_days(rig: Rig) -> None:
    """It starts while the other one fetches, and fetches nothing itself."""
    inside, go_on, waiting = threading.Event(), threading.Event(), threading.Event()

    def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
        inside.set()
        assert go_on.wait(PATIENCE)
        deliver_all(gaps, sink)

    first = ScriptedProvider(fetch, capabilities=BY_DAY)
    thread = threading.Thread(target=rig.download, args=(["SPY", "QQQ"], DAYS), kwargs={"provider": first.hosted()})
    thread.start()
    assert inside.wait(PATIENCE)
    second, other = ScriptedProvider(), Rig(rig.root)

    def stop_waiting(event: object) -> None:
        if getattr(event, "kind", "") == "wait":
            waiting.set()
            go_on.set()

    other.events = _Listening(stop_waiting)
    report = other.download("SPY", DAYS, provider=second.hosted())
    thread.join(PATIENCE)

    assert waiting.is_set()
    assert (report.days_present, report.days_downloaded, report.days_failed) == (3, 0, 0)
    assert (second.batches, len(first.batches)) == ([], 1)


class _Listening(list):  # type: ignore[type-arg]
    """A list of events that passes each one on."""

    def __init__(self, listener: object) -> None:
        super().__init__()
        self._listener = listener

    def append(self, event: object) -> None:
        """Keep the event and pass it on."""
        super().append(event)
        self._listener(event)  # type: ignore[operator]


def test_a_run_by_day_removes_what_a_killed_run_left(rig: Rig) -> None:
    """Temporary files of the requested tickers, and of no others."""
    home = rig.data / "equity" / "usa" / "minute" / "spy"
    home.mkdir(parents=True)
    from server.data_download.files import temporary_prefix

    left = home / f"{temporary_prefix('SPY')}1.part"
    left.write_bytes(b"half")
    provider = ScriptedProvider(capabilities=BY_DAY)

    assert rig.download("SPY", DAYS, provider=provider.hosted()).complete
    assert not left.exists()


# --- a provider that works by symbol ---


def test_more_series_than_locks_are_fetched_in_batches(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider is opened once."""
    monkeypatch.setattr("server.data_download.execute.most_locks", lambda: 4)
    provider = ScriptedProvider()

    report = rig.download(symbols(10), DAYS, provider=provider.hosted())

    assert (report.days_downloaded, report.days_failed) == (30, 0)
    assert [len(batch) for batch in provider.batches] == [4, 4, 2]
    assert (provider.opened, provider.closed) == (1, 1)


def test_the_fallback_is_opened_once_for_all_batches(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only asked for the days that are missing."""
    monkeypatch.setattr("server.data_download.execute.most_locks", lambda: 3)

    def first_day_only(gaps: Sequence[Gap], sink: DataSink) -> None:
        for gap in gaps:
            sink.bars(gap.series, gap.days[:1], bars_on(gap.days[0]))
            sink.unavailable(gap.series, gap.days[1:], ProviderUnavailable("down"))

    other = ScriptedProvider()
    report = rig.download(
        symbols(7), DAYS, provider=ScriptedProvider(first_day_only).hosted(), fallback=other.hosted("other")
    )

    assert (report.days_downloaded, report.days_failed) == (21, 0)
    assert [len(batch) for batch in other.batches] == [3, 3, 1]
    assert (other.opened, other.closed) == (1, 1)


# --- whatever a provider does ---

ACTIONS = ("deliver", "without bars", "unavailable", "nothing", "other day", "other series", "bad", "raise", "exit")


def act(action: str, gap: Gap, sink: DataSink) -> None:
    """Do one thing with a gap, right or wrong."""
    if action == "deliver":
        deliver(gap, sink)
    elif action == "without bars":
        sink.bars(gap.series, gap.days, bars_on())
    elif action == "unavailable":
        sink.unavailable(gap.series, gap.days, ProviderUnavailable("down"))
    elif action == "other day":
        sink.bars(gap.series, [date(2024, 3, 1)], bars_on(date(2024, 3, 1)))
    elif action == "other series":
        sink.bars(Series("ZZZ", gap.series.resolution), gap.days, bars_on(*gap.days))
    elif action == "bad":
        sink.bars(gap.series, gap.days, None)  # type: ignore[arg-type]
    elif action == "raise":
        raise LookupError("lost")
    elif action == "exit":
        raise SystemExit(0)


PARTS = st.tuples(
    st.sampled_from(("AA", "AB", "AC")), st.lists(st.sampled_from(DAYS), unique=True), st.sampled_from(ACTIONS)
)


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.lists(st.lists(PARTS, max_size=8), min_size=1, max_size=2),
    resolution=st.sampled_from((Resolution.DAILY, Resolution.MINUTE)),
    order=st.sampled_from(("symbol", "day")),
    swallow=st.booleans(),
)
def test_every_requested_day_is_accounted_for(
    scripts: list[list[tuple[str, list[date], str]]], resolution: Resolution, order: str, swallow: bool
) -> None:
    """Present, downloaded, empty and failed add up; files are whole and the next run agrees with the report."""
    capabilities = Capabilities(resolutions=frozenset(Resolution), order=order)  # type: ignore[arg-type]

    def scripted(script: list[tuple[str, list[date], str]]) -> ScriptedProvider:
        def fetch(gaps: Sequence[Gap], sink: DataSink) -> None:
            for ticker, days, action in script:
                for gap in gaps:
                    part = gap.narrowed(days) if gap.series.ticker == ticker else None
                    try:
                        if part:
                            act(action, part, sink)
                    except Exception:
                        if not swallow:
                            raise

        return ScriptedProvider(fetch, capabilities=capabilities)

    with TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        main, *others = [scripted(script) for script in scripts]
        fallback = others[0].hosted("other") if others else None
        report = rig.download(["AA", "AB", "AC"], DAYS, resolution, provider=main.hosted(), fallback=fallback)

        parts = (report.days_present, report.days_downloaded, report.days_empty, report.days_failed)
        assert sum(parts) == report.days_requested == 9
        assert report.days_failed == sum(len(failure.days) for failure in report.failures)
        assert all(provider.opened == provider.closed <= 1 for provider in (main, *others))
        check_folder(rig.data)
        assert leftovers(rig.data) == []
        opened = DataFolder.open(rig.data, calendar(), rig.state)
        try:
            days_on_disk = sum(
                len(opened.catalog.scan(Series(ticker, resolution), DAYS)[0].on_disk) for ticker in ("AA", "AB", "AC")
            )
        finally:
            opened.close()
        assert days_on_disk == report.days_downloaded
        again = rig.download(["AA", "AB", "AC"], DAYS, resolution, provider=scripted([]).hosted())
        assert (again.days_present, again.days_empty) == (report.days_downloaded, report.days_empty)
