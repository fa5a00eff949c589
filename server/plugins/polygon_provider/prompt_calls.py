"""Calls that a cancelled run does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from attrs import field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.os_threads import start_thread
from server.core.secret import Secret, mask_error

_POLL_SECONDS = 0.1

Result = TypeVar("Result")


@frozen
class PromptCalls:
    """Runs calls in daemon threads: the vendor may not respond.

    Attributes:
        stop: Ends the waiting when cancelled.
        secrets: Values that are masked in the texts of errors.
    """

    stop: CancelToken
    secrets: Sequence[Secret] = field(repr=False)

    def result(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call, or raise its error.

        Raises:
            Cancelled: It was cancelled meanwhile.
        """
        self.wait_for(future := self.start(call))
        return future.result()

    def start(self, call: Callable[[], Result]) -> Future[Result]:
        """Begin a call."""
        future: Future[Result] = Future()
        start_thread(threading.Thread(target=self._fulfil, args=(future, call), name="polygon-reference", daemon=True))
        return future

    def wait_for(self, *futures: Future[Any]) -> None:
        """Wait until calls have ended.

        Raises:
            Cancelled: It was cancelled meanwhile.
        """
        while wait(futures, _POLL_SECONDS).not_done:
            if self.stop.cancelled:
                raise Cancelled("cancelled while waiting for Polygon")

    def _fulfil(self, future: Future[Result], call: Callable[[], Result]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            if isinstance(error, BacktestServerError):
                mask_error(error, self.secrets)
            future.set_exception(error)
