"""The settings of the server: their sources, the chosen provider, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ConfigurationError
from server.settings import CORE_SETTINGS, ProviderChoice, Source, load_settings
from tests.support.settings import load, refusal, write_lean


class TestWhereValuesComeFrom:
    def test_defaults(self, tmp_path: Path) -> None:
        """Without any setting the data folder is ./data and the provider polygon."""
        settings = load(tmp_path)
        assert settings.data_folder == tmp_path / "data"
        assert settings.state_folder == tmp_path / "data" / ".backtest-server"
        assert settings.lean_config is None
        assert settings.data_provider == "polygon"
        assert settings.fallback_data_provider is None
        assert settings.use_polygon_native_downloader is True
        assert settings.engine == "auto"
        assert set(settings.sources.values()) == {Source("default")}

    def test_lean_json_is_found_upward(self, tmp_path: Path) -> None:
        """The nearest lean.json above the working directory is read, and its data folder is relative to it."""
        path = write_lean(tmp_path, {"data-folder": "market"})
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)
        settings = load_settings(environ={}, cwd=deep)
        assert settings.lean_config == path
        assert settings.data_folder == tmp_path / "market"
        assert settings.sources["data-folder"] == Source("lean.json", str(path))

    def test_nearer_lean_json_wins(self, tmp_path: Path) -> None:
        """Of two lean.json files above the working directory the nearer one is read."""
        write_lean(tmp_path, {"data-folder": "far"})
        near = tmp_path / "near"
        near.mkdir()
        write_lean(near, {"data-folder": "x"})
        assert load_settings(environ={}, cwd=near).data_folder == near / "x"

    def test_a_folder_called_lean_json_is_skipped(self, tmp_path: Path) -> None:
        """Only a file is a lean.json."""
        (tmp_path / "lean.json").mkdir()
        assert load_settings(environ={}, cwd=tmp_path / "lean.json").lean_config is None

    def test_named_lean_json(self, tmp_path: Path) -> None:
        """A lean.json that was named is read instead of the one in the working directory."""
        write_lean(tmp_path, {"data-folder": "here"})
        other = tmp_path / "other"
        other.mkdir()
        (other / "my.json").write_text('{"data-folder": "../there"}')
        settings = load_settings(environ={}, cwd=tmp_path, lean_config=Path("other/my.json"))
        assert settings.data_folder == tmp_path / "there"
        assert settings.lean_config == other / "my.json"

    def test_lean_json_without_data_folder(self, tmp_path: Path) -> None:
        """The default is `data` next to lean.json, whatever the working directory."""
        write_lean(tmp_path, {})
        (tmp_path / "project").mkdir()
        settings = load_settings(environ={}, cwd=tmp_path / "project")
        assert settings.data_folder == tmp_path / "data"
        assert settings.sources["data-folder"] == Source("default", str(tmp_path / "lean.json"))

    def test_order(self, tmp_path: Path) -> None:
        """A flag overrides the environment, which overrides lean.json."""
        lean = {"data-folder": "from-file", "backtest-server": {"data-provider": "file", "engine": "smoke"}}
        environ = {"BACKTEST_SERVER_DATA_PROVIDER": "env", "LEAN_DATA_FOLDER": "from-env"}
        assert load(tmp_path, lean).data_provider == "file"
        settings = load(tmp_path, lean, environ)
        assert (settings.data_provider, settings.data_folder) == ("env", tmp_path / "from-env")
        settings = load(tmp_path, lean, environ, provider="flag", data_folder=Path("from-flag"), engine=None)
        assert (settings.data_provider, settings.data_folder) == ("flag", tmp_path / "from-flag")
        assert settings.engine == "smoke"
        assert settings.sources["data-provider"] == Source("flag", "provider")
        assert settings.sources["engine"] == Source("lean.json", str(tmp_path / "lean.json"))
        assert settings.sources["data-folder"] == Source("flag", "data-folder")
        assert load(tmp_path, lean, environ).sources["data-folder"] == Source("environment", "LEAN_DATA_FOLDER")

    def test_empty_variables_are_not_set(self, tmp_path: Path) -> None:
        """An empty environment variable counts as not set."""
        environ = {name: " " for setting in CORE_SETTINGS for name in setting.env}
        assert load(tmp_path, environ=environ) == load(tmp_path)

    @pytest.mark.parametrize(("word", "value"), [("true", True), ("YES", True), ("0", False), ("Off", False)])
    def test_words_for_true_and_false(self, tmp_path: Path, word: str, value: bool) -> None:
        """The environment accepts the usual words for true and false."""
        settings = load(tmp_path, environ={"USE_POLYGON_NATIVE_DOWNLOADER": word})
        assert settings.use_polygon_native_downloader is value

    def test_fallback_switched_off(self, tmp_path: Path) -> None:
        """`none` in the environment removes a fallback that lean.json sets."""
        lean = {"backtest-server": {"fallback-data-provider": "lean-cli"}}
        environ = {"BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "none"}
        assert load(tmp_path, lean).fallback_data_provider == "lean-cli"
        assert load(tmp_path, lean, environ).fallback_data_provider is None

    def test_links_in_a_data_folder(self, tmp_path: Path) -> None:
        """`..` after a link means the folder above the link's target, as it does for LEAN."""
        (tmp_path / "real" / "deep").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
        assert load(tmp_path, data_folder="link/../x").data_folder == tmp_path / "real" / "x"

    @pytest.mark.parametrize("value", ["~/x", "$HOME/x", "${HOME}/x", " ~/x "])
    def test_home_in_a_path(self, tmp_path: Path, value: str) -> None:
        """The home folder and variables are replaced in every source of a path."""
        environ = {"HOME": str(tmp_path / "home")}
        expected = tmp_path / "home" / "x"

        assert load(tmp_path, {"data-folder": value}, environ).data_folder == expected
        assert load(tmp_path, environ={**environ, "LEAN_DATA_FOLDER": value}).data_folder == expected
        assert load(tmp_path, environ=environ, data_folder=value).data_folder == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source("flag", "provider"), "flag --provider"),
        (Source("environment", "LEAN_DATA_FOLDER"), "environment variable LEAN_DATA_FOLDER"),
        (Source("lean.json", "/x/lean.json"), "lean.json:/x/lean.json"),
        (Source("default"), "default"),
        (Source("default", "/x/lean.json"), "default, next to lean.json:/x/lean.json"),
    ],
)
def test_source_as_text(source: Source, text: str) -> None:
    """Pages, JSON and errors show a source as text."""
    assert str(source) == text


