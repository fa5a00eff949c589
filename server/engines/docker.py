"""Docker: whether it can be used, whether it has LEAN's image, and files of the image."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled, ToolFailedError, ToolMissingError
from server.engines.probe import MissingRequirement, ProgramAnswer, Requirement, ask_program

DOCKER_SECONDS = 3.0
"""Seconds within which Docker must respond to count as running."""

COPY_SECONDS = 1800.0
REMOVE_SECONDS = 15.0
"""Seconds for copying files out of an image, and for removing the container that was created for it."""

_CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
_NOT_ALLOWED = re.compile("permission denied|access is denied", re.IGNORECASE)
_NO_IMAGE = re.compile("no such image|no such object|not found", re.IGNORECASE)
_NO_FILE = re.compile("could not find the file|no such container:path|no such file", re.IGNORECASE)


def find_docker(environ: Mapping[str, str]) -> Requirement[Path]:
    """Find the program docker and check within three seconds whether Docker's server responds.

    Args:
        environ: The environment, for the PATH and for Docker's own variables.
    """
    found = shutil.which("docker", path=environ.get("PATH", ""))
    if found is None:
        fix = "see https://docs.docker.com/engine/install"
        return Requirement(lacks=(MissingRequirement("Docker is not installed", fix),))
    docker = Path(found).absolute()
    answer = ask_program(
        docker, ["version", "--format", "{{.Server.Version}}"], environ=environ, seconds=DOCKER_SECONDS
    )
    if answer.problem is None:
        version = answer.lines[-1].strip() if answer.lines else ""
        return Requirement(value=docker, found=f"Docker {version} at {docker}".replace("  ", " "))
    return Requirement(lacks=(describe_problem(answer.problem),))


def describe_problem(problem: str) -> MissingRequirement:
    """Return what is missing where Docker's server does not respond.

    Args:
        problem: What docker printed.
    """
    if _NOT_ALLOWED.search(problem):
        fix = "sudo usermod -aG docker $USER, then log in again"
        return MissingRequirement("this user may not use Docker", fix)
    return MissingRequirement(f"Docker is not running: {problem}", "start it; docker info must succeed")


def find_image(docker: Path, image: str, environ: Mapping[str, str]) -> Requirement[str]:
    """Check whether Docker has an image.

    Args:
        docker: The program docker.
        image: The name of the image.
        environ: The environment in which docker runs.
    """
    answer = ask_program(
        docker, ["image", "inspect", "--format", "{{.Id}}", image], environ=environ, seconds=DOCKER_SECONDS
    )
    if answer.problem is None:
        return Requirement(value=image, found=f"the image {image}")
    absent = bool(_NO_IMAGE.search(answer.problem))
    what = f"Docker has no image {image}" if absent else f"Docker has no image {image} to run: {answer.problem}"
    return Requirement(lacks=(MissingRequirement(what, f"docker pull {image}"),))


@frozen(kw_only=True)
class ImageFiles:
    """Files of an image, copied out of a container that is created for this and never started.

    Attributes:
        docker: The program docker.
        container: The container.
        environ: The environment in which docker runs.
        cancel: Stops it.
    """

    docker: Path
    container: str
    environ: Mapping[str, str]
    cancel: CancelToken

    def copy(self, path: str, target: Path) -> bool:
        """Copy a file or a folder out of the image.

        Args:
            path: Its absolute path in the image.
            target: Its path on this machine, which does not exist yet.

        Returns:
            Whether the image has it.

        Raises:
            ToolFailedError: It could not be copied.
            Cancelled: It was cancelled.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["cp", f"{self.container}:{path}", str(target)]
        answer = ask_program(self.docker, arguments, environ=self.environ, seconds=COPY_SECONDS, cancel=self.cancel)
        _stop_if_cancelled(self.cancel)
        if answer.problem is None:
            return True
        if _NO_FILE.search(answer.problem):
            return False
        raise ToolFailedError(f"{path} could not be copied out of the image to {target}: {answer.problem}")


@contextmanager
def open_image(docker: Path, image: str, environ: Mapping[str, str], cancel: CancelToken) -> Iterator[ImageFiles]:
    """Create a container of an image, to copy files out of it, and remove it at the end.

    Args:
        docker: The program docker.
        image: The name of the image, which Docker fetches if it does not have it.
        environ: The environment in which docker runs.
        cancel: Stops it.

    Raises:
        ToolMissingError: Docker has no such image, or does not respond.
        Cancelled: It was cancelled.
    """
    answer = ask_program(docker, ["create", image], environ=environ, seconds=COPY_SECONDS, cancel=cancel)
    _stop_if_cancelled(cancel)
    container = _container_of(answer)
    if container is None:
        raise ToolMissingError(
            f"no container of the image {image} could be created: {answer.problem or 'docker named none'}; "
            f"docker pull {image} must succeed"
        )
    try:
        yield ImageFiles(docker=docker, container=container, environ=environ, cancel=cancel)
    finally:
        ask_program(docker, ["rm", container], environ=environ, seconds=REMOVE_SECONDS)


def _container_of(answer: ProgramAnswer) -> str | None:
    """The id of the container: docker prints warnings as well, for example about the platform."""
    if answer.problem is not None:
        return None
    ids = [line.strip() for line in answer.lines if _CONTAINER_ID.fullmatch(line.strip())]
    words = [line.strip() for line in answer.lines if line.strip() and " " not in line.strip()]
    return next(reversed(ids or words), None)


def _stop_if_cancelled(cancel: CancelToken) -> None:
    if cancel.cancelled:
        raise Cancelled("copying files out of LEAN's image was cancelled")
