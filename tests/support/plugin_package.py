"""A plugin of a test, installed as pip does: a module, and a distribution with an entry point."""

from __future__ import annotations

import itertools
from pathlib import Path

HEAD = """
from attrs import frozen
from server.plugins.hookspecs import ProviderSpec, hookimpl, setting

@frozen
class Config:
    speed: int = setting(default=1)

def spec(name, config_class=Config):
    return ProviderSpec(name=name, summary="a test's", config_class=config_class, create=lambda config, context: None)
"""
ACME = """
@hookimpl
def backtest_data_providers():
    return [spec("acme")]
"""
BROKEN = "import no_such_module"
BROKEN_REASON = "it cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"

_numbers = itertools.count()


def write_plugin(
    folder: Path, name: str, code: str, *, distribution: str | None = None, head: str = HEAD
) -> tuple[Path, str]:
    """Write a distribution below a folder. Returns the folder that belongs on sys.path, and the module's name."""
    number = next(_numbers)
    module, site = f"plugin_of_a_test_{number}", folder / f"site-{number}"
    distribution = distribution or f"{name}-plugin"
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(head + code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[backtest_server]\n{name} = {module}\n")
    return site, module