class TestChosenProvider:
    def test_default(self, tmp_path: Path) -> None:
        """Polygon is the default."""
        assert load(tmp_path).chosen_provider == ProviderChoice(name="polygon", source=Source("default"))

    def test_named(self, tmp_path: Path) -> None:
        """A configured provider is chosen, with the source of the setting."""
        variable = "BACKTEST_SERVER_DATA_PROVIDER"
        choice = load(tmp_path, environ={variable: "mine"}).chosen_provider
        assert choice == ProviderChoice(name="mine", source=Source("environment", variable))

    def test_rollback(self, tmp_path: Path) -> None:
        """Switching the native downloader off replaces polygon by lean-cli; the source is that setting's."""
        variable = "USE_POLYGON_NATIVE_DOWNLOADER"
        choice = load(tmp_path, environ={variable: "false"}).chosen_provider
        assert choice == ProviderChoice(name="lean-cli", source=Source("environment", variable), rolled_back=True)

    def test_rollback_leaves_others_alone(self, tmp_path: Path) -> None:
        """The rollback concerns polygon only."""
        lean = {"backtest-server": {"data-provider": "mine", "use-polygon-native-downloader": False}}
        choice = load(tmp_path, lean).chosen_provider
        assert (choice.name, choice.rolled_back) == ("mine", False)

    def test_rollback_yields_to_a_flag(self, tmp_path: Path) -> None:
        """A flag that names polygon overrides the rollback."""
        settings = load(tmp_path, environ={"USE_POLYGON_NATIVE_DOWNLOADER": "false"}, provider="polygon")
        assert settings.chosen_provider == ProviderChoice(name="polygon", source=Source("flag", "provider"))

    def test_no_provider_falls_back_to_itself(self, tmp_path: Path) -> None:
        """After a rollback to lean-cli a fallback to lean-cli has no effect."""
        lean = {"backtest-server": {"fallback-data-provider": "lean-cli"}}
        assert load(tmp_path, lean).chosen_fallback == "lean-cli"
        rolled_back = load(tmp_path, lean, {"USE_POLYGON_NATIVE_DOWNLOADER": "0"})
        assert rolled_back.chosen_fallback is None


