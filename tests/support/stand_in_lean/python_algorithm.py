"""Executes the initialization of a Python algorithm and records what it asks for."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.support.stand_in_lean import python_names
from tests.support.stand_in_lean.algorithm import (
    Algorithm,
    AlgorithmError,
    History,
    Span,
    day_of,
    resolution_of,
)
from tests.support.stand_in_lean.python_names import Anything, Symbol

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake(name: str) -> str:
    """The name of a method in LEAN's Python style."""
    return _HUMP.sub("_", name).lower()


class QCAlgorithm:
    """LEAN's base class; both styles of names are known, and methods without effect here accept everything."""

    recorded: Algorithm

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = snake(name).replace("set_warmup", "set_warm_up")
        if known != name and hasattr(QCAlgorithm, known):
            return getattr(self, known)
        return Anything()

    @property
    def time(self) -> datetime:
        return datetime.combine(self.recorded.start, datetime.min.time())

    @property
    def universe_settings(self) -> Any:
        return self.__dict__.setdefault("_universe_settings", SimpleNamespace())

    def set_start_date(self, *given: Any) -> None:
        self.recorded.start = day_of(given[0]) or date(*given)

    def set_end_date(self, *given: Any) -> None:
        self.recorded.end = day_of(given[0]) or date(*given)

    def set_cash(self, cash: Any, *more: object) -> None:
        self.recorded.cash = float(cash) if isinstance(cash, int | float) else self.recorded.cash

    def get_parameter(self, name: str, default: Any = None) -> Any:
        value = self.recorded.parameters.get(name, default)
        return type(default)(value) if isinstance(default, int | float) else value

    def add_equity(self, ticker: str, resolution: object = None, *args: object, **kwargs: object) -> Any:
        self.recorded.add(ticker, resolution_of(resolution, resolution_of(_universe_resolution(self))))
        return _Security(ticker.upper())

    def set_benchmark(self, benchmark: object, *args: object) -> None:
        self.recorded.benchmark = benchmark.upper() if isinstance(benchmark, str) else None

    def set_warm_up(self, back: Any, resolution: object = None) -> None:
        self.recorded.warm_up = _span(back, resolution_of(resolution, ""))

    def history(self, *given: Any, **named: Any) -> Any:
        self.recorded.histories += _histories(self.recorded, [one for one in given if not isinstance(one, Anything)])
        return Anything()

    def add_universe(self, *given: Any) -> Any:
        selectors = [one for one in given if callable(one) and not isinstance(one, Anything)]
        self.recorded.selectors.append(selectors[0] if selectors else None)
        return Anything()

    def log(self, text: object) -> None:
        self.recorded.lines.append(("Log", str(text)))

    def debug(self, text: object) -> None:
        self.recorded.lines.append(("Debug", str(text)))

    def error(self, text: object) -> None:
        self.recorded.lines.append(("Error", str(text)))


class _Security(Anything):
    def __init__(self, ticker: str) -> None:
        self.symbol = self.Symbol = Symbol(ticker)


def read_python(file: Path, shown: str, paths: Iterable[str], algorithm: Algorithm) -> None:
    """Load an algorithm's file and execute its initialization.

    Args:
        file: On this machine.
        shown: As the configuration names it.
        paths: Additional folders of modules.
        algorithm: What it asks for is added to this.

    Raises:
        AlgorithmError: The file cannot be loaded, has no algorithm, or its initialization fails.
    """
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(file.parent), *paths]
    python_names.provide(QCAlgorithm)
    try:
        made = _algorithm_class(_load(file))()
    except AlgorithmError as error:
        raise AlgorithmError(f"Unable to import python module {shown}. {error.message}", loading=True) from None
    made.recorded = algorithm
    start = getattr(made, "initialize", None)
    try:
        (made.Initialize if isinstance(start, Anything) else start)()
    except Exception as error:
        raise AlgorithmError(_initialize_error(file, error), loading=False) from None
    algorithm.universe_resolution = resolution_of(_universe_resolution(made))
    if algorithm.warm_up and not algorithm.warm_up.resolution:
        first = algorithm.securities[0].resolution if algorithm.securities else "daily"
        algorithm.warm_up = algorithm.warm_up._replace(resolution=first)


def fundamentals(lines: Iterable[str]) -> list[Any]:
    """The shares of a universe file (SID, ticker, close, volume, dollars, flag, price factor, split factor)."""
    found = []
    for line in lines:
        fields = line.strip().split(",")
        try:
            price, volume, dollars = (float(field) for field in fields[2:5])
        except ValueError:
            continue
        found.append(_Fundamental(Symbol(fields[1].upper()), price, volume, dollars))
    return found


class _Fundamental(Anything):
    def __init__(self, symbol: Symbol, price: float, volume: float, dollars: float) -> None:
        self.symbol = self.Symbol = symbol
        self.price = self.Price = self.adjusted_price = self.AdjustedPrice = self.value = self.Value = price
        self.volume = self.Volume = volume
        self.dollar_volume = self.DollarVolume = dollars
        self.has_fundamental_data = self.HasFundamentalData = False


def _universe_resolution(made: QCAlgorithm) -> object:
    settings = vars(made.universe_settings)
    return settings.get("resolution", settings.get("Resolution"))


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        text = f"{error.msg} ({file.name}, line {error.lineno}): {(error.text or '').strip()}"
        raise AlgorithmError(f"AlgorithmPythonWrapper(): {text} {text}", loading=True) from None
    except Exception as error:
        raise AlgorithmError(f"AlgorithmPythonWrapper(): {_frames(file, error)}", loading=True) from None
    return module


def _algorithm_class(module: ModuleType) -> type[QCAlgorithm]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, QCAlgorithm) and value.__module__ == module.__name__:
            return value
    text = "Please ensure that one class inherits from QCAlgorithm."
    raise AlgorithmError(f"AlgorithmPythonWrapper(): {text} in AlgorithmPythonWrapper.cs:line 178 {text}", loading=True)


def _initialize_error(file: Path, error: Exception) -> str:
    return f"During the algorithm initialization, the following exception has occurred: {_frames(file, error)}"


def _frames(file: Path, error: Exception) -> str:
    """An exception as LEAN writes it (LEAN: ``PythonUtil.PythonExceptionStackParser``)."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if not frames:
        return str(error)
    last = frames[-1]
    return f"{error}\n  at {last.name}\n    {last.line}\n in {file.name}: line {last.lineno}\n {error}"


def _span(back: object, resolution: str) -> Span:
    if isinstance(back, timedelta):
        return Span(time=back)
    return Span(int(back) if isinstance(back, int) else 0, resolution)


def _histories(recorded: Algorithm, given: list[Any]) -> Iterable[History]:
    """The request of a call of ``history``: tickers, then bars, a time or two dates, then a resolution."""
    tickers: tuple[str, ...] = tuple(security.ticker for security in recorded.securities)
    if given and isinstance(given[0], str | list | tuple):
        first = given.pop(0)
        tickers = (first.upper(),) if isinstance(first, str) else tuple(str(ticker).upper() for ticker in first)
    names = [one for one in given if isinstance(one, str)]
    used = {security.ticker: security.resolution for security in recorded.securities}
    for ticker in tickers:
        resolution = resolution_of(names[0] if names else None, used.get(ticker, "minute"))
        days = [day for one in given if (day := day_of(one))]
        if len(days) == 2:
            yield History((ticker,), resolution, first=days[0], last=days[1])
        elif given and isinstance(given[0], int | timedelta):
            yield History((ticker,), resolution, _span(given[0], resolution))
