"""The lock file for development fits setup.cfg."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements-dev.lock"


def locked() -> list[Requirement]:
    """The requirements of the lock file."""
    lines = LOCK.read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]


def declared() -> list[Requirement]:
    """The requirements that setup.cfg declares, extras included; without that of one extra for another."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    found = [Requirement(line) for text in lists for line in text.split("\n") if line.strip()]
    return [one for one in found if one.name != config["metadata"]["name"]]


def test_every_dependency_is_locked_at_a_version_that_setup_cfg_allows() -> None:
    """For each Python version; where this fails, `make lock` writes the file from setup.cfg."""
    for wanted in declared():
        pins = [pin for pin in locked() if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]

        assert pins, f"{wanted.name} is not in {LOCK.name}; run make lock"
        for pin in pins:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert wanted.specifier.contains(version), f"{LOCK.name} has {pin}, setup.cfg {wanted}; run make lock"


def test_the_lock_file_names_no_package_index() -> None:
    """Versions only: each developer and CI use the package index that they are set up for."""
    assert not re.search(r"https?://|--[\w-]*(index|find-links|host)", LOCK.read_text("utf-8"))