class TestErrors:
    def test_missing_lean_json(self, tmp_path: Path) -> None:
        """A lean.json that was named and does not exist is an error with its path."""
        with pytest.raises(ConfigurationError, match=r"there is no .*/nowhere\.json"):
            load_settings(environ={}, cwd=tmp_path, lean_config=tmp_path / "nowhere.json")

    def test_folder_as_lean_json(self, tmp_path: Path) -> None:
        """A folder named as lean.json is an error in one line."""
        with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory"):
            load_settings(environ={}, cwd=tmp_path, lean_config=tmp_path)

    @pytest.mark.parametrize(
        ("text", "line", "column"),
        [
            ('{\n  // a comment\n  "engine": tru}', 3, 16),
            ('{\n  "a": 1\n  "b": 2\n}', 3, 3),
            ('{"a": 1,\n /* never closed', 2, 17),
            ("", 1, 1),
            ('{"a": "no end}', 1, 15),
        ],
    )
    def test_malformed(self, tmp_path: Path, text: str, line: int, column: int) -> None:
        """A lean.json that does not parse is an error with the line and column."""
        message = refusal(tmp_path, text)
        assert message.startswith(f"{tmp_path / 'lean.json'}, line {line}, column {column}: ")
        assert "\n" not in message

    def test_not_an_object(self, tmp_path: Path) -> None:
        """lean.json has to be an object."""
        assert "is not a JSON object" in refusal(tmp_path, "[1, 2]")

    def test_not_text(self, tmp_path: Path) -> None:
        """A file that is not UTF-8 is rejected with the line."""
        (tmp_path / "lean.json").write_bytes(b'{\n"a": "\xff"}')
        assert "line 2: not UTF-8" in refusal(tmp_path)

    def test_nested_too_deeply(self, tmp_path: Path) -> None:
        """A deeply nested file gives an error, not a traceback."""
        assert "nested too deeply" in refusal(tmp_path, "[" * 100_000)

    def test_unknown_setting(self, tmp_path: Path) -> None:
        """An unknown setting of the server is an error with the nearest name."""
        message = refusal(tmp_path, {"backtest-server": {"data-providr": "polygon"}})
        assert "'data-providr' under backtest-server is not a setting" in message
        assert "did you mean data-provider?" in message

    def test_unknown_top_level_keys_are_leans(self, tmp_path: Path) -> None:
        """Keys at the top belong to LEAN: any of them is accepted, also twice."""
        load(tmp_path, '{"ib-account": 1, "ib-account": 2, "data-provider": "DefaultDataProvider", "x": [null]}')

    @pytest.mark.parametrize(
        "text",
        [
            '{"data-folder": "a", "data-folder": "a"}',
            '{"backtest-server": {"engine": "auto", "engine": "auto"}}',
            '{"backtest-server": {}, "backtest-server": {}}',
        ],
    )
    def test_set_twice(self, tmp_path: Path, text: str) -> None:
        """A setting that occurs in lean.json twice is an error, even with the same value."""
        message = refusal(tmp_path, text)
        assert "is set more than once" in message
        assert f"(lean.json:{tmp_path / 'lean.json'})" in message

    @pytest.mark.parametrize(
        ("section", "expected"),
        [
            (
                {"engine": "turbo"},
                ["engine is 'turbo'", "one of auto, lean, lean-native, lean-docker, lean-cli, smoke"],
            ),
            ({"engine": None}, ["engine is null", "one of auto, lean, lean-native, lean-docker, lean-cli, smoke"]),
            ({"use-polygon-native-downloader": "true"}, ["use-polygon-native-downloader", "true or false"]),
            ({"use-polygon-native-downloader": 1}, ["use-polygon-native-downloader is 1", "true or false"]),
            ({"data-provider": ["polygon"]}, ["data-provider is a list", "a provider's name"]),
            ({"data-provider": "../x"}, ["data-provider is '../x'", "a provider's name"]),
            ({"fallback-data-provider": 5}, ["fallback-data-provider is 5", "or null"]),
            ({"providers": []}, ["backtest-server.providers", "an object"]),
            ({"providers": {"polygon": "x"}}, ["backtest-server.providers.polygon", "an object"]),
        ],
    )
    def test_wrong_values_in_lean_json(self, tmp_path: Path, section: Any, expected: list[str]) -> None:
        """A value that does not fit is an error with the setting, the file and what fits."""
        message = refusal(tmp_path, {"backtest-server": section})
        for part in [*expected, f"(lean.json:{tmp_path / 'lean.json'})"]:
            assert part in message

    @pytest.mark.parametrize("value", ["", None, 3, "a\0b"])
    def test_wrong_data_folder(self, tmp_path: Path, value: Any) -> None:
        """An empty or impossible data folder is an error."""
        assert refusal(tmp_path, {"data-folder": value}).startswith("data-folder is ")

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("C:\\Lean\\data", "it is a path of Windows"),
            ("$NOT_SET/data", "the variable $NOT_SET in it is not set"),
            ("~no-such-user", "there is no user no-such-user"),
        ],
    )
    def test_data_folder_that_names_no_folder(self, tmp_path: Path, value: str, words: str) -> None:
        """It is an error with its source, from every source, and never the name of a folder."""
        assert f"data-folder is {value!r} (lean.json:" in refusal(tmp_path, {"data-folder": value})
        assert f"(environment variable LEAN_DATA_FOLDER); {words}" in refusal(
            tmp_path, environ={"LEAN_DATA_FOLDER": value}
        )
        assert f"(flag --data-folder); {words}" in refusal(tmp_path, data_folder=value)

    def test_wrong_variable(self, tmp_path: Path) -> None:
        """A wrong value in the environment is an error with the variable's name."""
        message = refusal(tmp_path, environ={"BACKTEST_SERVER_ENGINE": "fast"})
        assert message == (
            "engine is 'fast' (environment variable BACKTEST_SERVER_ENGINE); it must be one of auto, "
            "lean, lean-native, lean-docker, lean-cli, smoke"
        )

    def test_wrong_flag(self, tmp_path: Path) -> None:
        """A wrong value of a flag is an error with the flag's name."""
        assert "(flag --engine)" in refusal(tmp_path, engine="x" * 500)

    def test_unknown_flag(self, tmp_path: Path) -> None:
        """A flag that is not a setting is an error."""
        assert "did you mean engine?" in refusal(tmp_path, engin="auto")
