"""LEAN projects whose algorithms the stand-in for LEAN can run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

ALGORITHM = """from AlgorithmImports import *


class Strategy(QCAlgorithm):
    def initialize(self):
        self.set_start_date({start.year}, {start.month}, {start.day})
        self.set_end_date({end.year}, {end.month}, {end.day})
{lines}
"""


def write_algorithm(
    folder: Path, days: Sequence[date], *lines: str, symbol: str = "AAPL", resolution: str = "minute"
) -> Path:
    """Write a project.

    Args:
        folder: Of the project.
        days: Of its range the first and the last.
        lines: Of ``initialize``, besides the range.
        symbol, resolution: What its parameters request.
    """
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "parameters.py").write_text(
        f"symbols = ['{symbol}']\nresolution = '{resolution}'\nstart = '{days[0]}'\nend = '{days[-1]}'\n"
    )
    body = "\n".join(f"        {line}" for line in lines)
    (folder / "main.py").write_text(ALGORITHM.format(start=days[0], end=days[-1], lines=body))
    return folder
