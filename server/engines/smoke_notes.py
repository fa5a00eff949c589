"""What the user should know before trusting a smoke test: raw prices, renames, and what LEAN does not feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from server.core.text import list_text
from server.lean.feed import LossKind, Rename, ShareFeed
from server.lean.feed.share import Share

_SHOWN = 20
"""Losses of one symbol that have a note each."""


def raw_notes(shares: Mapping[str, Share]) -> Iterator[str]:
    """Return notes on the symbols without usable factor rows, by the reason.

    Args:
        shares: By symbol.
    """
    symbols: dict[str, list[str]] = {}
    for symbol, share in shares.items():
        if not share.factor_rows:
            symbols.setdefault(_factor_file_state(share), []).append(symbol)
    for state, found in symbols.items():
        names = list_text(found)
        if state == "missing":
            what = f"{names} {'has' if len(found) == 1 else 'have'} no factor file"
        else:
            what = f"the factor file of {names} {state}"
        yield f"{what}, so prices are not adjusted for splits and dividends"


def _factor_file_state(share: Share) -> str:
    if not share.has_factor_file:
        return "missing"
    return "is damaged" if any(loss.path == share.factor_path for loss in share.losses) else "has no rows"


def share_notes(symbol: str, feed: ShareFeed, days: Sequence[date], unreadable: Mapping[str, str]) -> Iterator[str]:
    """Return notes on one symbol: its tickers, damaged files, and what LEAN does not feed.

    Files that do not exist are left out: they are counted for all symbols.

    Args:
        symbol: The symbol.
        feed: What is fed of it.
        days: The trading days of the backtest, ascending.
        unreadable: Files that exist and cannot be opened, with the reason.
    """
    for event in feed.events:
        if isinstance(event, Rename):
            last = max((day for day in days if day < event.day), default=event.day)
            yield f"{symbol} is read as {event.old} until {last}, then as {event.new}, according to its map file"
    for path, reason in unreadable.items():
        if path in feed.missing or path in (feed.share.map_path, feed.share.factor_path):
            yield _damaged(f"{path}: {reason}")
    losses = [loss for loss in feed.losses if loss.path not in feed.missing]
    for loss in losses[:_SHOWN]:
        yield _damaged(str(loss)) if loss.kind is LossKind.DAMAGED else f"Not fed by LEAN: {loss}"
    if losses[_SHOWN:]:
        yield f"Not fed by LEAN: {len(losses) - _SHOWN:,} more of {symbol}; backtest-server bars {symbol} lists them"


def _damaged(text: str) -> str:
    return f"Damaged, as LEAN would find it: {text}"
