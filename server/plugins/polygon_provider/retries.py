"""Waits between the attempts of one request, and the error after the last one."""

from __future__ import annotations

import random

from tenacity import RetryCallState

from server.plugins.polygon_provider.errors import RetryableError

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


def wait_before_retry(state: RetryCallState) -> float:
    """Return the seconds until the next attempt: the vendor's, else growing and random ones."""
    wait = retryable_of(state).wait
    if wait is not None:
        return wait
    longest = min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_WAIT)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter


def retryable_of(state: RetryCallState) -> RetryableError:
    """Return why the last attempt failed."""
    assert state.outcome is not None  # noqa: S101 - tenacity asks only after an attempt
    error = state.outcome.exception()
    assert isinstance(error, RetryableError)  # noqa: S101
    return error


def give_up(state: RetryCallState) -> None:
    """Raise the error of the last attempt, with the number of attempts."""
    retryable = retryable_of(state)
    error, attempts = retryable.error, state.attempt_number
    error.attempts = attempts
    if attempts > 1:
        error.args = (f"{error}; given up after {attempts} tries in {state.seconds_since_start or 0:.0f} s",)
    raise error from retryable
