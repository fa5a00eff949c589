"""What the algorithm trades and when. The backtest server reads these values without running the file."""

SYMBOLS = ["AAPL"]
RESOLUTION = "daily"
START_DATE = "2023-01-03"
END_DATE = "2023-01-10"

CASH = 100_000
FAST_BARS = 2
SLOW_BARS = 4
