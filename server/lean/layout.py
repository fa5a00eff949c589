"""Where LEAN keeps US equity trade bars, relative to its data folder (LEAN: ``LeanData.GenerateZipFilePath``)."""

from __future__ import annotations

from datetime import date

from server.lean.series import Resolution

EQUITY_USA = "equity/usa"


def folder_of(symbol: str, resolution: Resolution) -> str:
    """The folder that holds the symbol's zips: one per symbol, or for daily bars one for all symbols."""
    if resolution is Resolution.DAILY:
        return f"{EQUITY_USA}/daily"
    return f"{EQUITY_USA}/{resolution.value}/{symbol.lower()}"


def zip_name(symbol: str, resolution: Resolution, day: date | None) -> str:
    """The zip's own name: ``20131007_trade.zip``, or ``spy.zip`` for daily bars (which ignore the day)."""
    if resolution is Resolution.DAILY:
        return f"{symbol.lower()}.zip"
    if day is None:
        raise ValueError(f"a {resolution.value} file is one day's; name the day")
    return f"{day:%Y%m%d}_trade.zip"


def relative_path(symbol: str, resolution: Resolution, day: date | None) -> str:
    """The zip's path below the data folder: ``equity/usa/minute/spy/20131007_trade.zip``."""
    return f"{folder_of(symbol, resolution)}/{zip_name(symbol, resolution, day)}"


def member_name(symbol: str, resolution: Resolution, day: date | None) -> str:
    """The one member of that zip: ``20131007_spy_minute_trade.csv``, or ``spy.csv`` for daily bars.

    LEAN's reader takes the first member whatever its name, its writer needs this very name to merge
    (LEAN: ``LeanData.GenerateZipEntryName``).
    """
    if resolution is Resolution.DAILY:
        return f"{symbol.lower()}.csv"
    if day is None:
        raise ValueError(f"a {resolution.value} file is one day's; name the day")
    return f"{day:%Y%m%d}_{symbol.lower()}_{resolution.value}_trade.csv"
