"""When the Polygon client tries again: waits, push-backs, broken connections."""

from __future__ import annotations

import json

import pytest
import requests
import urllib3

from server.data_download.errors import (
    BadResponseError,
    ProviderUnavailable,
    RateLimitError,
)
from tests.support.faults import TOO_MANY
from tests.support.polygon_client import MakeKit, Reply


def test_the_waits_double_up_to_half_a_minute(kit: MakeKit) -> None:
    """With jitter between the half and the whole, and at most eight tries."""
    made = kit(*[Reply(500)] * 8, retry_seconds=1000.0)
    with pytest.raises(ProviderUnavailable, match="given up after 8 tries") as caught:
        made.get()

    most = [0.5, 1, 2, 4, 8, 16, 30]
    assert len(made.time.waits) == 7
    for waited, longest in zip(made.time.waits, most, strict=True):
        assert longest / 2 <= waited <= longest
    assert (len(made.vendor.sent), caught.value.attempts, caught.value.status) == (8, 8, 500)
    assert made.count("api_calls") == 8
    assert made.count("retries") == 7


def test_the_time_for_one_request_is_bounded(kit: MakeKit) -> None:
    """A wait that would reach beyond it is not begun."""
    made = kit(*[Reply(429, headers={"Retry-After": "20"})] * 8, retry_seconds=19.0)
    with pytest.raises(RateLimitError):
        made.get()

    assert (len(made.vendor.sent), made.time.waits) == (1, [])


def test_a_429_waits_into_the_next_minute(kit: MakeKit) -> None:
    """The vendor counts by the minute and says nothing about when: with some jitter, so that not all come at once."""
    made = kit(Reply(429, json.dumps({"status": "ERROR", "error": TOO_MANY}).encode()))
    made.time.wall = 1_700_000_000.0 - 1_700_000_000.0 % 60 + 41
    made.get()

    assert 19.2 <= sum(made.time.waits) <= 21


@pytest.mark.parametrize(("header", "wait"), [("7", 7), ("0", 0.1), ("2.5", 2.5)])
def test_retry_after_is_taken_at_its_word(kit: MakeKit, header: str, wait: float) -> None:
    """But never less than a tenth of a second."""
    made = kit(Reply(429, b"", {"Retry-After": header}))
    made.get()

    assert sum(made.time.waits) == pytest.approx(wait, abs=0.1)


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "nan", "inf", "-5", "1e9", "soon", ""])
def test_a_retry_after_that_says_nothing_is_passed_over(kit: MakeKit, header: str) -> None:
    """The wait is to the next minute then."""
    made = kit(Reply(429, b"", {"Retry-After": header}))
    made.get()

    assert 0.2 <= sum(made.time.waits) <= 62.1


def test_a_second_push_back_brings_the_free_plans_budget(kit: MakeKit) -> None:
    """Five a minute from then on, said once."""
    made = kit(*[Reply(429, b"", {"Retry-After": "1"})] * 3)
    made.get()
    before = made.time.time()
    for _ in range(6):
        made.get()

    assert [event.kind for event in made.events].count("notice") == 1
    assert made.time.time() - before > 50


NOT_SENT = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "tries", "calls", "words"),
    [
        (requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", NOT_SENT)), 4, 0, "no connection"),  # type: ignore[arg-type]
        (requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("slow")), 4, 0, "no connection within 5 s"),
        (requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(None, "/", "slow")), 8, 8, "no answer within 30 s"),  # type: ignore[arg-type]
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError(104, "reset"))),
            8,
            8,
            "broke",
        ),
        (requests.exceptions.SSLError(urllib3.exceptions.SSLError("bad certificate")), 8, 8, "certificate"),
        (requests.exceptions.ChunkedEncodingError("cut"), 8, 8, "broke"),
        (ConnectionResetError(104, "reset"), 8, 8, "broke"),
    ],
)
def test_broken_connections_are_tried_again(kit: MakeKit, error: Exception, tries: int, calls: int, words: str) -> None:
    """A host that cannot be reached is given up sooner, and counts as no request; the reason is in words."""
    made = kit(*[error] * 8, retry_seconds=1000.0)
    with pytest.raises(ProviderUnavailable, match=words) as caught:
        made.get()

    assert (len(made.vendor.sent), made.count("api_calls")) == (tries, calls)
    assert "https://api.polygon.io" in str(caught.value)
    assert f"given up after {tries} tries" in str(caught.value)


def test_a_garbled_answer_is_tried_three_times(kit: MakeKit) -> None:
    """HTML with status 200, or JSON that breaks off."""
    made = kit(*[Reply(body=b'{"status":"OK","resu')] * 8)
    with pytest.raises(BadResponseError, match="given up after 3 tries"):
        made.get()
