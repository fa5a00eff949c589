"""The Dockerfile, the compose file and the systemd unit: checked by their own linters, and against the product."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from server.cli import cli
from server.settings.core import CORE_SETTINGS, RESERVED_VARIABLES
from tests.support.programs import program

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
UNIT = ROOT / "deploy" / "backtest-server.service"
SET = {"BACKTEST_SERVER_TOKEN": "a-token", "GRAFANA_PASSWORD": "a-password"}
VARIABLES = {*RESERVED_VARIABLES, *(name for setting in CORE_SETTINGS for name in setting.env), "POLYGON_API_KEY"}


def served(arguments: list[str]) -> dict[str, Any]:
    """The options of a command line of ours, as the command line's own parser takes them."""
    name, *options = arguments
    assert name == "serve"
    return cli.commands[name].make_context(name, options).params


# --- the image ---


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with what follows it, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def last_stage() -> dict[str, str]:
    """The instructions of the image itself; of repeated ones the last."""
    every = instructions()
    start = max(at for at, (word, _) in enumerate(every) if word == "FROM")
    return dict(every[start:])


def test_hadolint_accepts_the_dockerfile() -> None:
    """The Dockerfile's linter has nothing to say, notes of style included."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--failure-threshold", "style", DOCKERFILE], capture_output=True, timeout=60)

    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert done.stdout == b""


def test_hadolint_sees_faults(tmp_path: Path) -> None:
    """The linter that accepts it is at work: it refuses an image of no version and a shell's bad habit."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && apt-get install thing\n", encoding="utf-8")
    done = subprocess.run([Path(sys.executable).parent / "hadolint", bad], capture_output=True, timeout=60)

    assert done.returncode == 1
    assert b"DL3006" in done.stdout


def test_what_the_image_copies_is_there() -> None:
    """Each file that is copied from the repository exists, and .dockerignore lets it through, and no secret."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line.strip() for line in lines if line and not line.startswith("#")]
    copied = [
        source.rstrip("/")
        for word, rest in instructions()
        if word == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    ]

    assert rules[0] == "*"
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source.partition('/')[0]}" in rules, source
    let_through = [rule[1:] for rule in rules if rule.startswith("!")]
    assert sorted(let_through) == sorted({source.partition("/")[0] for source in copied})
    assert not any(fnmatch(name, one) for name in ("lean.json", ".env", ".git", "data") for one in let_through)


def test_the_image_builds_the_package_with_its_pages() -> None:
    """What npm brings is installed by lock file and built, and goes into the package before pip makes it."""
    order = [f"{word} {rest}" for word, rest in instructions()]
    npm = next(at for at, line in enumerate(order) if "npm ci" in line)
    vendor = next(at for at, line in enumerate(order) if "--from=assets" in line)
    pip = next(at for at, line in enumerate(order) if "pip install" in line)

    assert npm < vendor < pip
    assert '".[serve]"' in order[pip]
    assert "npm run build" in order[npm]
    assert (ROOT / "server" / "web" / "assets" / "package-lock.json").is_file()
    assert "build" in json.loads((ROOT / "server" / "web" / "assets" / "package.json").read_bytes())["scripts"]


def test_the_image_serves_as_an_unprivileged_user() -> None:
    """It runs as a user of no rights, and its command is one of ours that listens on the port it exposes."""
    stage = last_stage()
    options = served(json.loads(stage["CMD"]))

    assert stage["FROM"] == "python:3.12-slim"
    assert stage["USER"].split(":")[0].isdigit()
    assert int(stage["USER"].split(":")[0]) >= 1000
    assert json.loads(stage["ENTRYPOINT"]) == ["backtest-server"]
    assert (options["host"], str(options["port"])) == ("0.0.0.0", stage["EXPOSE"])
    assert f"127.0.0.1:{stage['EXPOSE']}/health" in stage["HEALTHCHECK"]
    assert f"LEAN_DATA_FOLDER={stage['VOLUME']}" in stage["ENV"]


def test_the_health_check_is_python() -> None:
    """The health check's command compiles, and calls nothing that the image has not."""
    command = json.loads(last_stage()["HEALTHCHECK"].partition(" CMD ")[2])

    assert command[:2] == ["python", "-c"]
    compile(command[2], "the health check", "exec")


