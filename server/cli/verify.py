"""`backtest-server verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from server.cli.common import (
    as_resolution,
    complain,
    folder_options,
    json_option,
    open_workspace,
    print_json,
    provider_option,
    resolution_option,
    stopped_by_signals,
    symbols_argument,
)
from server.cli.download import explain, print_report, watching


@click.command()
@symbols_argument(required=False)
@resolution_option()
@click.option("--repair", is_flag=True, help="Fetch the days of damaged files again.")
@provider_option
@folder_options
@json_option
def verify(
    symbols: tuple[str, ...],
    resolution: str,
    repair: bool,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Open every file of a resolution, and every factor and map file, and name the damaged ones."""
    from server.corporate_actions.verify import check_files
    from server.data_download.request import DownloadRequest
    from server.data_download.verify import verify as verify_files

    wanted = as_resolution(resolution)
    report = None
    with (
        watching(quiet=as_json, every_line=debug) as watch,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            show=watch.show,
            log=repair,
        ) as workspace,
        stopped_by_signals() as cancel,
    ):
        found = verify_files(workspace.folder, wanted, symbols, cancel=cancel, progress=_counter(as_json))
        if found.damaged and found.gaps and repair and not cancel.cancelled:
            request = DownloadRequest(
                symbols=tuple(gap.series.ticker for gap in found.gaps),
                resolution=wanted,
                start=min(gap.days[0] for gap in found.gaps),
                end=max(gap.days[-1] for gap in found.gaps),
            )
            downloader = workspace.downloader(events=workspace.events(watch))
            report = downloader.repair(request, found.gaps, cancel)
            found = verify_files(workspace.folder, wanted, symbols, cancel=cancel)
        small = check_files(workspace.folder.path, symbols, cancel=cancel)
    if as_json:
        answer = {
            "resolution": wanted,
            "files": found.files,
            "damaged": found.damaged,
            "factor_and_map_files": {"files": small.files, "damaged": small.damaged},
            "repair": report,
        }
        print_json(answer)
    else:
        print(f"{found.files:,} {wanted.value} files opened, {len(found.damaged):,} damaged")
        if small.files:
            print(f"{small.files:,} factor and map files opened, {len(small.damaged):,} damaged")
        if report:
            print_report(report)
    for file in found.damaged:
        complain(f"{file.path} is damaged: {file.reason}" + ("" if repair else "; verify --repair fetches it again"))
    for file in small.damaged:
        again = f"backtest-server factor-files {file.path.stem.upper()} --replace"
        complain(f"{file.path} is damaged: {file.reason}; {again} makes it anew")
    failed = explain(report) if report else 0
    return 130 if cancel.cancelled else failed or (1 if found.damaged or small.damaged else 0)


def _counter(quiet: bool):  # type: ignore[no-untyped-def]
    """Return a function that shows on a terminal how many files were opened."""
    if quiet or not sys.stderr.isatty():
        return lambda files: None

    def show(files: int) -> None:
        if files % 500 == 0:
            print(f"\r{files:,} files opened", end="\r", file=sys.stderr, flush=True)

    return show
