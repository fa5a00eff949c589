"""Cache keys of aggregates: host, series, first day, last day and page. Pure."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.windows import QUERY, RESOLUTIONS, CachedRange

_SEPARATOR = "|"


def aggregates_key(request: Any, **_: object) -> str:
    """Return the cache key of a request for aggregates, which contains no API key and no character that SQL quotes.

    The page is empty for the first one. Otherwise it is ``?`` and the query, its parameters sorted: requests-cache
    sorts those of stored requests.

    Args:
        request: A prepared request or requests-cache's copy of one.
    """
    parts = urlsplit(str(request.url))
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    page = "" if query == _FIRST_PAGE else f"?{query}"
    match parts.path.split("/"):
        case ["", "v2", "aggs", "ticker", ticker, "range", "1", timespan, first, last] if timespan in RESOLUTIONS:
            fields = [parts.netloc, unquote(ticker), RESOLUTIONS[timespan].value, first, last, page]
        case _:
            fields = [parts.netloc, parts.path, page]
    return _SEPARATOR.join(quote(field, safe="") for field in fields)


def cached_range(key: str) -> CachedRange | None:
    """Return the range of a cached response; None for the key of another kind of response.

    Args:
        key: A key made by `aggregates_key`.
    """
    try:
        host, ticker, resolution, first, last, page = (unquote(field) for field in key.split(_SEPARATOR))
        return CachedRange(
            host=host,
            series=Series(ticker, Resolution(resolution)),
            first=date.fromisoformat(first),
            last=date.fromisoformat(last),
            page=page,
        )
    except ValueError:
        return None


_FIRST_PAGE = urlencode(sorted(parse_qsl(QUERY)))
