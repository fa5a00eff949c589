"""Which .NET runtimes do."""

from __future__ import annotations

import pytest

from server.engines.dotnet import satisfies
from server.engines.launcher import RequiredRuntime

NAME = "Microsoft.NETCore.App"


@pytest.mark.parametrize(
    ("required", "rule", "installed", "does"),
    [
        ("10.0.0", "Minor", "10.0.0", True),
        ("10.0.0", "Minor", "10.0.7", True),
        ("10.0.0", "Minor", "10.1.0", True),
        ("10.0.3", "Minor", "10.0.2", False),
        ("10.1.0", "Minor", "10.0.9", False),
        ("10.0.0", "Minor", "9.0.9", False),
        ("10.0.0", "Minor", "11.0.0", False),
        ("10.0.0", "Minor", "10.0.0-rc.1", False),
        ("10.0.0-rc.1", "Minor", "10.0.0", True),
        ("10.0.0", "Major", "11.0.0", True),
        ("10.0.0", "latestMajor", "11.0.0", True),
        ("10.0.0", "Major", "9.0.0", False),
        ("10.0.0", "LatestPatch", "10.0.5", True),
        ("10.0.0", "LatestPatch", "10.1.0", False),
        ("10.0.0", "Disable", "10.0.0", True),
        ("10.0.0", "Disable", "10.0.1", False),
        ("10.0.0", "LatestMinor", "10.3.1", True),
        ("10.0", "Minor", "10.0.1", True),
        ("ten", "Minor", "10.0.1", False),
    ],
)
def test_roll_forward(required: str, rule: str, installed: str, does: bool) -> None:
    """.NET's rules: the same major version unless the rule allows a later one; never an earlier version."""
    assert satisfies(RequiredRuntime(NAME, required, rule), NAME, installed) is does


def test_another_framework() -> None:
    """A framework of another name does not do."""
    assert not satisfies(RequiredRuntime(NAME, "10.0.0"), "Microsoft.AspNetCore.App", "10.0.0")
