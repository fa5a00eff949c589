"""What the server writes down: short lines for people, and JSON lines for Grafana and Loki.

Nothing is set up by importing this module; `configure_logging` does, once, at the edge. A patcher on loguru's
logger masks every known secret before any sink sees a record.
"""

from __future__ import annotations

import enum
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from server.core.errors import ConfigurationError, describe_exception
from server.core.secret import Secret, mask_secrets
from server.observability.download_log import DownloadLog
from server.observability.log_file import LogFile

if TYPE_CHECKING:
    from loguru import Logger, Message, Record

_WARNING = 30

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

backtest_logger = logger.bind(component="backtest-server")
"""The logger of everything here."""


class Masker:
    """Takes the secrets it knows out of texts and records. Thread-safe; it never forgets one."""

    def __init__(self) -> None:
        self._secrets: tuple[Secret, ...] = ()

    def add(self, secret: Secret) -> None:
        """Mask this one from now on."""
        known = {*self._secrets, secret}
        # Longest first: a secret that is part of another must not leave the rest of it behind.
        self._secrets = tuple(sorted(known, key=lambda one: len(one.reveal()), reverse=True))

    def text(self, text: str) -> str:
        """The text with asterisks in the place of each secret, in any case and URL-encoded too."""
        return mask_secrets(text, self._secrets)

    def value(self, value: Any) -> Any:
        """The value in JSON's types, masked."""
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, enum.Enum):
            return self.value(value.value)
        if isinstance(value, datetime):
            return utc(value) if value.tzinfo else value.isoformat()
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        return self.text(str(value))

    def record(self, record: Record) -> None:
        """Mask a record in place; its exception is replaced by text, since sinks would print the original."""
        record["message"] = self.text(record["message"])
        extra = {self.text(key): self.value(item) for key, item in record["extra"].items()}
        exception = record["exception"]
        if exception is not None and exception.value is not None:
            lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
            extra["exception"] = self.text(describe_exception(exception.value))
            extra["traceback"] = self.text("".join(lines))
        record["exception"] = None
        record["extra"] = extra


_masker = Masker()


def add_secret(secret: Secret) -> None:
    """Keep a secret that became known later out of the log, too."""
    _masker.add(secret)


def mask(text: str) -> str:
    """A text for people with every known secret masked: for errors that are printed rather than logged."""
    return _masker.text(text)


def configure_logging(
    *,
    state_folder: Path | None,
    level: str = "INFO",
    stderr: bool = True,
    sink: Callable[[str], None] | None = None,
    secrets: Iterable[Secret] = (),
) -> None:
    """Say where the log goes; what was set up before no longer holds, but for the secrets.

    Args:
        state_folder: JSON lines go to ``logs/backtest-server.jsonl`` under it, made with the first line once
            the folder above the state folder, which is the data folder, is there; None writes none. Where it
            cannot be written, people are told once and the run goes on.
        level: The least level that is written, in any case.
        stderr: Whether people's lines go to stderr.
        sink: Takes people's lines (without a line end) in place of stderr, say to print them above a bar.
        secrets: What must never be in the log.

    Raises:
        ConfigurationError: There is no such level.
    """
    if level.upper() not in LEVELS:
        raise ConfigurationError(
            f"the log level (BACKTEST_SERVER_LOG_LEVEL) cannot be {level[:24]!r}; it must be one of {', '.join(LEVELS)}"
        )
    for secret in secrets:
        _masker.add(secret)
    show = sink if sink is not None else _to_stderr if stderr else None
    logger.remove()
    logger.configure(patcher=_masker.record)
    settings: dict[str, Any] = {"level": level.upper(), "format": _no_text, "backtrace": False, "diagnose": False}
    if show is not None:
        logger.add(_people(show), **settings)
    if state_folder is not None:
        path = state_folder / "logs" / "backtest-server.jsonl"
        logger.add(_json_lines(LogFile(path, within=state_folder.parent), show or _to_nobody), **settings)


def log_listener(log: Logger = backtest_logger) -> DownloadLog:
    """A progress listener that logs one download; give it the report at the end (`DownloadLog.log_report`)."""
    return DownloadLog(log)


def people_line(record: Record) -> str:
    """One short line for people, without a line end; other control characters become spaces."""
    level = record["level"]
    word = f"{level.name.lower()}: " if level.no >= _WARNING else ""
    text = "".join(char if char.isprintable() else " " for char in record["message"])
    return f"{record['time']:%H:%M:%S} {word}{text}"


def json_line(record: Record) -> str:
    """One flat JSON object: time (UTC), level, message, and everything that is bound to the record."""
    fixed = {
        "time": utc(record["time"]),
        "level": record["level"].name,
        "message": record["message"],
    }
    bound = {f"extra_{key}" if key in fixed else key: value for key, value in record["extra"].items()}
    return json.dumps({**fixed, **bound}, default=str)


def utc(instant: datetime) -> str:
    """An instant as ISO 8601 in UTC, to the millisecond."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _people(show: Callable[[str], None]) -> Callable[[Message], None]:
    return lambda message: show(people_line(message.record))


def _json_lines(file: LogFile, show: Callable[[str], None]) -> Callable[[Message], None]:
    told = False

    def write(message: Message) -> None:
        nonlocal told
        try:
            file.write(json_line(message.record))
        except OSError as error:
            if not told:
                told = True
                show(f"warning: the log {file.path} cannot be written ({error.strerror}); going on without it")

    return write


def _no_text(_: Record) -> str:
    # The sinks make their lines from the record; loguru need not format one as well.
    return ""


def _to_nobody(_: str) -> None:
    pass


def _to_stderr(line: str) -> None:
    # Whoever reads stderr may be gone by now; that is no reason to stop.
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
