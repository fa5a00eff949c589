"""What a download counts while it runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from attrs import Factory, define

from server.core.errors import BacktestServerError


@define
class Tally:
    """What a download has counted so far; one for all its providers.

    ``loading_s`` is what the process spent on loading its own modules when it first needed them, ``beside_s`` what went
    to the download's companion, which sent ``beside_calls`` requests.
    """

    api_calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    bytes: int = 0
    bars: int = 0
    loading_s: float = 0.0
    beside_s: float = 0.0
    beside_calls: int = 0
    delivered: defaultdict[str, set[date]] = Factory(lambda: defaultdict(set))
    reasons: defaultdict[str, dict[date, BacktestServerError]] = Factory(lambda: defaultdict(dict))
    notices: list[str] = Factory(list)
