"""How many wrong tokens an address may send."""

from __future__ import annotations

from server.web.wrong_tokens import WrongTokens


class Clock:
    """Seconds that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The seconds now."""
        return self.now


def test_ten_in_a_minute_and_then_a_wait() -> None:
    """Until the first one is a minute old; then one more."""
    clock = Clock()
    tokens = WrongTokens(clock)
    waits = []
    for _ in range(10):
        waits.append(tokens.wait("10.0.0.1"))
        tokens.add("10.0.0.1")
        clock.now += 2

    assert waits == [0] * 10
    assert tokens.wait("10.0.0.1") == 40
    clock.now += 39.5
    assert tokens.wait("10.0.0.1") == 1
    clock.now += 0.5
    assert tokens.wait("10.0.0.1") == 0
    tokens.add("10.0.0.1")
    assert tokens.wait("10.0.0.1") == 2


def test_other_addresses_do_not_wait() -> None:
    """Each has its own count."""
    tokens = WrongTokens(Clock())
    for _ in range(10):
        tokens.add("10.0.0.1")

    assert tokens.wait("10.0.0.1") > 0
    assert tokens.wait("10.0.0.2") == 0


def test_the_number_of_addresses_is_bounded() -> None:
    """The address whose last wrong token is the oldest is dropped."""
    tokens = WrongTokens(Clock())
    for address in ("first", "second"):
        for _ in range(10):
            tokens.add(address)
    tokens.add("first")
    for number in range(9_999):
        tokens.add(str(number))

    assert tokens.wait("second") == 0
    assert tokens.wait("first") > 0
