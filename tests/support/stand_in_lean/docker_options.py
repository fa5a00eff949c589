"""Reads the options of ``docker``; an unknown one is an error, as with Docker."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.support.stand_in_lean.files import Mount

_RUN_NAMED = {
    "--name": "name",
    "-v": "volume",
    "--volume": "volume",
    "--mount": "mount",
    "-p": "publish",
    "--publish": "publish",
    "-e": "env",
    "--env": "env",
    "-w": "workdir",
    "--workdir": "workdir",
    "-u": "user",
    "--user": "user",
    "--entrypoint": "entrypoint",
    "--pull": "pull",
    **dict.fromkeys(
        [
            "--network",
            "--net",
            "-m",
            "--memory",
            "--cpus",
            "-l",
            "--label",
            "--stop-signal",
            "--stop-timeout",
            "--add-host",
            "--platform",
            "--security-opt",
            "--cap-drop",
            "--cap-add",
            "--tmpfs",
            "--ulimit",
            "-h",
            "--hostname",
            "--log-driver",
            "--shm-size",
            "--pids-limit",
            "--userns",
        ],
        "other",
    ),
}
_RUN_FLAGS = {"--rm", "-i", "-t", "-it", "-d", "--detach", "--init", "--interactive", "--tty", "--read-only"}


class DockerError(Exception):
    """Docker fails with a text and an exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Options:
    """The options of a command: those with values by name, flags, and the rest."""

    def __init__(self) -> None:
        self.named: dict[str, list[str]] = defaultdict(list)
        self.flags: set[str] = set()
        self.rest: list[str] = []


def parse(argv: Sequence[str], named: Mapping[str, str], flags: Collection[str] = (), *, stop: bool = False) -> Options:
    """Read options.

    Args:
        argv: The arguments.
        named: Options with values, and the name of each.
        flags: Options without.
        stop: Whether the first other argument ends the options.

    Raises:
        DockerError: An option is unknown.
    """
    options = Options()
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if stop and options.rest:
            options.rest.append(argument)
        elif argument in flags:
            options.flags.add(argument)
        elif name in named and name.startswith("--" if equals else "-"):
            if not equals and not rest:
                raise DockerError(f"flag needs an argument: {argument}", 125)
            options.named[named[name]].append(value if equals else rest.pop(0))
        elif argument[:2] in named and argument[:1] == "-" and argument[1:2] != "-":
            options.named[named[argument[:2]]].append(argument[2:])
        elif argument.startswith("-"):
            raise DockerError(f"unknown flag: {name}\nSee 'docker --help'.", 125)
        else:
            options.rest.append(argument)
    return options


def run_options(argv: Sequence[str]) -> Options:
    """The options of ``docker run`` and ``docker create``.

    Raises:
        DockerError: One is unknown, or the image is missing.
    """
    options = parse(argv, _RUN_NAMED, _RUN_FLAGS, stop=True)
    if not options.rest:
        raise DockerError('"docker run" requires at least 1 argument.')
    return options


def mounts_of(options: Options) -> list[Mount]:
    """The volumes; a folder of ``-v`` that does not exist is made.

    Raises:
        DockerError: A volume is not an absolute path, or that of ``--mount`` does not exist.
    """
    found = []
    for text in options.named["volume"]:
        host, _, rest = text.partition(":")
        inside, _, mode = rest.partition(":")
        if not host.startswith("/") or not inside.startswith("/"):
            raise DockerError(f"Error response from daemon: stand-in: {text} is not a volume of absolute paths")
        if not Path(host).exists():
            Path(host).mkdir(parents=True)
        found.append(Mount(host, inside, "ro" in mode.split(",")))
    for text in options.named["mount"]:
        fields = dict((pair + "=true").split("=")[:2] for pair in text.split(","))
        host = fields.get("source") or fields.get("src") or ""
        inside = fields.get("target") or fields.get("destination") or fields.get("dst") or ""
        if fields.get("type") != "bind" or not inside.startswith("/"):
            raise DockerError(f'invalid argument "{text}" for "--mount" flag', 125)
        if not Path(host).exists():
            raise DockerError(
                f'Error response from daemon: invalid mount config for type "bind": bind source path does not exist: '
                f"{host}"
            )
        found.append(Mount(host, inside, "true" in (fields.get("readonly"), fields.get("ro"))))
    return found


def ports_of(options: Options) -> dict[int, int]:
    """The published ports: the container's, and the host's on 127.0.0.1.

    Raises:
        DockerError: A port is published elsewhere than on 127.0.0.1.
    """
    found = {}
    for text in options.named["publish"]:
        match = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)(?:/tcp)?", text)
        if not match:
            raise DockerError(
                f"stand-in: {text} publishes a port, and not on 127.0.0.1 as 127.0.0.1:HOST:CONTAINER", 125
            )
        found[int(match[2])] = int(match[1])
    return found
