"""What the ledger records of a symbol's check of splits, dividends and tickers."""

from __future__ import annotations

import json
from datetime import date

from attrs import field, frozen

from server.core.json import from_json
from server.data_download.findings import Findings


@frozen(kw_only=True)
class CorporateCheck:
    """When a symbol's splits, dividends and tickers were last requested, and the result.

    Attributes:
        provider: The provider that was asked.
        checked_at: When it last succeeded, or first failed, in seconds since 1970 UTC.
        asked_from: The first day whose closes were compared with the events; None where that is not known.
        asked_through: The last one.
        since: The first day requested for the factor file; None for the security's first day.
        made: Whether files exist for this symbol: an earlier ticker of a security has none of its own.
        trouble: Why it failed since; empty where it did not. What was found before is kept.
        findings: What was found besides the files.
        failed_at: When it failed, in seconds since 1970 UTC; 0 where it did not.
        files: The digest of both files after the check; empty if it failed, or if an earlier version recorded it.
    """

    provider: str
    checked_at: float
    asked_from: date | None = None
    asked_through: date | None = None
    since: date | None = None
    made: bool = True
    trouble: str = ""
    findings: Findings = field(factory=Findings)
    failed_at: float = 0.0
    files: bytes = b""

    def compared(self, first: date, last: date) -> bool:
        """Whether the closes of this range were compared, and events asked for."""
        return bool(self.asked_from and self.asked_through and self.asked_from <= first and last <= self.asked_through)


def check_of_row(
    provider: str,
    checked_at: float,
    asked_from: int,
    asked_through: int,
    since: int,
    made: int,
    trouble: str,
    findings: str,
    failed_at: float,
    files: bytes,
) -> CorporateCheck:
    """The check of a row of the ledger's table, which is given without its symbol."""
    return CorporateCheck(
        provider=provider,
        checked_at=float(checked_at),
        asked_from=date.fromordinal(asked_from) if asked_from else None,
        asked_through=date.fromordinal(asked_through) if asked_through else None,
        since=date.fromordinal(since) if since else None,
        made=bool(made),
        trouble=trouble,
        findings=from_json(json.loads(findings), Findings) if findings else Findings(),
        failed_at=float(failed_at),
        files=bytes(files),
    )
