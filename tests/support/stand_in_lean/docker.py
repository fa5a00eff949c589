"""``docker``, as far as running LEAN's image and copying from it need it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.stand_in_lean import behaviour, docker_container
from tests.support.stand_in_lean.docker_container import Container
from tests.support.stand_in_lean.docker_options import DockerError, Options, parse, run_options

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
VERSION = "27.0.1"


def main(folder: Path, argv: Sequence[str]) -> int:
    """Run the program; returns the exit code."""
    environ = dict(os.environ)
    behaviour.note_call(folder, "docker", argv, environ)
    behaviour.refuse_vendor_keys(environ)
    settings = behaviour.read_settings(folder)
    words = list(argv)
    if words[:1] == ["container"]:
        words.pop(0)
    if words[:2] in (["image", "inspect"], ["image", "pull"], ["image", "ls"]):
        words[:2] = {"inspect": ["image-inspect"], "pull": ["pull"], "ls": ["images"]}[words[1]]
    if words[:1] == ["--version"]:
        print(f"Docker version {VERSION}, build ff1e2c0")
        return 0
    command = _COMMANDS.get(words[0] if words else "")
    if command is None:
        print(f"docker: '{words[0] if words else ''}' is not a docker command.\nSee 'docker --help'", file=sys.stderr)
        return 1
    if settings["docker"] != "running":
        print(NO_DAEMON, file=sys.stderr)
        return 125 if words[0] == "run" else 1
    try:
        return command(folder, words[1:], settings)
    except DockerError as error:
        print(str(error), file=sys.stderr)
        return error.code


def formatted(template: str, values: Mapping[str, Any]) -> str:
    """A Go template of fields, such as ``{{.Server.Version}}`` or ``{{json .State}}``."""

    def field(match: re.Match[str]) -> str:
        value: Any = values
        for name in match[2].strip(".").split("."):
            value = value.get(name, "<no value>") if name and isinstance(value, dict) else value
        return json.dumps(value) if match[1] or not isinstance(value, str) else value

    return re.sub(r"\{\{\s*(json\s+)?(\.[\w.]*)\s*\}\}", field, template)


def _version(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--format": "format", "-f": "format"})
    values = {"Client": {"Version": VERSION}, "Server": {"Version": VERSION, "Os": "linux"}, "ServerVersion": VERSION}
    text = f"Client:\n Version: {VERSION}\n\nServer:\n Engine:\n  Version: {VERSION}\n\nServer Version: {VERSION}"
    print(formatted(options.named["format"][-1], values) if options.named["format"] else text)
    return 0


def _image_inspect(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--format": "format", "-f": "format"})
    [image] = options.rest
    if _tagged(image) not in settings["images"]:
        print("[]")
        raise DockerError(f"Error response from daemon: No such image: {image}")
    facts = {
        "Id": "sha256:" + "0123456789abcdef" * 4,
        "RepoTags": [_tagged(image)],
        "Architecture": "amd64",
        "Os": "linux",
        "Config": {
            "WorkingDir": docker_container.WORKDIR,
            "Entrypoint": docker_container.ENTRYPOINT,
            "Env": [f"{name}={value}" for name, value in docker_container.IMAGE_ENV.items()],
        },
    }
    template = options.named["format"]
    print(formatted(template[-1], facts) if template else json.dumps([facts], indent=4))
    return 0


def _images(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--format": "format"}, {"-q", "--quiet", "-a"})
    wanted = [_tagged(name) for name in options.rest]
    for image in settings["images"]:
        if not wanted or image in wanted:
            print("0123456789ab" if options.flags else image)
    return 0


def _pull(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--platform": "platform"}, {"-q", "--quiet"})
    [image] = options.rest
    if not settings["pull"]:
        raise DockerError(
            f"Error response from daemon: pull access denied for {image}, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied"
        )
    tagged = _tagged(image)
    behaviour.change_settings(folder, images=sorted({*settings["images"], tagged}))
    print(f"latest: Pulling from {image.partition(':')[0]}\nStatus: Downloaded newer image for {tagged}\n{tagged}")
    return 0


def _create(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    print(_new(folder, run_options(argv), settings).identifier)
    return 0


def _run(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = run_options(argv)
    try:
        container = _new(folder, options, settings)
    except DockerError as error:
        raise DockerError(f"docker: {error}\nSee 'docker run --help'.", 125) from None
    return container.run(detached=bool({"-d", "--detach"} & options.flags))


def _new(folder: Path, options: Options, settings: Mapping[str, Any]) -> Container:
    image = _tagged(options.rest[0])
    if image not in settings["images"]:
        print(f"Unable to find image '{image}' locally", file=sys.stderr)
        if "never" in options.named["pull"]:
            raise DockerError(f"Error response from daemon: No such image: {image}")
        _pull(folder, [image], settings)
    return Container.create(folder, options)


def _cp(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {}, {"-a", "-q", "--archive", "--quiet", "-L"})
    source, target = options.rest
    name, colon, inside = source.partition(":")
    if not colon or ":" in target or target == "-":
        raise DockerError("stand-in: only copies from a container to a folder")
    container = Container.find(folder, name)
    found = container.files().host(inside)
    if not found.exists():
        raise DockerError(f"Error response from daemon: Could not find the file {inside} in container {name}")
    destination = Path(target)
    if not destination.parent.is_dir():
        raise DockerError(f'invalid output path: directory "{destination.parent}" does not exist')
    if found.is_dir() and destination.is_dir() and not inside.endswith("/."):
        destination /= found.name
    if found.is_dir():
        shutil.copytree(found, destination, dirs_exist_ok=True)
    else:
        shutil.copy(found, destination / found.name if destination.is_dir() else destination)
    return 0


def _rm(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {}, {"-f", "--force", "-v", "--volumes", "-fv"})
    force = bool({"-f", "--force", "-fv"} & options.flags)
    for name in options.rest:
        try:
            container = Container.find(folder, name)
        except DockerError:
            if force:
                continue
            raise
        if container.running:
            if not force:
                raise DockerError(
                    f'Error response from daemon: cannot remove container "/{name}": container is running: stop the '
                    "container before removing or force remove"
                )
            container.kill(signal.SIGKILL)
            container.wait(10)
        container.remove()
        print(name)
    return 0


def _kill(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--signal": "signal", "-s": "signal"})
    given = (options.named["signal"] or ["KILL"])[-1]
    number = int(given) if given.isdigit() else signal.Signals[f"SIG{given.upper().removeprefix('SIG')}"]
    for name in options.rest:
        container = Container.find(folder, name)
        if not container.running:
            raise DockerError(
                f"Error response from daemon: cannot kill container: {name}: container {container.identifier} is not "
                "running"
            )
        container.kill(number)
        print(name)
    return 0


def _stop(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, dict.fromkeys(("-t", "--time", "--timeout"), "time") | {"-s": "signal", "--signal": "signal"})
    for name in options.rest:
        container = Container.find(folder, name)
        if container.running:
            container.kill(signal.SIGTERM)
            if not container.wait(float((options.named["time"] or ["10"])[-1])) and container.running:
                container.kill(signal.SIGKILL)
                container.wait(10)
        print(name)
    return 0


def _ps(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    named = {"--format": "format", "--filter": "filter", "-f": "filter"}
    options = parse(argv, named, {"-a", "--all", "-q", "--quiet", "-aq", "-qa", "--no-trunc"})
    letters = "".join(flag.strip("-")[:2] for flag in options.flags)
    names = [text.removeprefix("name=") for text in options.named["filter"] if text.startswith("name=")]
    for container in Container.all(folder):
        shown = container.running or "a" in letters
        if shown and all(re.search(name, container.name) for name in names):
            template = (options.named["format"] or ["{{.ID}}" if "q" in letters else "{{.ID}} {{.Image}} {{.Names}}"])[
                -1
            ]
            print(formatted(template, container.summary()))
    return 0


def _inspect(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--format": "format", "-f": "format", "--type": "type"})
    for name in options.rest:
        facts = Container.find(folder, name).inspected()
        template = options.named["format"]
        print(formatted(template[-1], facts) if template else json.dumps([facts], indent=4))
    return 0


def _wait(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    for name in argv:
        container = Container.find(folder, name)
        while container.exit_code is None:
            time.sleep(0.02)
        print(container.exit_code)
    return 0


def _logs(folder: Path, argv: list[str], settings: Mapping[str, Any]) -> int:
    options = parse(argv, {"--tail": "tail", "-n": "tail"}, {"-f", "--follow"})
    container = Container.find(folder, options.rest[0])
    container.relay(follow=bool(options.flags))
    return 0


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


_COMMANDS: dict[str, Callable[[Path, list[str], Mapping[str, Any]], int]] = {
    "version": _version,
    "info": _version,
    "image-inspect": _image_inspect,
    "images": _images,
    "pull": _pull,
    "create": _create,
    "run": _run,
    "cp": _cp,
    "rm": _rm,
    "kill": _kill,
    "stop": _stop,
    "ps": _ps,
    "ls": _ps,
    "inspect": _inspect,
    "wait": _wait,
    "logs": _logs,
}
