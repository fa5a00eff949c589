"""What LEAN would not read of a data folder, or not as it is: one value for each cause, with file, days and rows.

LEAN reports almost none of it itself. The rules are LEAN's (``SubscriptionDataReader``, ``ZipDataCacheProvider``,
``TradeBar.StreamParseNoScale``, ``CorporateFactorProvider``, ``MapFile``); the texts are the same wherever a finding is
shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

from attrs import evolve, field, frozen

from server.core.json import json_options
from server.core.text import count_text
from server.lean.series import Series

FindingKind = Literal[
    "unreadable_file",
    "cut_short_zip",
    "empty_zip",
    "empty_member",
    "foreign_member",
    "unreadable_rows",
    "implausible_rows",
    "other_lines",
    "rows_out_of_order",
    "repeated_rows",
    "rows_lost",
    "ends_early",
    "missing_days",
    "closed_day",
    "member_name",
    "form",
    "missing_folder",
    "unreadable_line",
    "lines_out_of_order",
    "no_reference_price",
    "event_on_closed_day",
    "map_file_begins_late",
    "map_file_ends",
    "factor_file_begins_late",
]
"""What was found; docs/lean.md has each with what LEAN makes of it."""

Severity = Literal["damage", "notice"]
"""Damage makes LEAN lose bars, days, events or the share; a notice costs single rows at most, or nothing."""

FETCHED_AGAIN: frozenset[FindingKind] = frozenset(
    {
        "cut_short_zip",
        "empty_zip",
        "empty_member",
        "foreign_member",
        "unreadable_file",
        "unreadable_rows",
        "implausible_rows",
        "ends_early",
    }
)
"""Damage of bar files whose rows are not all there: a repair fetches their days."""

UNREAD_WHOLE: frozenset[FindingKind] = frozenset(
    {"cut_short_zip", "empty_zip", "empty_member", "foreign_member", "unreadable_file"}
)
"""Damage by which LEAN reads nothing of a file."""

REWRITTEN: frozenset[FindingKind] = frozenset({"other_lines", "rows_out_of_order"})
"""What a rewrite of the file cures without a request, since all its rows can be read."""


@frozen(kw_only=True)
class DataFinding:
    """One cause of data that LEAN does not read, or of a notice.

    Attributes:
        symbol: The symbol of the request, or the ticker of the file.
        path: The file, below the data folder.
        series: The series of a bar file; None for a factor or map file.
        days: The trading days concerned, ascending, as far as they are known.
        rows: The number of rows that LEAN does not read; 0 where it is not known.
        message: What it is, without the file: ``row 3 cannot be read: 'garbage'``.
        loses: Whether LEAN loses something by it.
        optional: Whether the request can do without the file, as without its benchmark.
    """

    symbol: str
    path: str
    kind: FindingKind
    severity: Severity
    days: tuple[date, ...] = ()
    rows: int = 0
    message: str
    loses: bool = True
    optional: bool = False
    series: Series | None = field(default=None, metadata=json_options(omit=True))

    @property
    def is_damage(self) -> bool:
        """Whether LEAN loses more than single rows by it."""
        return self.severity == "damage"

    @property
    def sentence(self) -> str:
        """The finding with its file, as one line."""
        days = [str(day) for day in (*self.days[:1], *self.days[1:][-1:])]
        where = f" ({' to '.join(days)}, {count_text(len(self.days), 'day')})" if len(days) > 1 else ""
        where = where or (f" ({days[0]})" if days else "")
        return f"{self.path}{where}: {self.message}"

    def within(self, days: Iterable[date]) -> DataFinding | None:
        """Return the part of the finding on these days; None where it concerns other days only."""
        if not self.days:
            return self
        left = sorted(set(self.days) & set(days))
        return evolve(self, days=tuple(left)) if left else None

    def without(self, days: Iterable[date]) -> DataFinding | None:
        """Return the part of the finding on other days than these; None where nothing is left."""
        left = sorted(set(self.days) - set(days))
        return evolve(self, days=tuple(left)) if left else None


def pack_findings(findings: Sequence[DataFinding]) -> str:
    """Return findings of one file as the ledger stores them; an empty text for none."""
    if not findings:
        return ""
    return json.dumps(
        [
            [one.kind, one.severity, [day.toordinal() for day in one.days], one.rows, one.message, one.loses]
            for one in findings
        ]
    )


def unpack_findings(text: str, *, path: str, series: Series) -> tuple[DataFinding, ...]:
    """Return the findings of a file that `pack_findings` packed.

    Args:
        text: What it returned.
        path: The file, below the data folder.
        series: Its series.
    """
    return tuple(
        DataFinding(
            symbol=series.ticker,
            path=path,
            series=series,
            kind=kind,
            severity=severity,
            days=tuple(map(date.fromordinal, days)),
            rows=rows,
            message=message,
            loses=loses,
        )
        for kind, severity, days, rows, message, loses in (json.loads(text) if text else ())
    )
