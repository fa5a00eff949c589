"""What is known to be wrong with the files of a backtest when its engine starts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from server.backtest.data_repair import CheckedData
from server.data_download.data_findings import DataFinding

FindingKey = tuple[str, str]
"""The path of a file and the kind of a finding about it."""

SHOWN = 5
"""Findings of one kind of severity that are shown as sentences."""


@frozen(kw_only=True)
class DataFaults:
    """What is known to be wrong with the files of a backtest when its engine starts.

    Attributes:
        untrusted: Why a result cannot be trusted: rows that were lost in repairs, and damage that is left.
        notices: What was repaired, and what costs single rows at most.
        known: What was found, whether it is named above or not, except for rows that were lost: their days may be
            fetched later.
    """

    untrusted: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    known: frozenset[FindingKey] = frozenset()


def faults_of(checked: CheckedData) -> DataFaults:
    """Return what the check and the repair of the data of a backtest mean for its result.

    Args:
        checked: Its data, of which damage that is left was allowed.
    """
    lost = checked.lost
    notices = [one for one in checked.check.notices if one not in lost and one.loses]
    return DataFaults(
        untrusted=untrusted_sentences((*checked.check.damage, *lost)),
        known=frozenset(finding_key(one) for one in checked.check.findings if one not in lost),
        notices=(*(one.sentence for one in checked.repaired), *_sentences("", notices)),
    )


def untrusted_sentences(findings: Iterable[DataFinding]) -> tuple[str, ...]:
    """Return why a result over damage and lost rows is not to be trusted, as sentences for people."""
    found = list(findings)
    lost = [one for one in found if one.kind == "rows_lost"]
    damage = [one for one in found if one.kind != "rows_lost"]
    return (*_sentences("LEAN does not read ", damage), *_sentences("rows are lost: ", lost))


def finding_key(finding: DataFinding) -> FindingKey:
    """Return what makes two findings the same, whichever days were asked about."""
    return finding.path, finding.kind


def _sentences(begin: str, findings: Sequence[DataFinding]) -> list[str]:
    """Sentences for people; of many findings the first."""
    sentences = [f"{begin}{one.sentence}" for one in findings[:SHOWN]]
    if len(findings) > SHOWN:
        sentences.append(f"and {len(findings) - SHOWN:,} more such findings; backtest-server verify lists them")
    return sentences
