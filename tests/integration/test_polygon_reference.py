"""The Polygon source of corporate actions: the vendor's recorded replies, and a local vendor's whole lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ConfigurationError
from server.corporate_actions.model import Dividend, Listing, Renames, Split, TickerChange
from server.data_download.errors import AuthenticationError
from server.plugins.manager import build_plugin_manager
from server.plugins.polygon_provider import plugin
from tests.support import faults
from tests.support.cassettes import UseCassette
from tests.support.harness import NOW
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.reference_data import DIVIDENDS, OLD_DIVIDENDS, OLD_SPLITS, SPLITS, ReferenceData
from tests.support.reference_source import ReferenceRig

Serve = Callable[..., PolygonServer]


def split(day: str, old: str, new: str) -> Split:
    """A split as it is expected."""
    return Split(ex_date=date.fromisoformat(day), old=Decimal(old), new=Decimal(new))


def dividend(day: str, amount: str) -> Dividend:
    """A dividend as it is expected."""
    return Dividend(ex_date=date.fromisoformat(day), amount=Decimal(amount))


def change(day: str, ticker: str) -> TickerChange:
    """A change of ticker as it is expected."""
    return TickerChange(first_day=date.fromisoformat(day), ticker=ticker)


# --- the vendor's recorded replies ---


def test_recorded_splits_and_dividends(cassette: UseCassette, tmp_path: Path) -> None:
    """Both pages of each are read from the configured host, though next_url names the vendor's other one."""
    rig = ReferenceRig(tmp_path)
    with cassette("aapl-splits-and-dividends") as tape:
        events = rig.ask(lambda source: source.events("AAPL"))

        assert tape.all_played
    assert events.splits == (split("2014-06-09", "1", "7"), split("2020-08-31", "1", "4"))
    # Both were declared as 2.65 dollars a share, which is 28 times what the shares of today would have got.
    assert events.dividends == (dividend("2012-08-09", "2.65"), dividend("2012-11-07", "2.65"))
    assert events.notices == ()
    assert events.splits[0].factor * events.splits[1].factor == Fraction(1, 28)
    assert round(Decimal("2.65") / 28, 6) == Decimal("0.094643")  # the vendor's split_adjusted_cash_amount
    assert (rig.count("api_calls"), rig.count("retries")) == (4, 0)


def test_recorded_dividends_of_the_older_address(cassette: UseCassette, tmp_path: Path) -> None:
    """They were listed divided by the split that came later, 0.205 for the 0.82 dollars declared; a notice says it."""
    rig = ReferenceRig(tmp_path)
    with cassette("aapl-dividends-2020-older"):
        events = rig.ask(lambda source: source.events("AAPL"))

    declared = {"2020-02-07": "0.77", "2020-05-08": "0.82", "2020-08-07": "0.82"}
    assert events.splits == (split("2020-08-31", "1", "4"),)
    assert events.dividends == (
        *(dividend(day, str(Decimal(amount) / 4)) for day, amount in declared.items()),
        dividend("2020-11-06", "0.205"),
    )
    (doubt,) = events.notices
    assert f"the dividends of AAPL are from {OLD_DIVIDENDS}, where amounts before a split" in doubt
    assert rig.messages("notice") == [
        f"Polygon does not serve {new} to this key (status 403); {old} is requested instead, which it calls deprecated"
        for new, old in ((SPLITS, OLD_SPLITS), (DIVIDENDS, OLD_DIVIDENDS))
    ]


def test_recorded_dividends_without_a_currency(cassette: UseCassette, tmp_path: Path) -> None:
    """They are in dollars; those announced for later years count too."""
    with cassette("cssen-dividends-older"):
        events = ReferenceRig(tmp_path).ask(lambda source: source.events("CSSEN"))

    assert [(paid.ex_date.year, paid.amount) for paid in events.dividends] == [
        (year, Decimal("0.59375")) for year in (2023, 2023, 2024, 2024, 2024, 2024, 2025, 2025)
    ]
    assert events.notices == ()


def test_recorded_extreme_reverse_split(cassette: UseCassette, tmp_path: Path) -> None:
    """``2e+06`` old shares for a new one."""
    with cassette("npwz-reverse-split-older"):
        events = ReferenceRig(tmp_path).ask(lambda source: source.events("NPWZ"))

    assert events.splits == (split("2018-11-08", "2000000", "1"),)
    assert events.splits[0].factor == 2_000_000


