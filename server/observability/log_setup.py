"""Configures the log: short lines of text for the terminal, and JSON lines for Grafana and Loki.

Importing this module configures nothing; the command calls `configure_logging` once. A patcher on loguru's logger masks
every known secret before a sink receives the record.
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
"""The logger of the server."""


class Masker:
    """Masks known secrets in texts and records. Thread-safe; a secret is never removed."""

    def __init__(self) -> None:
        self._secrets: tuple[Secret, ...] = ()

    def add(self, secret: Secret) -> None:
        """Mask this secret from now on."""
        known = {*self._secrets, secret}
        # Longest first: masking a secret that is part of another would leave the rest of the other readable.
        self._secrets = tuple(sorted(known, key=lambda one: len(one.reveal()), reverse=True))

    def text(self, text: str) -> str:
        """Return the text with each secret replaced by asterisks, in any case and URL-encoded too."""
        return mask_secrets(text, self._secrets)

    def value(self, value: Any) -> Any:
        """Return the value in JSON's types, masked."""
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
        """Mask a record in place; its exception becomes text, since sinks would print the original."""
        record["message"] = self.text(record["message"])
        extra = {self.text(key): self.value(item) for key, item in record["extra"].items()}
        exception = record["exception"]
        if exception is not None and exception.value is not None:
            lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
            extra["exception"] = self.text(describe_exception(exception.value))
            extra["traceback"] = self.text("".join(lines))
        record["exception"] = None
        record["extra"] = extra


masker = Masker()
"""The secrets of this process."""


def add_secret(secret: Secret) -> None:
    """Mask a secret that became known after `configure_logging`."""
    masker.add(secret)


def mask(text: str) -> str:
    """Return the text with every known secret masked: for errors that are printed and not logged."""
    return masker.text(text)


def configure_logging(
    *,
    state_folder: Path | None,
    level: str = "INFO",
    stderr: bool = True,
    sink: Callable[[str], None] | None = None,
    sink_level: str | None = None,
    secrets: Iterable[Secret] = (),
) -> None:
    """Configure the log of this process; a second call replaces the first one's configuration except for the secrets.

    Args:
        state_folder: JSON lines are written to ``logs/backtest-server.jsonl`` in it, once the folder above it (the data
            folder) exists; None writes none. If the file cannot be written, one warning is shown and the run continues.
        level: The lowest level that is logged, in any case.
        stderr: Whether lines of text are printed on stderr.
        sink: Receives the lines of text, without a line end, in place of stderr.
        sink_level: The lowest level of lines of text, if it is higher than `level`.
        secrets: What is masked in the log.

    Raises:
        ConfigurationError: The level does not exist.
    """
    if level.upper() not in LEVELS:
        raise ConfigurationError(
            f"the log level (BACKTEST_SERVER_LOG_LEVEL) cannot be {level[:24]!r}; it must be one of {', '.join(LEVELS)}"
        )
    for secret in secrets:
        masker.add(secret)
    show = sink if sink is not None else _to_stderr if stderr else None
    logger.remove()
    logger.configure(patcher=masker.record)
    settings: dict[str, Any] = {"format": _no_text, "backtrace": False, "diagnose": False}
    if show is not None:
        text_level = max(level.upper(), sink_level or LEVELS[0], key=LEVELS.index)
        logger.add(_text_lines(show), level=text_level, **settings)
    if state_folder is not None:
        path = state_folder / "logs" / "backtest-server.jsonl"
        file = LogFile(path, within=state_folder.parent)
        logger.add(_json_lines(file, show or _discard), level=level.upper(), **settings)


def log_listener(log: Logger = backtest_logger) -> DownloadLog:
    """Return an event listener that logs downloads."""
    return DownloadLog(log)


def text_line(record: Record) -> str:
    """Return a record as one short line of text, without a line end; other control characters become spaces."""
    level = record["level"]
    word = f"{level.name.lower()}: " if level.no >= _WARNING else ""
    text = "".join(char if char.isprintable() else " " for char in record["message"])
    return f"{record['time']:%H:%M:%S} {word}{text}"


def json_line(record: Record) -> str:
    """Return a record as one flat JSON object: time (UTC), level, message, and the fields bound to it."""
    fixed = {
        "time": utc(record["time"]),
        "level": record["level"].name,
        "message": record["message"],
    }
    bound = {f"extra_{key}" if key in fixed else key: value for key, value in record["extra"].items()}
    return json.dumps({**fixed, **bound}, default=str)


def utc(instant: datetime) -> str:
    """Return an instant as ISO 8601 in UTC, in milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text_lines(show: Callable[[str], None]) -> Callable[[Message], None]:
    return lambda message: show(text_line(message.record))


def _json_lines(file: LogFile, show: Callable[[str], None]) -> Callable[[Message], None]:
    reported = False

    def write(message: Message) -> None:
        nonlocal reported
        try:
            file.write(json_line(message.record))
        except OSError as error:
            if not reported:
                reported = True
                show(f"warning: the log {file.path} cannot be written ({error.strerror}); continuing without it")

    return write


def _no_text(_: Record) -> str:
    # The sinks format the record themselves.
    return ""


def _discard(_: str) -> None:
    pass


def _to_stderr(line: str) -> None:
    # The reader of stderr may have ended; the run continues.
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