# --- compose ---


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables filled in, as Compose does it.

    Raises:
        KeyError: One that must be set is not.
    """

    def value(found: re.Match[str]) -> str:
        name, how, word = found.groups()
        if name in variables:
            return variables[name]
        if how != ":-":
            raise KeyError(name)
        return word

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def compose(variables: Mapping[str, str] = SET) -> dict[str, Any]:
    return yaml.safe_load(filled((ROOT / "compose.yaml").read_text("utf-8"), variables))


def test_compose_file_keeps_the_specification() -> None:
    """A strict parser of the Compose specification takes the file, and finds the three services."""
    found = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose()))

    assert sorted(found.service_names()) == ["backtest-server", "grafana", "prometheus"]


def test_parser_of_compose_files_sees_faults() -> None:
    """The parser that accepts it is strict: a key that there is not is refused."""
    content = compose()
    content["services"]["grafana"]["read_onyl"] = True

    with pytest.raises(ValueError, match="read_onyl"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(content))


@pytest.mark.parametrize("name", sorted(SET))
def test_nothing_starts_without_its_secret(name: str) -> None:
    """Without the token, or Grafana's password, Compose refuses to start rather than start open."""
    with pytest.raises(KeyError, match=name):
        compose({key: value for key, value in SET.items() if key != name})


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose()["services"].items()


def test_services_are_walled_in() -> None:
    """No service has a capability, can gain rights, runs as root, or is reached from another machine."""
    for name, service in services():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service["user"].startswith(("0", "root")), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert "latest" not in service["image"], name


def test_file_systems_are_read_only() -> None:
    """A service writes to its volumes alone; one with a secret made of a variable cannot have it so."""
    made = {name for name, secret in compose()["secrets"].items() if "environment" in secret}
    for name, service in services():
        assert service["read_only"] == (not made.intersection(service.get("secrets", ()))), name


def test_mounted_files_are_there() -> None:
    """Each file of this repository that a service mounts exists, and the service cannot change it."""
    volumes = set(compose()["volumes"])
    for _, service in services():
        for volume in service["volumes"]:
            source, _, *mode = volume.split(":")
            if source not in volumes:
                assert (ROOT / source).exists(), volume
                assert mode == ["ro"], volume


def test_server_of_the_compose_file_fits_the_image() -> None:
    """It runs as the image's user, on the image's volume and port, with variables that there are."""
    stage, service = last_stage(), compose()["services"]["backtest-server"]
    options = served(json.loads(stage["CMD"]))
    targets = [volume.split(":")[1] for volume in service["volumes"]]

    assert service["user"] == stage["USER"]
    assert targets == [stage["VOLUME"], str(options["projects"])]
    assert [port.rpartition(":")[2] for port in service["ports"]] == [stage["EXPOSE"]]
    assert set(service["environment"]) - VARIABLES == set()


def test_prometheus_of_the_compose_file_reaches_the_server() -> None:
    """It asks the server's service at its port, and shows the token from the secret that it is given."""
    (scrape,) = yaml.safe_load((ROOT / "docs/observability/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    secret = Path(scrape["authorization"]["credentials_file"])

    assert scrape["static_configs"] == [{"targets": [f"backtest-server:{last_stage()['EXPOSE']}"]}]
    assert str(secret.parent) == "/run/secrets"
    assert compose()["services"]["prometheus"]["secrets"] == [secret.name]
    assert compose()["secrets"] == {secret.name: {"environment": "BACKTEST_SERVER_TOKEN"}}


# --- systemd ---


def unit() -> dict[str, str]:
    """The settings of the unit; of repeated ones the last."""
    lines = UNIT.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


@pytest.fixture
def installed_unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    path = tmp_path / UNIT.name
    there = Path(sys.executable).parent / "backtest-server"
    text = UNIT.read_text("utf-8").replace("/opt/backtest-server/bin/backtest-server", str(there))
    path.write_text(text, encoding="utf-8")
    return path


def systemd_analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), *map(str, arguments)], capture_output=True, timeout=60, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_accepts_the_unit(installed_unit: Path) -> None:
    """systemd knows each setting and value of the unit, and has nothing to warn of."""
    said = systemd_analyze("verify", installed_unit)

    assert UNIT.name not in said, said


def test_systemd_finds_the_unit_well_walled_in(installed_unit: Path) -> None:
    """What systemd counts as exposure stays under 1.5 of 10."""
    systemd_analyze("security", "--offline=true", "--threshold=15", "--no-pager", installed_unit)


def test_unit_starts_the_server() -> None:
    """It starts a command of ours, on loopback, that can write its data folder and nothing else."""
    settings = unit()
    path, *arguments = shlex.split(settings["ExecStart"])
    options = served(arguments)

    assert Path(path).name == "backtest-server"
    assert options["host"] == "127.0.0.1"
    assert settings["Environment"] == f"LEAN_DATA_FOLDER={settings['ReadWritePaths']}/data"
    assert options["projects"].is_relative_to(settings["ReadWritePaths"])
    assert settings["ReadWritePaths"] == f"/var/lib/{settings['StateDirectory']}"
    assert (settings["ProtectSystem"], settings["NoNewPrivileges"]) == ("strict", "yes")
    assert settings["EnvironmentFile"].startswith("/etc/")
    assert settings["User"] not in ("root", "0")