def test_recorded_split_that_is_listed_twice(cassette: UseCassette, tmp_path: Path) -> None:
    """Both days come with 10 for 1; the true one, 2022-06-29, is among them."""
    with cassette("shop-split-twice-older"):
        events = ReferenceRig(tmp_path).ask(lambda source: source.events("SHOP"))

    assert split("2022-06-29", "1", "10") in events.splits
    assert {found.factor for found in events.splits} == {Fraction(1, 10)}


def test_recorded_ticker_changes(cassette: UseCassette, tmp_path: Path) -> None:
    """As recorded, though the day is a Saturday and META began on 2022-06-09: who uses it has to look."""
    with cassette("meta-ticker-changes"):
        renames = ReferenceRig(tmp_path).ask(lambda source: source.renames("META"))

    assert renames == Renames(changes=(change("2012-05-18", "FB"), change("2022-06-11", "META")))


def test_recorded_ticker_details(cassette: UseCassette, tmp_path: Path) -> None:
    """The exchange and the first day."""
    with cassette("aapl-details-2020-10-01"):
        listing = ReferenceRig(tmp_path).ask(lambda source: source.listing("AAPL", date(2020, 10, 1)))

    assert listing == Listing(
        ticker="AAPL",
        active=True,
        name="Apple Inc.",
        exchange="XNAS",
        listed=date(1980, 12, 12),
        figi="BBG000B9XRY4",
    )


def test_recorded_unknown_ticker(cassette: UseCassette, tmp_path: Path) -> None:
    """404 is no error: the vendor does not know it."""
    rig = ReferenceRig(tmp_path)
    with cassette("zzzzz-unknown-ticker"):
        assert rig.ask(lambda source: source.listing("ZZZZZ")) is None
        assert rig.ask(lambda source: source.renames("ZZZZZ")) == Renames()


# --- whole lists ---


@pytest.fixture
def data() -> ReferenceData:
    """What a local vendor has of AAPL, META, BRK.B and a share that is no more."""
    made = ReferenceData()
    made.split("AAPL", date(2020, 8, 31), 1, 4)
    made.split("AAPL", date(2014, 6, 9), "1.0", "7.0")
    for year in range(2013, 2024):
        for month in (2, 5, 8, 11):
            made.dividend("AAPL", date(year, month, 7), f"0.{year - 2000}{month:02}")
    made.dividend("BRK.B", date(2014, 1, 2), "1.5")
    made.renamed(("FB", date(2012, 5, 18)), ("META", date(2022, 6, 9)))
    made.listed("AAPL", since=date(1980, 12, 12))
    made.listed("BRK.B", exchange="XNYS")
    made.listed("OLD", exchange="XNYS", since=date(1990, 1, 2), delisted=date(2017, 6, 19))
    made.listed("OLD", exchange="XASE", delisted=date(2003, 1, 2))
    return made


def paths(server: PolygonServer) -> list[str]:
    """The paths asked for."""
    return [request.path for request in server.requests]


