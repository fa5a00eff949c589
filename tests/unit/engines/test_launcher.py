"""Where LEAN's launcher is searched for, and the runtime that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.core.errors import ConfigurationError
from server.engines.launcher import RequiredRuntime, find_launcher, install_folder, required_runtimes
from tests.support.engine_programs import DLL, runtime_config, write_launcher


@pytest.mark.parametrize("build", [".", "Launcher/bin/Debug", "Launcher/bin/Release", "bin/Debug"])
def test_folder_that_the_setting_names(tmp_path: Path, build: str) -> None:
    """The launcher's folder itself, or that of LEAN's repository or of an installation."""
    folder = write_launcher(tmp_path / "x" / build if build != "." else tmp_path / "x")

    assert find_launcher(tmp_path / "x", {}) == folder.resolve()
    assert find_launcher(folder / DLL, {}) == folder.resolve()
    assert find_launcher(None, {"LEAN_LAUNCHER": str(tmp_path / "x")}) == folder.resolve()


def test_order(tmp_path: Path) -> None:
    """The setting comes before the variable, the variable before the usual places; a blank variable is not set."""
    usual = write_launcher(tmp_path / "home" / "Lean" / "Launcher" / "bin" / "Release")
    variable, setting = write_launcher(tmp_path / "variable"), write_launcher(tmp_path / "setting")
    environ = {"HOME": str(tmp_path / "home"), "LEAN_LAUNCHER": str(variable)}

    assert find_launcher(setting, environ) == setting
    assert find_launcher(None, environ) == variable
    assert find_launcher(None, environ | {"LEAN_LAUNCHER": "~/Lean"}) == usual
    assert find_launcher(None, environ | {"LEAN_LAUNCHER": " "}) == usual


def test_installation_is_a_usual_place(tmp_path: Path) -> None:
    """`lean install` writes where the launcher is searched for."""
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "share")}
    folder = install_folder(environ)

    assert folder is not None
    launcher = write_launcher(folder / "Launcher" / "bin" / "Debug")
    assert find_launcher(None, environ) == launcher


@pytest.mark.parametrize("place", ["absent", "empty", "file"])
def test_a_place_without_launcher_is_an_error(tmp_path: Path, place: str) -> None:
    """It names the setting, its source and what was expected; it is not passed over for a usual place."""
    write_launcher(tmp_path / "Lean" / "Launcher" / "bin" / "Debug")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    environ = {"HOME": str(tmp_path)}

    with pytest.raises(ConfigurationError) as caught:
        find_launcher(tmp_path / place, environ, source="flag --x")
    for part in ("lean-launcher", str(tmp_path / place), "flag --x", DLL, "backtest-server lean install"):
        assert part in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"LEAN_LAUNCHER is .* \(environment variable\)"):
        find_launcher(None, environ | {"LEAN_LAUNCHER": str(tmp_path / place)})
    with pytest.raises(ConfigurationError, match=r"the variable \$NOWHERE in it is not set"):
        find_launcher(None, environ | {"LEAN_LAUNCHER": "$NOWHERE/x"})


def test_a_link_is_resolved(tmp_path: Path) -> None:
    """The reference data is in ../../../Data of the real folder."""
    folder = write_launcher(tmp_path / "Lean" / "Launcher" / "bin" / "Debug")
    (tmp_path / "link").symlink_to(folder)

    assert find_launcher(tmp_path / "link", {}) == folder


def test_required_runtimes(tmp_path: Path) -> None:
    """One framework or several, and the rule for later versions; DOTNET_ROLL_FORWARD replaces the file's."""
    core = {"name": "Microsoft.NETCore.App", "version": "10.0.0"}
    web = {"name": "Microsoft.AspNetCore.App", "version": "10.0.2"}
    several = write_launcher(
        tmp_path / "several", json.dumps({"runtimeOptions": {"frameworks": [core, web], "rollForward": "Major"}})
    )
    one = write_launcher(tmp_path / "one", runtime_config("9.0.4"))

    assert required_runtimes(several, {}) == (
        RequiredRuntime("Microsoft.NETCore.App", "10.0.0", "Major"),
        RequiredRuntime("Microsoft.AspNetCore.App", "10.0.2", "Major"),
    )
    assert required_runtimes(one, {}) == (RequiredRuntime("Microsoft.NETCore.App", "9.0.4", "Minor"),)
    assert required_runtimes(one, {"DOTNET_ROLL_FORWARD": "LatestMajor"})[0].roll_forward == "LatestMajor"
    assert required_runtimes(tmp_path, {}) == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"runtimeOptions": {}}', '{"runtimeOptions": {"framework": 3}}']
)
def test_damaged_runtime_config(tmp_path: Path, text: str) -> None:
    """One line that names the file."""
    folder = write_launcher(tmp_path / "x", text or " ")

    with pytest.raises(ConfigurationError, match=r"runtimeconfig.json names no .NET runtime"):
        required_runtimes(folder, {})
