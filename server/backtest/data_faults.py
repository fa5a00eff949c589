"""What is known to be wrong with the files of a backtest when its engine starts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from server.backtest.data_repair import CheckedData
from server.data_download.data_findings import DataFinding

SHOWN = 5
"""Findings of one kind of severity that are shown as sentences."""


@frozen(kw_only=True)
class DataFaults:
    """What is known to be wrong with the files of a backtest when its engine starts.

    Attributes:
        untrusted: Why a result cannot be trusted: rows that were lost in repairs, and damage that is left.
        notices: What was repaired, and what costs single rows at most.
    """

    untrusted: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def faults_of(checked: CheckedData) -> DataFaults:
    """Return what the check and the repair of the data of a backtest mean for its result.

    Args:
        checked: Its data, of which damage that is left was allowed.
    """
    lost = checked.lost
    notices = [one for one in checked.check.notices if one not in lost and one.loses]
    return DataFaults(
        untrusted=(*_sentences("LEAN does not read ", checked.check.damage), *_sentences("rows are lost: ", lost)),
        notices=(*(one.sentence for one in checked.repaired), *_sentences("", notices)),
    )


def _sentences(begin: str, findings: Sequence[DataFinding]) -> list[str]:
    """Sentences for people; of many findings the first."""
    sentences = [f"{begin}{one.sentence}" for one in findings[:SHOWN]]
    if len(findings) > SHOWN:
        sentences.append(f"and {len(findings) - SHOWN:,} more such findings; backtest-server verify lists them")
    return sentences