def test_one_request_for_each_list(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """The largest answers there are, in the order of time, and only of the ticker."""
    server = polygon_server(Market(), reference=data)
    events = ReferenceRig(tmp_path, server.url).ask(lambda source: source.events("aapl"))

    assert [found.factor for found in events.splits] == [Fraction(1, 7), Fraction(1, 4)]
    assert len(events.dividends) == 44
    assert (events.dividends[0], events.dividends[-1]) == (
        dividend("2013-02-07", "0.1302"),
        dividend("2023-11-07", "0.2311"),
    )
    assert [request.target for request in server.requests] == [
        f"{SPLITS}?ticker=AAPL&limit=5000&sort=execution_date.asc",
        f"{DIVIDENDS}?ticker=AAPL&limit=5000&sort=ex_dividend_date.asc",
    ]


@pytest.mark.parametrize("refused", [False, True])
def test_all_pages_are_read(polygon_server: Serve, tmp_path: Path, data: ReferenceData, refused: bool) -> None:
    """At both addresses: 44 dividends at 10 an answer are 5 requests."""
    data.page_size = 10
    if refused:
        data.refused = {SPLITS: faults.not_entitled(), DIVIDENDS: faults.not_entitled()}
    server = polygon_server(Market(), reference=data)
    events = ReferenceRig(tmp_path, server.url).ask(lambda source: source.events("AAPL"))

    assert [paid.ex_date for paid in events.dividends] == [
        date(year, month, 7) for year in range(2013, 2024) for month in (2, 5, 8, 11)
    ]
    assert paths(server).count(OLD_DIVIDENDS if refused else DIVIDENDS) == 5
    assert server.keys_in_urls == []


@pytest.mark.parametrize("refusal", [faults.not_entitled(), faults.ticker_not_found()], ids=["403", "404"])
def test_the_older_address_is_remembered_for_the_run(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData, refusal: faults.Fault
) -> None:
    """Refused once and reported once; the other list is requested where it is served."""
    data.refused = {SPLITS: refusal}
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)
    source = rig.open()
    first, second = source.events("AAPL"), source.events("BRK.B")
    source.close()

    assert (len(first.splits), len(second.dividends)) == (2, 1)
    assert paths(server)[:3] == [SPLITS, OLD_SPLITS, DIVIDENDS]
    assert sorted(paths(server)[3:]) == sorted([OLD_SPLITS, DIVIDENDS])
    assert server.requests[1].query == {"ticker": "AAPL", "limit": "1000", "order": "asc", "sort": "execution_date"}
    (notice,) = rig.messages("notice")
    assert f"{SPLITS} to this key (status {refusal.status})" in notice


