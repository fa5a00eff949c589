"""Programs that tests need and pip does not bring."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """The path of a program. Where it is missing the test is skipped, and fails where ``CI=true``."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is missing; on Debian: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found
