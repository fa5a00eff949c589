"""The command `serve`."""

from __future__ import annotations

import ipaddress
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from server.cli.common import PLACE, folder_options, open_workspace, provider_option

_PACKAGES = ("fastapi", "jinja2", "prometheus_client", "uvicorn")
"""The packages of the extra `serve`."""


def _networks(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not an IP address or network ({error})") from error
    return values


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; one other than this machine's needs BACKTEST_SERVER_TOKEN.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@click.option(
    "--projects",
    type=PLACE,
    help="The folder of LEAN projects; by default that of lean.json, or this one.",
)
@click.option("--benchmarks", type=PLACE, default=Path("benchmarks/results"), help="The benchmark archive.")
@click.option(
    "--baseline",
    type=PLACE,
    help="Saved reports of download --json, with which downloads are compared.",
)
@click.option(
    "--allowed-host", multiple=True, help="A host name by which browsers may address this server; may be repeated."
)
@click.option(
    "--trusted-proxy",
    multiple=True,
    callback=_networks,
    metavar="ADDRESS",
    help="The address or network of a proxy whose X-Forwarded-For and -Proto count; may be repeated.",
)
@provider_option
@folder_options
def serve(
    host: str,
    port: int,
    projects: Path | None,
    benchmarks: Path,
    baseline: Path | None,
    allowed_host: tuple[str, ...],
    trusted_proxy: tuple[str, ...],
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    debug: bool,
) -> int:
    """Serve the pages and the API until stopped."""
    _check_packages()
    from server.observability.baseline import Baseline
    from server.web.access import Access
    from server.web.serve import serve as run

    known = Baseline.read(baseline) if baseline else None
    access = Access.of(host, os.environ.get("BACKTEST_SERVER_TOKEN"), allowed_host)
    with open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, provider=provider) as workspace:
        settings = workspace.settings
        root = projects or (settings.lean_config.parent if settings.lean_config else Path.cwd())
        run(
            workspace,
            host=host,
            port=port,
            access=access,
            projects=root.absolute(),
            benchmarks=benchmarks.absolute(),
            baseline=known,
            environ=os.environ,
            trusted_proxies=trusted_proxy,
            ready=lambda url: print(f"serving on {url}", file=sys.stderr, flush=True),
        )
    return 0


def _check_packages() -> None:
    from server.core.errors import ToolMissingError

    missing = [name.replace("_", "-") for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ToolMissingError(
            f"the web server needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'backtest-server[serve]'"
        )