def test_a_ticker_without_events(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """No splits, no dividends, no notice."""
    server = polygon_server(Market(), reference=data)
    events = ReferenceRig(tmp_path, server.url).ask(lambda source: source.events("SPY"))

    assert (events.splits, events.dividends, events.notices) == ((), (), ())


def test_what_cannot_be_used_is_reported(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """A repeat is dropped in silence; other money and impossible days have their sentence."""
    data.split("SHOP", date(2022, 6, 29), 1, 10)
    data.split("SHOP", date(2022, 6, 29), "1.0", "1e+01")
    data.split("SHOP", "2022-06-31", 1, 10)
    data.dividend("SHOP", date(2022, 3, 1), "0.5", "CAD")
    server = polygon_server(Market(), reference=data)
    events = ReferenceRig(tmp_path, server.url).ask(lambda source: source.events("SHOP"))

    assert events.splits == (split("2022-06-29", "1", "10"),)
    assert events.dividends == ()
    assert len(events.notices) == 2
    assert "2022-06-31, which cannot be" in events.notices[0]
    assert "0.5 CAD a share" in events.notices[1]


@pytest.mark.parametrize("ticker", ["FB", "META"])
def test_a_history_is_found_by_each_of_its_tickers(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData, ticker: str
) -> None:
    """Ascending, whatever the vendor's order."""
    server = polygon_server(Market(), reference=data)
    renames = ReferenceRig(tmp_path, server.url).ask(lambda source: source.renames(ticker))

    assert renames == Renames(changes=(change("2012-05-18", "FB"), change("2022-06-09", "META")))


def test_details_are_of_a_day_or_of_now(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """A share that is no more is found in the list, without its first day; on a day of its time, with it."""
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)

    def listing(ticker: str, on: date | None = None) -> Any:
        return rig.ask(lambda source: source.listing(ticker, on))

    assert listing("BRK.B") == Listing(ticker="BRK.B", active=True, name="BRK.B Inc.", exchange="XNYS")
    assert listing("AAPL", date(1980, 12, 11)) is None
    assert listing("OLD") == Listing(
        ticker="OLD", active=False, name="OLD Inc.", exchange="XNYS", delisted=date(2017, 6, 19)
    )
    assert listing("OLD", date(2016, 1, 4)).listed == date(1990, 1, 2)
    assert listing("OLD", date(2018, 1, 2)) is None
    assert listing("NEVER") is None


# --- the cache, the budget and the key ---


def everything(source: Any) -> list[Any]:
    """All that can be asked, once."""
    return [source.events("AAPL"), source.renames("META"), source.listing("AAPL"), source.listing("OLD")]


def test_a_second_ask_on_the_same_day_is_answered_from_the_cache(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData
) -> None:
    """Every page of every list; but for what the vendor does not know, which is not kept."""
    data.page_size = 10
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)
    first = rig.ask(everything)
    sent = len(server.requests)
    second = rig.ask(everything)

    assert first == second
    assert sent == 1 + 5 + 1 + 1 + 2
    assert paths(server)[sent:] == ["/v3/reference/tickers/OLD"]
    assert rig.count("cache_hits") == sent - 1


def test_refresh_passes_the_cache_over(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """And what comes then is kept in its place."""
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)
    rig.ask(lambda source: source.events("AAPL"))
    data.split("AAPL", date(2024, 6, 3), 1, 2)

    assert len(rig.ask(lambda source: source.events("AAPL")).splits) == 2
    assert len(rig.ask(lambda source: source.events("AAPL"), refresh=True).splits) == 3
    assert len(rig.ask(lambda source: source.events("AAPL")).splits) == 3
    assert len(server.requests) == 4


def test_responses_are_cached_until_midnight_in_new_york(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for seven days, as bars are, since the lists change."""
    lifetimes: list[float] = []
    server = polygon_server(Market(), reference=data)
    monkeypatch.setattr(
        "server.plugins.polygon_provider.cache.ResponseCache.store",
        lambda self, response, expire_after: lifetimes.append(expire_after.total_seconds()),
    )
    for now in (NOW, datetime(2024, 6, 4, 3, 59, tzinfo=UTC), datetime(2024, 3, 10, 5, tzinfo=UTC)):
        ReferenceRig(tmp_path, server.url, now=now).ask(lambda source: source.renames("META"))

    assert lifetimes == [16 * 3600, 60, 23 * 3600]  # 08:00 to midnight; the clocks change on 10 March


def test_a_kept_answer_is_old_once_the_day_is_over(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """An instant before midnight it is kept for that instant only."""
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url, now=datetime(2024, 6, 4, 3, 59, 59, 999_000, tzinfo=UTC))
    for _ in range(2):
        rig.ask(lambda source: source.renames("META"))

    assert len(server.requests) == 2


def test_the_key_is_left_nowhere(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """Not in a URL, a file or a message; in the header of each request."""
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)
    found = rig.ask(everything)
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert b"execution_date" in files
    assert KEY.encode() not in files
    assert KEY not in repr(found) + repr(rig.events) + repr(rig.config)
    assert server.keys_in_urls == []
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_a_record_that_repeats_the_key_is_masked(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """In the notice about what cannot be used."""
    data.split("AAPL", f"day {KEY}", 1, 2)
    data.renamed(("AAPL", KEY))
    server = polygon_server(Market(), reference=data)
    rig = ReferenceRig(tmp_path, server.url)
    events, renames = rig.ask(lambda source: (source.events("AAPL"), source.renames("AAPL")))

    assert len(events.notices) == len(renames.notices) == 1
    assert KEY not in repr((events, renames, rig.events))


def test_without_a_key_nothing_is_sent(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """The error says where to put one; no file is made."""
    server = polygon_server(Market(), reference=data)
    with pytest.raises(AuthenticationError, match="no Polygon API key"):
        ReferenceRig(tmp_path, server.url, key="").ask(lambda source: source.events("AAPL"))

    assert server.requests == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("ticker", ["../AAPL", "", "AAPL?x=1", "BACpL2/"])
def test_what_is_no_ticker_is_never_asked_for(polygon_server: Serve, tmp_path: Path, ticker: str) -> None:
    """No address is built of it."""
    server = polygon_server(Market(), reference=ReferenceData())
    source = ReferenceRig(tmp_path, server.url).open()
    for ask in (source.events, source.renames, source.listing):
        with pytest.raises(ConfigurationError, match="not a US equity symbol"):
            ask(ticker)
    source.close()

    assert server.requests == []


def test_the_plugin_offers_it(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """The host finds the source where it finds the provider."""
    server = polygon_server(Market(), reference=data)
    (spec,) = plugin.backtest_data_providers()
    rig = ReferenceRig(tmp_path, server.url)
    assert spec.corporate_actions is not None
    source = spec.corporate_actions(rig.config, rig.open()._context, rig.stream())
    try:
        assert len(source.events("AAPL").splits) == 2
    finally:
        source.close()
    assert build_plugin_manager().providers["polygon"].spec.corporate_actions is not None
