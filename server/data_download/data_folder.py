"""A data folder with its state: what reads it, what writes it, and the locks."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from server.data_download.catalog import Catalog
from server.data_download.ledger import Ledger
from server.data_download.locks import STATE_FOLDER, SeriesLocks
from server.data_download.writer import SeriesWriter
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class DataFolder:
    """LEAN's data folder. Its parts are safe to use from several threads."""

    path: Path
    ledger: Ledger
    catalog: Catalog
    writer: SeriesWriter
    locks: SeriesLocks

    @classmethod
    def open(
        cls,
        path: Path,
        calendar: USEquityTradingCalendar,
        state_folder: Path | None = None,
        *,
        read_only: bool = False,
    ) -> DataFolder:
        """Create the parts; no file is opened before it is needed.

        Args:
            path: LEAN's data folder.
            calendar: The trading calendar.
            state_folder: Where the ledger is; None for its usual place below the data folder.
            read_only: Create no state folder: without one the ledger stays in memory.
        """
        ledger = Ledger((state_folder or path / STATE_FOLDER) / "ledger.sqlite", create_folder=not read_only)
        return cls(
            path=path,
            ledger=ledger,
            catalog=Catalog(path, ledger, calendar),
            writer=SeriesWriter(path, ledger),
            locks=SeriesLocks(path),
        )

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()
