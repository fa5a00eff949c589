"""Numbers in the documents are those of the code."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from server.data_download import workers
from server.data_download.availability import ASK_AGAIN_AFTER
from server.engines.lean_options import TIME_LIMIT
from server.jobs.queue import MAX_RUNNING
from server.plugins.polygon_provider import provider
from server.plugins.polygon_provider.budget import FREE_PLAN
from server.plugins.polygon_provider.client import EXPIRE_AFTER
from server.plugins.polygon_provider.config import MAX_CONCURRENT_REQUESTS, PolygonConfig
from server.plugins.polygon_provider.transport import UNREACHED_ATTEMPTS
from server.plugins.polygon_provider.windows import LIMIT, MAX_MINUTE_SESSIONS, MINUTES_PER_SESSION
from server.trading_calendar import FIRST_DAY, POST_MARKET_CLOSE, SETTLE_DELAY
from tests.support.documents import (
    one_line,
    page,
    settings_of,
)


def test_numbers_are_those_of_the_code() -> None:
    """A number in the text that is a constant of the code has the constant's value."""
    text = one_line(page("data-download.md"))
    two, seven, thirty = (wait.days for wait in ASK_AGAIN_AFTER)
    settled = datetime.combine(date(2024, 1, 2), POST_MARKET_CLOSE) + SETTLE_DELAY
    defaults = settings_of(PolygonConfig)

    assert f"again after {two} days, {seven} days after that, {thirty} days after that" in text
    assert f"**Settled** is a day at {settled:%H:%M} in New York" in text
    assert f"Polygon's responses with bars of the last {EXPIRE_AFTER // timedelta(days=1)} days" in text
    assert f"at most {MAX_MINUTE_SESSIONS} sessions" in text
    assert f"sessions of {MINUTES_PER_SESSION} minutes fit the {LIMIT:,} bars" in text
    assert f"(`requests-per-minute`, {FREE_PLAN} on the free plan)" in text
    assert f"`retry-attempts` ({defaults['retry-attempts'].default}) times" in text
    assert f"for `retry-seconds` ({defaults['retry-seconds'].default:g}) in all" in text
    assert "At most five requests are in flight" in text
    assert MAX_CONCURRENT_REQUESTS == 5
    assert f"An address that cannot be reached is tried {UNREACHED_ATTEMPTS} times" in text
    assert f"since {FIRST_DAY}" in text
    assert f"It ran for {TIME_LIMIT / 3600:g} hours" in page("lean_unix_run.md")
    assert (provider.WAITING_RESPONSES, workers.MAX_WORKERS, workers.TASKS_PER_WORKER, MAX_RUNNING) == (8, 4, 4, 2)
    architecture = one_line(page("architecture.md"))
    assert "for each response that can be worked on at once, and eight more" in architecture
    assert "one more than there are cores, at most four, and at least four windows for each" in architecture
    assert "runs two jobs at once" in page("architecture.md")
