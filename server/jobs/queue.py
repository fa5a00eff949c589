"""Runs jobs in the order of their submission, a limited number at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from loguru import logger

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, BusyError, Cancelled, WriteFailedError
from server.core.json import to_json
from server.jobs.job import Job, JobState
from server.jobs.store import JobStore

MAX_RUNNING = 2
"""Number of jobs that run at once; others wait in order."""

RETRY_SECONDS = 1.0
"""Time between two attempts to store a state that could not be stored, on a full disk for example."""


@define
class JobHandle:
    """What the work of a job uses while it runs.

    Attributes:
        identity: The id of the job.
        cancel: Cancelled when the job is to stop.
        result: The result so far.
        failure: Why what happened could not be stored; the job was cancelled then.
    """

    identity: str
    queue: JobQueue
    cancel: CancelToken
    result: Mapping[str, Any] = field(factory=dict)
    failure: BacktestServerError | None = None

    def emit(self, data: Mapping[str, Any]) -> None:
        """Store an event and notify the watchers."""
        self._store(lambda: self.queue.emit(self.identity, data))

    def update(self, result: Mapping[str, Any]) -> None:
        """Store the result so far."""
        self.result = result
        self._store(lambda: self.queue.store.update(self.identity, JobState.RUNNING, result))

    def _store(self, write: Callable[[], object]) -> None:
        """Wait while another process has locked the store; cancel the job if the store cannot be written."""
        while self.failure is None:
            try:
                write()
            except BusyError:
                if self.cancel.cancelled:
                    return
            except WriteFailedError as error:
                self.failure = error
                self.cancel.cancel()
            else:
                return


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
            place = self._waiting.index(identity) if identity in self._waiting else None
            if place is not None:
                self._waiting.remove(identity)
        if token is not None:
            token.cancel()
            return self.store.get(identity)
        try:
            self._move(identity, JobState.CANCELLED, job.result)
        except BacktestServerError:
            if place is not None:
                with self._changed:
                    self._waiting.insert(place, identity)
                    self._changed.notify()
            raise
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
            except KeyError:
                logger.warning("the job {} was lost with its damaged database", identity)
            except Exception as error:  # the next job may succeed
                logger.opt(exception=error).error("the job {} could not be stored", identity)
            finally:
                with self._changed:
                    del self._cancels[identity]
                    self._changed.notify_all()

    def _run(self, identity: str, token: CancelToken) -> None:
        job = self.store.get(identity)
        if job.state.over:  # cancelled while it waited, or its row is damaged
            self._move_when_possible(identity, job.state, job.result)
            return
        if not self._move_when_possible(identity, JobState.RUNNING, {}):
            return
        handle = JobHandle(identity, self, token)
        state, result = self._outcome(job, handle)
        if self._closing and state is JobState.CANCELLED:
            state = JobState.INTERRUPTED
        self._move_when_possible(identity, state, result)

    def _outcome(self, job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        """Run the work; an unexpected error ends the job as failed, or as cancelled if it was cancelled before."""
        try:
            state, result = self._work(job, handle)
        except Exception as error:
            logger.opt(exception=error).error("the job {} ended unexpectedly", job.id)
            if handle.cancel.cancelled:
                stopped = Cancelled("the job was stopped; files that it has written are kept")
                state, result = JobState.CANCELLED, {**handle.result, "error": to_json(stopped)}
            else:
                message = f"it ended unexpectedly ({type(error).__name__}); the log says more"
                state, result = JobState.FAILED, {**handle.result, "error": {"code": "unexpected", "message": message}}
        if handle.failure is not None:
            return JobState.FAILED, {**result, "error": to_json(handle.failure)}
        return state, result

    def _move_when_possible(self, identity: str, state: JobState, result: Mapping[str, Any]) -> bool:
        """Store a state, and try again while it cannot be stored; when the queue closes, the state remains as it is."""
        reported = False
        while True:
            try:
                return self._move(identity, state, result)
            except (BusyError, WriteFailedError) as error:
                if not reported:
                    logger.warning("the job {} is {} and could not be stored: {}", identity, state.value, error)
                    reported = True
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, RETRY_SECONDS):
                    return False

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
        for watcher in tuple(self._watchers):
            watcher(identity, over)


def _event(state: JobState, store: JobStore) -> dict[str, Any]:
    return {"kind": "state", "at": store.clock().isoformat(), "state": state.value}
