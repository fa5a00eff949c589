"""The errors of the Polygon client: the vendor's words, without the key."""

from __future__ import annotations

import json
import traceback

import pytest

from server.core.errors import BacktestServerError
from server.core.secret import MASK, Secret
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    SymbolNotFoundError,
)
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.windows import Window
from tests.support.faults import GATEWAY_PAGE
from tests.support.polygon_client import DAYS, KEY, WINDOW, MakeKit, Reply


def test_the_key_is_in_no_repr(kit: MakeKit) -> None:
    """Of the settings, the client and what it fetched."""
    made = kit()

    for thing in (made.client, made.get(), made.session, PolygonConfig(api_key=Secret(KEY))):
        assert KEY not in repr(thing)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, b'{"status":"ERROR","request_id":"r","error":"Unknown API Key"}', AuthenticationError, "Unknown API Key"),
        (403, b'{"status":"NOT_AUTHORIZED","request_id":"r","message":"Your plan"}', PlanLimitError, "Your plan"),
        (
            404,
            b'{"status":"NOT_FOUND","request_id":"r","message":"Ticker not found."}',
            SymbolNotFoundError,
            "not found",
        ),
        (400, b'{"status":"ERROR","request_id":"r","error":"bad from"}', BadResponseError, "bad from"),
        (418, b'{"request_id":"r"}', BadResponseError, "418"),
        (302, b'{"request_id":"r"}', BadResponseError, "302"),
    ],
)
def test_refusals_are_not_tried_again(
    kit: MakeKit, status: int, body: bytes, error: type[BacktestServerError], words: str
) -> None:
    """At once, with the vendor's words, the status and the request id; and what was asked for as facts."""
    made = kit(*[Reply(status, body)] * 3)
    with pytest.raises(error, match=words) as caught:
        made.get()

    found = caught.value
    assert (len(made.vendor.sent), made.time.waits) == (1, [])
    assert (found.symbol, found.resolution, found.days) == ("SPY", Resolution.MINUTE, DAYS)
    assert (found.status, found.request_id) == (status, "r")
    assert f"(status {status}, request id r)" in str(found)


def test_a_plan_refusal_names_the_days(kit: MakeKit) -> None:
    """One day by itself, several with their number."""
    refused = Reply(403, b'{"message":"no"}')
    for window, words in (
        (WINDOW, "SPY minute 2024-03-07 to 2024-03-08 (2 trading days)"),
        (Window(series=Series("SPY", Resolution.DAILY), wanted=DAYS[:1]), "SPY daily 2024-03-07;"),
    ):
        with pytest.raises(PlanLimitError) as caught:
            kit(refused).get(window)
        assert words in str(caught.value)


def test_an_html_page_is_reported_by_its_title(kit: MakeKit) -> None:
    """Not by its markup."""
    made = kit(*[Reply(502, GATEWAY_PAGE.format("502 Bad Gateway").encode())] * 8, retry_attempts=2)
    with pytest.raises(ProviderUnavailable) as caught:
        made.get()

    assert '"502 Bad Gateway"' in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("form", [KEY, KEY.upper(), "kEy%2Fwith%2Bsigns", "key%2fwith%2bsigns"])
@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_a_key_in_the_vendors_words_is_masked(kit: MakeKit, form: str, status: int) -> None:
    """In any case of letters and as it is written in an address; also in the event of a retry."""
    body = json.dumps({"status": "ERROR", "error": f"bad key {form}!", "request_id": form}).encode()
    made = kit(*[Reply(status, body)] * 8, retry_attempts=2)
    with pytest.raises(BacktestServerError) as caught:
        made.get()

    shown = f"{caught.value} {caught.value.request_id} {made.events}"
    assert form not in shown
    assert "bad key **********!" in shown


def test_the_key_is_in_no_error_of_the_chain(kit: MakeKit) -> None:
    """Nor in the request id; the vendor repeats the key in both."""
    body = json.dumps({"status": "ERROR", "request_id": KEY, "error": f"the key {KEY} is busy"}).encode()
    made = kit(*[Reply(500, body)] * 40)

    with pytest.raises(ProviderUnavailable) as caught:
        made.get()

    assert caught.value.request_id == MASK
    assert KEY not in "".join(traceback.format_exception(caught.value))
