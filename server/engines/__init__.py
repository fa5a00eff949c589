"""What runs a backtest once its data is there: LEAN through its CLI, or the embedded smoke test."""
