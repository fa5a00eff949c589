"""The names that LEAN's ``AlgorithmImports`` brings, and packages that LEAN's Python has, without content."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGES = ("pandas", "numpy", "scipy", "sklearn", "statsmodels", "matplotlib", "clr", "System", "QuantConnect")
_NAMES = [
    "AccountType",
    "BrokerageName",
    "Chart",
    "ChartPoint",
    "DataNormalizationMode",
    "DataMappingMode",
    "Delistings",
    "Dividends",
    "Field",
    "Fundamental",
    "Fundamentals",
    "IndicatorDataPoint",
    "Insight",
    "InsightDirection",
    "Market",
    "MovingAverageType",
    "OrderDirection",
    "OrderEvent",
    "OrderProperties",
    "OrderStatus",
    "OrderTicket",
    "OrderType",
    "PortfolioTarget",
    "PythonData",
    "PythonIndicator",
    "QuoteBar",
    "RollingWindow",
    "ScatterMarkerSymbol",
    "SecurityChanges",
    "SecurityType",
    "Series",
    "SeriesType",
    "Slice",
    "Splits",
    "SubscriptionDataSource",
    "TimeInForce",
    "TradeBar",
    "TradeBars",
    "Universe",
    "UniverseSelectionModel",
    "SimpleMovingAverage",
    "ExponentialMovingAverage",
    "RelativeStrengthIndex",
    "BollingerBands",
    "MovingAverageConvergenceDivergence",
    "AverageTrueRange",
    "Minimum",
    "Maximum",
    "Momentum",
    "List",
    "Dict",
    "Extensions",
    "EqualWeightingPortfolioConstructionModel",
    "ImmediateExecutionModel",
    "NullRiskManagementModel",
    "ConstantAlphaModel",
    "Expiry",
    "ConstantFeeModel",
    "InteractiveBrokersFeeModel",
    "DayOfWeek",
    "DateRules",
    "TimeRules",
    "Color",
    "Language",
    "Currencies",
]


class Anything:
    """Any object of LEAN's: takes every call, has every attribute, contains nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self

    def __getitem__(self, key: object) -> Any:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""

    def __format__(self, spec: str) -> str:
        return ""

    def _operation(self, other: object = None) -> Any:
        return self

    def _comparison(self, other: object) -> bool:
        return False

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _operation
    __iadd__ = __isub__ = __neg__ = __pos__ = __abs__ = _operation
    __lt__ = __le__ = __gt__ = __ge__ = _comparison


class Symbol(str):
    """A symbol, equal to its ticker."""

    @property
    def value(self) -> str:
        return str(self)

    Value = ID = id = value

    @staticmethod
    def create(ticker: str, *args: object) -> Symbol:
        return Symbol(ticker.upper())

    Create = create


class Resolution:
    """LEAN's resolutions."""

    TICK = Tick = "tick"
    SECOND = Second = "second"
    MINUTE = Minute = "minute"
    HOUR = Hour = "hour"
    DAILY = Daily = "daily"


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


class _Packages(MetaPathFinder, Loader):
    """Finds the packages of LEAN's Python, without content."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in PACKAGES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def provide(algorithm_class: type) -> None:
    """Make ``from AlgorithmImports import *`` work in this process."""
    module = ModuleType("AlgorithmImports")
    own = {"QCAlgorithm": algorithm_class, "Resolution": Resolution, "Symbol": Symbol}
    others = {"datetime": datetime, "timedelta": timedelta, "date": date, "math": math, "np": Anything()}
    vars(module).update({name: Anything() for name in _NAMES} | own | others | {"pd": Anything()})
    sys.modules["AlgorithmImports"] = module
    sys.meta_path.insert(0, _Packages())
