"""What the engine and the provider that run LEAN's CLI share: its container, what it must not rewrite, its errors."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence

from server.core.docker_command import call_docker

FRESH_DATABASES: Mapping[str, str] = {"file-database-last-update": "12/31/9999 00:00:00"}
"""The key of a lean.json with which the CLI leaves market hours and symbol properties of the data folder as they are;
else it overwrites both from GitHub once a day (lean-cli: ``data_downloader.update_database_files``)."""

INTERRUPT_GRACE = 15.0
"""Seconds that the CLI has after SIGINT to end its container and remove it: longer than the ten of ``docker stop``. A
SIGTERM meanwhile ends the CLI and leaves the container."""

_DOCKER_SECONDS = 15.0
_ERROR = re.compile(r"\s*Error: (?=\S)")
_NO_IMAGE = re.compile(r"No such image: ([\w./:@-]+)", re.IGNORECASE)
_NO_MODULES = re.compile(r"Modules json not found in the given path [^:\s]+(?:: (.+))?")
_OFFLINE = "It looks like you don't have an internet connection"
_NO_NETWORK = re.compile(r"Max retries exceeded|NameResolutionError|Failed to establish a new connection")
_HOST = re.compile(r"host='([\w.-]+)'")


def container_name(run: str) -> str:
    """Return the name that the container of a run gets by the key ``container-name`` of its lean.json.

    Args:
        run: The name of the run's private folder.
    """
    return f"backtest-server-cli-{run}"


def remove_container(name: str, environ: Mapping[str, str]) -> None:
    """Remove a container, running or not; nothing happens where it does not exist.

    Args:
        name: Its name.
        environ: The environment for docker.
    """
    _docker(environ, "rm", "-f", name)


def container_notice(environ: Mapping[str, str], notice: Callable[[str], object]) -> Callable[[str], bool]:
    """Return what looks for the container that a killed run left, by the name of the run's private folder.

    What is returned gives a notice where there is such a container, and returns whether to look again next time.

    Args:
        environ: The environment for docker.
        notice: Receives the text of the notice.
    """

    def look(run: str) -> bool:
        name = container_name(run)
        if shutil.which("docker", path=environ.get("PATH", "")) is None:
            return False
        found = _docker(environ, "ps", "--all", "--quiet", "--filter", f"name={name}")
        if found:
            notice(
                f"the container {name} of a run of LEAN's CLI that was killed is left; remove it with: "
                f"docker rm -f {name}"
            )
        return found is None or bool(found)

    return look


def last_error(lines: Sequence[str]) -> str | None:
    """Return the cause of a failure: the last line of the CLI that begins with ``Error:``; None without one."""
    return next((_ERROR.sub("", line).strip() for line in reversed(lines) if _ERROR.match(line)), None)


def machine_problem(lines: Sequence[str]) -> str | None:
    """Return what this machine lacks for the CLI, by what it printed: the image, its modules list, or the network.

    Args:
        lines: The lines that it printed.

    Returns:
        One line that says what to do, or None where it is something else.
    """
    text = "\n".join(lines)
    if image := _NO_IMAGE.search(text):
        name = image[1].rstrip(".:")
        return f"LEAN's image {name} is not on this machine, and a run never fetches it; run: docker pull {name}"
    if modules := _NO_MODULES.search(text):
        cause = f" ({modules[1].strip()})" if modules[1] else ""
        return (
            f"LEAN's CLI has no list of modules and could not fetch it{cause}; run any lean command once while online"
        )
    error = last_error(lines) or ""  # only this one: the CLI goes on after other requests that failed
    if _OFFLINE in text or _NO_NETWORK.search(error):
        host = _HOST.search(error)
        cause = f" ({error})" if error else ""
        return f"LEAN's CLI could not reach {host[1] if host else 'its server'}{cause}; check the network connection"
    return None


def _docker(environ: Mapping[str, str], *arguments: str) -> str | None:
    """Call the docker of the PATH and return its output; None if it did not succeed in time, or does not exist."""
    docker = shutil.which("docker", path=environ.get("PATH", ""))
    return None if docker is None else call_docker(docker, *arguments, environ=environ, seconds=_DOCKER_SECONDS)
