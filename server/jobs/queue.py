"""Runs jobs in the order of their submission, a limited number at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from loguru import logger

from server.core.cancel import CancelToken
from server.jobs.store import Job, JobState, JobStore

MAX_RUNNING = 2
"""Number of jobs that run at once; others wait in order."""


@define
class JobHandle:
    """What the work of a job uses while it runs.

    Attributes:
        identity: The id of the job.
        cancel: Cancelled when the job is to stop.
        result: The result so far.
    """

    identity: str
    queue: JobQueue
    cancel: CancelToken
    result: Mapping[str, Any] = field(factory=dict)

    def emit(self, data: Mapping[str, Any]) -> None:
        """Store an event and notify the watchers."""
        self.queue.emit(self.identity, data)

    def update(self, result: Mapping[str, Any]) -> None:
        """Store the result so far."""
        self.result = result
        self.queue.store.update(self.identity, JobState.RUNNING, result)


JobRunner = Callable[[Job, JobHandle], tuple[JobState, Mapping[str, Any]]]
"""Runs a job to its end and returns its final state and result."""

Watcher = Callable[[str, bool], object]
"""Called with the id of a job that changed, and whether the job has ended."""


class JobQueue:
    """Runs the jobs of one store in threads."""

    def __init__(self, store: JobStore, work: JobRunner, *, running: int = MAX_RUNNING) -> None:
        """Start the workers; jobs that an earlier server left running become interrupted, queued ones are run.

        Args:
            store: Where jobs are stored.
            work: Runs a job.
            running: Number of jobs that run at once.
        """
        self.store = store
        self._work = work
        self._watchers: list[Watcher] = []
        self._changed = threading.Condition()
        self._cancels: dict[str, CancelToken] = {}
        self._closing = False
        store.interrupt_running(_event(JobState.INTERRUPTED, self.store))
        self._waiting = [job.id for job in store.queued()]
        self._threads = [
            threading.Thread(target=self._serve, name=f"job-{number}", daemon=True) for number in range(running)
        ]
        for thread in self._threads:
            thread.start()

    def watch(self, watcher: Watcher) -> None:
        """Add a watcher. It is called from any thread and must not block."""
        self._watchers.append(watcher)

    def submit(self, kind: str, request: Mapping[str, Any], retry_of: str | None = None) -> Job:
        """Queue a job."""
        job = self.store.create(kind, request, retry_of, _event(JobState.QUEUED, self.store))
        self._notify(job.id)
        with self._changed:
            self._waiting.append(job.id)
            self._changed.notify()
        return job

    def cancel(self, identity: str) -> Job:
        """Cancel a job that runs, or remove it from the queue.

        Raises:
            KeyError: No job has this id.
        """
        job = self.store.get(identity)
        with self._changed:
            token = self._cancels.get(identity)
            if identity in self._waiting:
                self._waiting.remove(identity)
        if token is not None:
            token.cancel()
        else:
            self._move(identity, JobState.CANCELLED, job.result)
        return self.store.get(identity)

    def wait(self, identity: str, seconds: float) -> Job:
        """Return the job once it has ended, or after this number of seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: identity not in self._cancels and self.store.get(identity).state.over, seconds
            )
        return self.store.get(identity)

    @property
    def alive(self) -> bool:
        """Whether every worker thread runs."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self, seconds: float = 2.0) -> None:
        """Stop: running jobs end as interrupted, queued ones remain for the next server.

        Args:
            seconds: How long to wait for each worker.
        """
        with self._changed:
            self._closing = True
            for token in self._cancels.values():
                token.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                identity = self._waiting.pop(0)
                token = self._cancels[identity] = CancelToken()
            try:
                self._run(identity, token)
            except Exception as error:  # the store cannot be written; the next job may succeed
                logger.opt(exception=error).error("the job {} could not be stored", identity)
            finally:
                with self._changed:
                    del self._cancels[identity]
                    self._changed.notify_all()

    def _run(self, identity: str, token: CancelToken) -> None:
        handle = JobHandle(identity, self, token)
        if not self._move(identity, JobState.RUNNING, {}):
            return  # it was cancelled while it waited
        try:
            state, result = self._work(self.store.get(identity), handle)
        except Exception as error:
            logger.opt(exception=error).error("the job {} ended unexpectedly", identity)
            message = f"it ended unexpectedly ({type(error).__name__}); the log says more"
            state, result = JobState.FAILED, {**handle.result, "error": {"code": "unexpected", "message": message}}
        if self._closing and state is JobState.CANCELLED:
            state = JobState.INTERRUPTED
        self._move(identity, state, result)

    def _move(self, identity: str, state: JobState, result: Mapping[str, Any]) -> bool:
        moved = self.store.update(identity, state, result, _event(state, self.store))
        if moved:
            self._notify(identity, over=state.over)
        return moved

    def emit(self, identity: str, data: Mapping[str, Any]) -> None:
        """Store an event of a job and notify the watchers."""
        self.store.add_event(identity, data)
        self._notify(identity)

    def _notify(self, identity: str, *, over: bool = False) -> None:
        for watcher in self._watchers:
            watcher(identity, over)


def _event(state: JobState, store: JobStore) -> dict[str, Any]:
    return {"kind": "state", "at": store.clock().isoformat(), "state": state.value}
