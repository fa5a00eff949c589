"""How a run reports: to console and log, or as packets of the live stream (LEAN: ``IMessagingHandler``)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from tests.support.stand_in_lean.log import Log
from tests.support.stand_in_lean.results import Failure


class Messaging(Protocol):
    """Receives what a run reports."""

    def status(self, status: str, message: str = "") -> None: ...

    def text(self, kind: str, text: str) -> None: ...

    def progress(self, fraction: float, result: Mapping[str, Any]) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def finished(
        self, result: Mapping[str, Any], events: list[dict[str, Any]], statistics: Mapping[str, str]
    ) -> None: ...

    def close(self) -> None: ...


class ConsoleMessaging:
    """LEAN's ``Messaging``: texts and statistics go to the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def status(self, status: str, message: str = "") -> None:
        pass

    def text(self, kind: str, text: str) -> None:
        if kind == "Error":
            self._log.error(text)
        else:
            self._log.trace(f"{kind.removeprefix('System')}: {text}")

    def progress(self, fraction: float, result: Mapping[str, Any]) -> None:
        pass

    def failed(self, failure: Failure) -> None:
        self._log.error(f"{failure.message}\n {failure.stack}")

    def finished(self, result: Mapping[str, Any], events: list[dict[str, Any]], statistics: Mapping[str, str]) -> None:
        lines = [f"STATISTICS:: {name} {value}" for name, value in statistics.items()]
        self._log.trace("\n".join(("", *lines)))

    def close(self) -> None:
        pass


class StreamMessaging:
    """LEAN's ``StreamingMessageHandler``: packets as JSON over a ZeroMQ PUSH socket, one frame each (fact 9)."""

    def __init__(self, address: str, identifier: str, parameters: Mapping[str, str], language: str) -> None:
        """Bind the port.

        Raises:
            OSError: The port is taken.
        """
        import site

        site.main()  # the program runs without site-packages, which pyzmq is in
        import zmq

        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 5_000)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            raise OSError(str(error)) from None
        self._id = identifier
        self._parameters = dict(parameters)
        self._language = language
        self._sent: dict[tuple[str, str], int] = {}
        self._orders = 0
        self._period: tuple[str | None, str | None] = (None, None)

    def packet(self, kind: str, **fields: Any) -> None:
        """Send a packet; waits for ever where no receiver is connected."""
        self._socket.send_json({**fields, "Type": kind, "Channel": ""})

    def begin(self, algorithm: str) -> None:
        """Send the first packet, with the algorithm in base64."""
        self.packet(
            "BacktestNode",
            Name=self._id,
            BacktestId=self._id,
            PeriodStart=None,
            PeriodFinish=None,
            UserId=0,
            ProjectId=0,
            AlgorithmId=self._id,
            Language={"CSharp": "C#"}.get(self._language, self._language),
            Version="2.5.0.0",
            Algorithm=algorithm,
            RequestSource="WebIDE",
            Parameters=self._parameters,
        )
        self.status("Initializing", "Initializing algorithm...")

    def begin_bars(self, start: object, end: object, result: Mapping[str, Any]) -> None:
        """Send what LEAN sends before the first bar."""
        self._period = f"{start}T00:00:00", f"{end}T23:59:59.9999999"
        self.status("Running")
        self._result(0.0, _statistics(result))
        self.packet("SecurityTypes", Types=[1], TypesCSV="equity")
        self.packet("AlgorithmNameUpdate", AlgorithmId=self._id, Name=self._id)
        self.packet("AlgorithmTagsUpdate", AlgorithmId=self._id, Tags=[])

    def status(self, status: str, message: str = "") -> None:
        fields = {"ChartSubscription": None, "Message": message, "AlgorithmId": self._id, "OptimizationId": None}
        self.packet("AlgorithmStatus", Status=status, **fields, ProjectId=0, ChannelStatus=None)

    def text(self, kind: str, text: str) -> None:
        kind = {"Error": "HandledError"}.get(kind, kind)
        self.packet(kind, Message=text, AlgorithmId=self._id, CompileId="", ProjectId=0, Toast=False)

    def progress(self, fraction: float, result: Mapping[str, Any]) -> None:
        for name, chart in result["charts"].items():
            series = {}
            for key, one in chart["series"].items():
                sent = self._sent.get((name, key), 0)
                self._sent[name, key] = len(one["values"])
                if one["values"][sent:]:
                    series[key] = {**one, "values": one["values"][sent:]}
            if series:
                self._result(fraction, {"Charts": {name: _chart(chart, series)}})
        if len(result["orders"]) > self._orders:
            self._orders = len(result["orders"])
            self._result(fraction, {"Orders": result["orders"]})
        self._result(fraction, _statistics(result))

    def failed(self, failure: Failure) -> None:
        self.packet("RuntimeError", Message=failure.message, AlgorithmId=self._id, StackTrace=failure.stack, UserId=0)

    def finished(self, result: Mapping[str, Any], events: list[dict[str, Any]], statistics: Mapping[str, str]) -> None:
        pascal = {
            "Charts": {name: _chart(chart, chart["series"]) for name, chart in result["charts"].items()},
            "Orders": result["orders"],
            "OrderEvents": events,
            "ProfitLoss": result["profitLoss"],
            "Statistics": result["statistics"],
            **_statistics(result),
            "State": result["state"],
            "AlgorithmConfiguration": _capitals(result["algorithmConfiguration"], "Parameters"),
            "TotalPerformance": _capitals(result["totalPerformance"]),
            "Analysis": [_capitals(finding, "Sample") for finding in result.get("analysis", [])],
        }
        self._result(1.0, pascal, rolling=_capitals(result["rollingWindow"], top=False))

    def close(self) -> None:
        self._socket.close()
        sys.modules["zmq"].Context.instance().term()

    def _result(self, fraction: float, results: dict[str, Any], rolling: dict[str, Any] | None = None) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        self.packet(
            "BacktestResult",
            UserId=0,
            ProjectId=0,
            SessionId="",
            BacktestId=self._id,
            OptimizationId=None,
            CompileId="",
            PeriodStart=self._period[0],
            PeriodFinish=self._period[1],
            DateRequested=now,
            DateFinished=now,
            Progress=round(fraction, 3),
            Name=self._id,
            Results={"RollingWindow": rolling or {}, **results},
            ProcessingTime=0.0,
            TradeableDates=0,
        )


def _statistics(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"RuntimeStatistics": result["runtimeStatistics"], "ServerStatistics": result["serverStatistics"]}


def _chart(chart: Mapping[str, Any], series: Mapping[str, Any]) -> dict[str, Any]:
    return {"Name": chart["name"], "ChartType": 0, "Series": series}


def _capitals(value: Any, *unchanged: str, top: bool = True) -> Any:
    """Names of properties as the stream has them; names of dictionaries of LEAN stay."""
    if isinstance(value, dict):
        names = {key: key[:1].upper() + key[1:] if top else key for key in value}
        return {names[key]: one if names[key] in unchanged else _capitals(one) for key, one in value.items()}
    return [_capitals(one) for one in value] if isinstance(value, list) else value
