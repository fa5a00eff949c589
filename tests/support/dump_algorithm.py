"""An algorithm for the real engine that writes what it is fed, in the form of ``bars --format jsonl``."""

from __future__ import annotations

DUMP = """from AlgorithmImports import *
import json

RESOLUTIONS = {
    "second": Resolution.SECOND,
    "minute": Resolution.MINUTE,
    "hour": Resolution.HOUR,
    "daily": Resolution.DAILY,
}
MODES = {
    "raw": DataNormalizationMode.RAW,
    "adjusted": DataNormalizationMode.ADJUSTED,
    "splitadjusted": DataNormalizationMode.SPLIT_ADJUSTED,
    "totalreturn": DataNormalizationMode.TOTAL_RETURN,
}


class Dump(QCAlgorithm):
    def initialize(self):
        start, end = self.get_parameter("backtest-start"), self.get_parameter("backtest-end")
        self.set_start_date(*map(int, start.split("-")))
        self.set_end_date(*map(int, end.split("-")))
        resolution = RESOLUTIONS[self.get_parameter("backtest-resolution")]
        mode = MODES[self.get_parameter("mode")]
        fill, extended = (self.get_parameter(name, "false") == "true" for name in ("fill", "extended"))
        for ticker in self.get_parameter("backtest-symbols").split(","):
            self.add_equity(ticker, resolution, Market.USA, fill, 1, extended, mode)
        self.fed = self.get_parameter("fed")

    def on_data(self, data):
        lines = []
        for symbol, one in data.splits.items():
            kind = "warning" if one.type == SplitType.WARNING else "occurred"
            lines.append(self.event("split", one, kind=kind, factor=one.split_factor, reference=one.reference_price))
        for symbol, one in data.dividends.items():
            lines.append(self.event("dividend", one, amount=one.distribution, reference=one.reference_price))
        for symbol, one in data.delistings.items():
            kind = "warning" if one.type == DelistingType.WARNING else "delisted"
            lines.append(self.event("delisting", one, kind=kind))
        for symbol, one in data.symbol_changed_events.items():
            day = one.time.date().isoformat()
            names = {"ticker": one.new_symbol, "old": one.old_symbol, "new": one.new_symbol}
            lines.append({"type": "rename", "day": day, **names})
        for one in sorted((bar for symbol, bar in data.bars.items()), key=lambda bar: bar.symbol.value):
            times = {"start": one.time.isoformat(), "end": one.end_time.isoformat()}
            prices = {name: float(getattr(one, name)) for name in ("open", "high", "low", "close", "volume")}
            own = {"ticker": one.symbol.value, **prices, "filled": bool(one.is_fill_forward)}
            lines.append({"type": "bar", **times, **own})
        with open(self.fed, "a") as file:
            file.writelines(json.dumps(line) + chr(10) for line in lines)

    def event(self, kind_of_line, one, **values):
        numbers = {name: value if isinstance(value, str) else float(value) for name, value in values.items()}
        return {"type": kind_of_line, "day": one.time.date().isoformat(), "ticker": one.symbol.value, **numbers}
"""
"""The parameter ``fed`` names the file; ``mode``, ``fill`` and ``extended`` are those of a recorded question."""
