"""A job's events as a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle
from server.web.events import EventHub


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    """A queue whose jobs emit three events."""

    def work(job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        for number in range(3):
            handle.emit({"kind": "notice", "text": str(number)})
        return JobState.COMPLETED, {}

    store = JobStore(None, lambda: datetime(2024, 6, 3, tzinfo=UTC))
    found = JobQueue(store, work)
    yield found
    found.close()
    store.close()


def read(queue: JobQueue, identity: str, after: int) -> list[str]:
    """The blocks of a stream until its end."""

    async def collect() -> list[str]:
        return [block async for block in EventHub(queue).stream(identity, after)]

    return asyncio.run(asyncio.wait_for(collect(), 10))


def texts(blocks: list[str]) -> list[str]:
    """What the events of some blocks say."""
    found = [json.loads(line.removeprefix("data: ")) for block in blocks[:-1] for line in block.splitlines()[1:2]]
    return [one.get("state") or one["text"] for one in found]


def test_a_stream_has_every_event_and_ends_with_the_job(queue: JobQueue) -> None:
    """Also when it begins before the job ends."""
    job = queue.submit("backtest", {})

    blocks = read(queue, job.id, 0)

    assert texts(blocks) == ["queued", "running", "0", "1", "2", "completed"]
    assert [block.splitlines()[0] for block in blocks[:-1]] == [f"id: {number}" for number in range(1, 7)]
    assert blocks[-1] == "event: end\ndata: {}\n\n"


def test_a_stream_resumes_after_an_event(queue: JobQueue) -> None:
    """Events up to that number are not sent again."""
    job = queue.wait(queue.submit("backtest", {}).id, 10)

    assert texts(read(queue, job.id, 4)) == ["2", "completed"]
    assert texts(read(queue, job.id, 6)) == []


def test_closing_ends_a_stream_without_the_final_event() -> None:
    """So that the client reconnects to the next server."""
    store = JobStore(None, lambda: datetime(2024, 6, 3, tzinfo=UTC))
    queue = JobQueue(store, lambda job, handle: (JobState.COMPLETED, {}), running=0)
    job = queue.submit("backtest", {})

    async def collect() -> list[str]:
        hub = EventHub(queue)
        blocks = []
        async for block in hub.stream(job.id, 0):
            blocks.append(block)
            hub.close()
        return blocks

    blocks = asyncio.run(asyncio.wait_for(collect(), 10))

    assert [json.loads(block.splitlines()[1].removeprefix("data: "))["state"] for block in blocks] == ["queued"]
    queue.close()
    store.close()
