"""A backtest server for QuantConnect LEAN that fetches only the market data it lacks."""

__version__ = "0.1.0"
