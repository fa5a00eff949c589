"""Copies LEAN's launcher and its reference data out of LEAN's image, for users who have Docker only to obtain them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from server.core.cancel import CancelToken
from server.core.errors import (
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
    WriteFailedError,
)
from server.core.subprocess_runner import CommandRequest, run_command
from server.engines.docker import find_docker, find_image, open_image
from server.engines.launcher import LAUNCHER_DLL, RUNTIME_CONFIG
from server.engines.reference_data import REQUIRED_FILES, copy_reference_folders

LAUNCHER_FOLDER = "Launcher/bin/Debug"
"""The launcher's folder in LEAN's image, in the folder /Lean, and in an installation."""

MARKER = "backtest-server-install.txt"
"""The file that marks an installation, so that no other folder is ever replaced."""

PULL_SECONDS = 6 * 3600.0


def install_lean(
    target: Path,
    image: str,
    environ: Mapping[str, str],
    *,
    cancel: CancelToken,
    on_line: Callable[[str], None],
) -> Path:
    """Install LEAN's launcher, market hours, symbol properties and interest rates.

    They are copied into a temporary folder next to the target, which is renamed when it is complete. An installation
    that exists is replaced then, and not before.

    Args:
        target: The folder to create, or an installation to replace.
        image: The name of LEAN's image; it is fetched if Docker does not have it.
        environ: The environment in which docker runs.
        cancel: Stops it.
        on_line: Receives what is done, and docker's output while it fetches the image.

    Returns:
        The launcher's folder.

    Raises:
        ConfigurationError: The target is another folder than an installation, or another install writes it.
        ToolMissingError: Docker is missing, does not respond, or cannot fetch the image.
        ToolFailedError: The image has no launcher, or it could not be copied.
        WriteFailedError: The target cannot be written.
        Cancelled: It was cancelled.
    """
    target = target.absolute()
    _refuse_foreign(target)
    docker = find_docker(environ)
    if docker.value is None:
        raise ToolMissingError(f"LEAN cannot be installed: {'; '.join(map(str, docker.lacks))}")
    _fetch_image(docker.value, image, environ, cancel, on_line)
    with _temporary_folder(target) as folder:
        with open_image(docker.value, image, environ, cancel) as files:
            on_line(f"copying /Lean/{LAUNCHER_FOLDER} of the image {image}")
            files.copy(f"/Lean/{LAUNCHER_FOLDER}", folder / LAUNCHER_FOLDER)
            on_line("copying market hours, symbol properties and interest rates")
            copy_reference_folders(files, folder / "Data")
        _check(folder, image)
        (folder / MARKER).write_text(f"Copied from the image {image} by backtest-server lean install.\n", "utf-8")
        _put_in_place(folder, target)
    return target / LAUNCHER_FOLDER


def _refuse_foreign(target: Path) -> None:
    """Raise unless the target does not exist, is an empty folder, or is an installation."""
    advice = "choose another folder with --to"
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise ConfigurationError(f"{target} is not a folder; {advice}")
        if target.is_dir() and any(target.iterdir()) and not (target / MARKER).is_file():
            raise ConfigurationError(f"{target} has other files and is no installation of LEAN; {advice}")
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be read: {error.strerror or error}; {advice}") from error


def _fetch_image(
    docker: Path, image: str, environ: Mapping[str, str], cancel: CancelToken, on_line: Callable[[str], None]
) -> None:
    if find_image(docker, image, environ).value is not None:
        return
    on_line(f"fetching the image {image} (several GB)")
    request = CommandRequest(argv=(str(docker), "pull", image), cwd=Path(), env=environ, time_limit=PULL_SECONDS)
    outcome = run_command(request, cancel=cancel, on_line=on_line)
    if outcome.cancelled:
        raise Cancelled("fetching LEAN's image was cancelled")
    if not outcome:
        last = " ".join(outcome.lines[-1].split())[:200] if outcome.lines else f"exit code {outcome.exit_code}"
        raise ToolMissingError(f"the image {image} could not be fetched: {last}; docker pull {image} must succeed")


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to the target and remove it at the end, with those that killed installs left."""
    folder = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigurationError(f"another install writes {target}; wait for its end") from None
    except OSError as error:
        raise WriteFailedError(_cannot_write(target, error)) from error
    try:
        _remove(folder)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise WriteFailedError(_cannot_write(target, error)) from error
    finally:
        _remove(folder)
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink()


def _cannot_write(target: Path, error: OSError) -> str:
    return f"LEAN cannot be installed in {target}: {error.strerror or error}; choose another folder with --to"


def _check(folder: Path, image: str) -> None:
    launcher, data = folder / LAUNCHER_FOLDER, folder / "Data"
    needed = [launcher / LAUNCHER_DLL, launcher / RUNTIME_CONFIG, *(data / path for path in REQUIRED_FILES)]
    absent = [str(path.relative_to(folder)) for path in needed if not path.is_file()]
    if absent:
        advice = "name LEAN's image, such as quantconnect/lean:latest"
        raise ToolFailedError(f"the image {image} has no {', '.join(absent)} in /Lean; {advice}")


def _put_in_place(folder: Path, target: Path) -> None:
    """Rename the folder to the target; an installation there is restored if that fails."""
    previous = target.with_name(f".{target.name}.old")
    _remove(previous)
    if target.exists():
        target.rename(previous)
    try:
        folder.rename(target)
    except OSError:
        if previous.exists():
            previous.rename(target)
        raise
    _remove(previous)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
