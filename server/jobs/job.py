"""A job, its events, and reading both from the rows of the job database."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from attrs import evolve, frozen

COLUMNS = "id, kind, state, request, result, retry_of, created_at, started_at, finished_at"
"""The columns of a row, in the order in which `read_job` takes them."""

KINDS = ("backtest", "download")

DAMAGED = "damaged_row"
"""The code of the error of a job whose row cannot be read."""

_ID = re.compile("[0-9a-f]{12}")
_NO_ID = "0" * 12
_EPOCH = datetime.fromtimestamp(0, UTC)
_UNREADABLE = (ValueError, TypeError, OverflowError, OSError, RecursionError)


class JobState(enum.Enum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """Whether the state is final."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@frozen(kw_only=True)
class Job:
    """One job. ``request`` and ``result`` are JSON objects that only the work of the job interprets."""

    id: str
    kind: str
    state: JobState
    request: dict[str, Any]
    result: dict[str, Any]
    retry_of: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@frozen
class JobEvent:
    """An event of a job; numbers ascend by one from 1."""

    number: int
    data: dict[str, Any]


def read_job(row: Sequence[Any]) -> Job:
    """Return the job of a row; one with an invalid value is a failed job whose error names the column."""
    identity, kind, state, request, result, retry_of, created_at, started_at, finished_at = row
    damaged: list[str] = []

    def read(column: str, value: Any, convert: Any, default: Any) -> Any:
        try:
            return convert(value)
        except _UNREADABLE:
            damaged.append(column)
            return default

    job = Job(
        id=read("id", identity, _id, _NO_ID),
        kind=read("kind", kind, _kind, KINDS[0]),
        state=read("state", state, JobState, JobState.FAILED),
        request=read("request", request, _json_object, {}),
        result=read("result", result, _json_object, {}),
        retry_of=read("retry_of", retry_of, _optional_text, None),
        created_at=read("created_at", created_at, _instant, _EPOCH),
        started_at=read("started_at", started_at, _optional_instant, None),
        finished_at=read("finished_at", finished_at, _optional_instant, None),
    )
    return failed_as_damaged(job, f"invalid: {', '.join(damaged)}") if damaged else job


def failed_as_damaged(job: Job, reason: str) -> Job:
    """Return a job whose stored values cannot be used as a failed one."""
    message = f"the row of this job in the job database is damaged ({reason}); start the job again"
    return evolve(job, state=JobState.FAILED, result={"error": {"code": DAMAGED, "message": message}})


def read_event(number: int, data: Any) -> JobEvent | None:
    """Return an event, or None if its data cannot be read."""
    try:
        return JobEvent(number, _json_object(data))
    except _UNREADABLE:
        return None


def _json_object(text: Any) -> dict[str, Any]:
    found = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise TypeError("it is not a JSON object")
    if "\\ud" in text.lower():
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair cannot be sent
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _id(value: Any) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("it is not the id of a job")
    return str(value)


def _optional_text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("it is not text")
    return value


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise ValueError("it is not a kind of job")
    return str(value)


def _instant(value: Any) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def _optional_instant(value: Any) -> datetime | None:
    return None if value is None else _instant(value)
