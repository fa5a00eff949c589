"""Pages of corporate actions that follow another: on the same host, about the same list, with an end."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from server.data_download.errors import (
    BadResponseError,
)
from server.plugins.polygon_provider.connection import reference_cache
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime
from tests.support.market import Market
from tests.support.reference_data import DIVIDENDS, OLD_SPLITS, SPLITS, ReferenceData, elsewhere
from tests.support.reference_source import Serve, events_of, rig_for


def test_a_next_page_elsewhere_never_gets_the_key(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """The same machine on another port is another host, and is not even connected to."""
    other = polygon_server(Market(), reference=data)
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: elsewhere(other.url))
    with pytest.raises(BadResponseError, match="another host"):
        events_of(rig_for(server, tmp_path, clockwork))

    assert other.requests == []


@pytest.mark.parametrize("path", [DIVIDENDS, OLD_SPLITS, "/v3/reference/splits/", f"{SPLITS}/x"])
def test_a_next_page_of_another_list_is_refused(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData, path: str
) -> None:
    """Splits go on with splits."""
    server = polygon_server(Market(), reference=data)
    server.on_request = lambda request, n: faults.edited(
        lambda answer: {**answer, "next_url": f"{server.url}{path}?cursor=YXQ9Mg=="}
    )
    with pytest.raises(BadResponseError, match="about something else"):
        events_of(rig_for(server, tmp_path, clockwork))


def test_pages_without_end_are_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """Whether they go round in a circle or have ever another cursor."""
    server = polygon_server(Market(), reference=data)
    count = iter(range(10_000))

    def again(fixed: bool) -> Fault:
        return faults.edited(
            lambda answer: {
                **answer,
                "next_url": f"{server.url}{SPLITS}?cursor=YXQ9MA==" + ("" if fixed else f"&n={next(count)}"),
            }
        )

    for fixed, words, requests in ((True, "round in a circle", 2), (False, "goes on after 100 pages", 100)):
        server.reset()
        server.on_request = lambda request, n, fixed=fixed: again(fixed)
        with pytest.raises(BadResponseError, match=words):
            events_of(rig_for(server, tmp_path, clockwork))
        assert len(server.requests) == requests


def test_a_cached_page_whose_next_one_is_gone_is_requested_again(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """The vendor may have dropped the cursor since the morning."""
    server = polygon_server(Market(), reference=data)
    rig = rig_for(server, tmp_path, clockwork)
    events_of(rig)
    (second_page,) = [server.url + request.target for request in server.requests if "cursor" in request.query]
    with closing(reference_cache(rig.state, warn=pytest.fail)) as cache:
        cached = cache.get(second_page)
        assert cached is not None
        cache.evict(cached)
    server.reset()
    server.on_request = lambda request, n: faults.bad_request("cursor expired") if n == 1 else None

    assert len(events_of(rig).splits) == 3
    assert ["cursor" in request.query for request in server.requests] == [True, False, True]
