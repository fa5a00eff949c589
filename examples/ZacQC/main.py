"""A moving-average crossover on the symbols of config/parameters.py, as a LEAN project."""

from datetime import date

from AlgorithmImports import *
from config import parameters


class ZacQC(QCAlgorithm):
    """Holds each symbol, in equal parts, while its fast average is above its slow one."""

    def initialize(self):
        """Set dates, cash and symbols; parameters named backtest-... override those of the file."""
        start = date.fromisoformat(self.get_parameter("backtest-start", parameters.START_DATE))
        end = date.fromisoformat(self.get_parameter("backtest-end", parameters.END_DATE))
        symbols = self.get_parameter("backtest-symbols", ",".join(parameters.SYMBOLS)).split(",")
        resolution = {
            "daily": Resolution.DAILY,
            "hour": Resolution.HOUR,
            "minute": Resolution.MINUTE,
            "second": Resolution.SECOND,
        }[self.get_parameter("backtest-resolution", parameters.RESOLUTION)]

        self.set_start_date(start.year, start.month, start.day)
        self.set_end_date(end.year, end.month, end.day)
        self.set_cash(parameters.CASH)

        self.averages = {}
        for ticker in symbols:
            symbol = self.add_equity(ticker, resolution).symbol
            self.averages[symbol] = (
                self.sma(symbol, parameters.FAST_BARS, resolution),
                self.sma(symbol, parameters.SLOW_BARS, resolution),
            )

    def on_data(self, data):
        """Buy on a crossing upwards, sell on one downwards."""
        for symbol, (fast, slow) in self.averages.items():
            if not slow.is_ready or not data.bars.contains_key(symbol):
                continue
            above = fast.current.value > slow.current.value
            if above and not self.portfolio[symbol].invested:
                self.set_holdings(symbol, 1 / len(self.averages))
            elif not above and self.portfolio[symbol].invested:
                self.liquidate(symbol)
