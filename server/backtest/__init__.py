"""A backtest's request and result: `BacktestRequest`, `resolve`, `download_request`, `BacktestResult`, `Phase`."""

from server.backtest.request import BacktestRequest, download_request, resolve
from server.backtest.result import BacktestResult, Phase

__all__ = ["BacktestRequest", "BacktestResult", "Phase", "download_request", "resolve"]
