"""The demo: a download and a backtest with the real provider from a recorded response of the vendor."""
