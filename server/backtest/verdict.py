"""What the result of the smoke test is worth; LEAN's results are judged by `server.engines.verdict`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from server.core.text import count_text, list_text
from server.engines.base import EngineResult
from server.engines.verdict import COMPLETE, GAPS, UNTRUSTED


def doubts_reason(result: EngineResult) -> str | None:
    """Return why a result with doubts that the user has not accepted cannot be trusted; None without such doubts."""
    doubts = [f"{doubt.symbol} {doubt.day}: {doubt.message}" for doubt in result.open_doubts]
    return f"doubts about its data ({list_text(doubts)})" if doubts else None


def smoke_verdict(result: EngineResult, known_empty: Collection[str], untrusted: Sequence[str] = ()) -> str:
    """Return the verdict on a smoke test, beginning with ``complete``, ``gaps`` or ``untrusted``.

    Args:
        result: The result, with its doubts.
        known_empty: Paths of files that do not exist because their days have no bars.
        untrusted: Why it cannot be trusted, as far as the check of its data says so.
    """
    corrupt = [file.path for file in result.missing if file.reason == "corrupt"]
    gone = [path for path in result.failed_data_requests if path not in known_empty and path not in corrupt]
    doubts = doubts_reason(result)
    reasons = [*untrusted, *([doubts] if doubts else [])]
    reasons += (
        [f"{count_text(len(corrupt), 'file')} that LEAN does not read whole ({list_text(corrupt)})"] if corrupt else []
    )
    gaps = [f"{count_text(len(gone), 'file')} missing ({list_text(gone)})"] if gone else []
    word = UNTRUSTED if reasons else GAPS if gaps else COMPLETE
    return f"{word}: {'; '.join([*reasons, *gaps]) or 'every file that the request needs was read'}"
