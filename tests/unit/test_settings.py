"""Settings: where they come from, what is refused, and that keys stay secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen, validators
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.plugins.hookspecs import setting
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.polygon_provider.config import PolygonConfig
from server.settings import CORE_SETTINGS, Settings, load_settings
from server.settings.core import RESERVED_VARIABLES
from server.settings.lean_json import parse_json_with_comments

KEY = "Zq8xJ4vKeyNobodyMaySee"

config_class = frozen(kw_only=True)


@config_class
class ExampleConfig:
    """A provider's settings of each kind."""

    api_key: Secret | None = setting(
        default=None, env=("POLYGON_API_KEY", "MASSIVE_API_KEY"), lean="polygon-api-key", repr=False
    )
    api_url: str = setting(default="https://api.polygon.io", env=("POLYGON_API_URL",), lean="polygon-api-url")
    max_concurrent_requests: int = setting(
        default=5,
        env=("BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS",),
        validator=[validators.ge(1), validators.le(5)],
    )
    requests_per_minute: int | None = setting(default=None, env=("BACKTEST_SERVER_REQUESTS_PER_MINUTE",))
    retry_seconds: float = setting(default=300.0, env=("BACKTEST_SERVER_RETRY_SECONDS",), validator=validators.ge(0))
    keep: bool = setting(default=True, env=("EXAMPLE_KEEP",))
    folder: Path | None = setting(default=None, env=("EXAMPLE_FOLDER",))


@config_class
class NeedyConfig:
    """A provider's settings, one of which must be given."""

    account: str = setting(env=("EXAMPLE_ACCOUNT",))
    level: int = setting(default=1, validator=validators.ge(1))


def write_lean(folder: Path, values: Any) -> Path:
    path = folder / "lean.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def load(folder: Path, lean: Any = None, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    if lean is not None:
        write_lean(folder, lean)
    return load_settings(flags=flags, environ=environ or {}, cwd=folder)


def refusal(folder: Path, lean: Any = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, lean, environ, **flags)
    return str(caught.value)


def told_about(environ: dict[str, str], lean_config: Path) -> str:
    """What can be seen of the settings: the refusal, or the reprs."""
    try:
        settings = load_settings(environ=environ, cwd=lean_config.parent, lean_config=lean_config)
        return f"{settings!r} {settings.provider_config('polygon', ExampleConfig)!r}"
    except ConfigurationError as error:
        return str(error)


class TestWhereValuesComeFrom:
    def test_defaults(self, tmp_path: Path) -> None:
        """With nothing said, the data lies in ./data and polygon is the provider."""
        settings = load(tmp_path)
        assert settings.data_folder == tmp_path / "data"
        assert settings.state_folder == tmp_path / "data" / ".backtest-server"
        assert settings.lean_config is None
        assert settings.data_provider == "polygon"
        assert settings.fallback_data_provider is None
        assert settings.use_polygon_native_downloader is True
        assert settings.engine == "auto"
        assert set(settings.sources.values()) == {"default"}

    def test_lean_json_is_found_upward(self, tmp_path: Path) -> None:
        """The nearest lean.json above the working directory counts, and its data folder is relative to it."""
        path = write_lean(tmp_path, {"data-folder": "market"})
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)
        settings = load_settings(environ={}, cwd=deep)
        assert settings.lean_config == path
        assert settings.data_folder == tmp_path / "market"
        assert settings.sources["data-folder"] == f"lean.json:{path}"

    def test_nearer_lean_json_wins(self, tmp_path: Path) -> None:
        """Of two lean.json files above the working directory the nearer one is read."""
        write_lean(tmp_path, {"data-folder": "far"})
        near = tmp_path / "near"
        near.mkdir()
        write_lean(near, {"data-folder": "x"})
        assert load_settings(environ={}, cwd=near).data_folder == near / "x"

    def test_a_folder_called_lean_json_is_passed_by(self, tmp_path: Path) -> None:
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
        """LEAN's default is `data` beside lean.json, wherever the server is started."""
        write_lean(tmp_path, {})
        (tmp_path / "project").mkdir()
        settings = load_settings(environ={}, cwd=tmp_path / "project")
        assert settings.data_folder == tmp_path / "data"
        assert settings.sources["data-folder"].startswith("default")

    def test_order(self, tmp_path: Path) -> None:
        """A flag stands above the environment, which stands above lean.json."""
        lean = {"data-folder": "from-file", "backtest-server": {"data-provider": "file", "engine": "smoke"}}
        environ = {"BACKTEST_SERVER_DATA_PROVIDER": "env", "LEAN_DATA_FOLDER": "from-env"}
        assert load(tmp_path, lean).data_provider == "file"
        settings = load(tmp_path, lean, environ)
        assert (settings.data_provider, settings.data_folder) == ("env", tmp_path / "from-env")
        settings = load(tmp_path, lean, environ, provider="flag", data_folder=Path("from-flag"), engine=None)
        assert (settings.data_provider, settings.data_folder) == ("flag", tmp_path / "from-flag")
        assert settings.engine == "smoke"
        assert settings.sources["data-provider"] == "flag --provider"
        assert settings.sources["engine"] == f"lean.json:{tmp_path / 'lean.json'}"

    def test_empty_variables_are_not_set(self, tmp_path: Path) -> None:
        """An empty environment variable says nothing."""
        environ = {setting.env: " " for setting in CORE_SETTINGS}
        assert load(tmp_path, environ=environ) == load(tmp_path)

    @pytest.mark.parametrize(("word", "value"), [("true", True), ("YES", True), ("0", False), ("Off", False)])
    def test_words_for_true_and_false(self, tmp_path: Path, word: str, value: bool) -> None:
        """The environment may say true and false in the usual words."""
        settings = load(tmp_path, environ={"USE_POLYGON_NATIVE_DOWNLOADER": word})
        assert settings.use_polygon_native_downloader is value

    def test_fallback_switched_off(self, tmp_path: Path) -> None:
        """`none` in the environment takes away a fallback that lean.json sets."""
        lean = {"backtest-server": {"fallback-data-provider": "lean-cli"}}
        environ = {"BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "none"}
        assert load(tmp_path, lean).fallback_data_provider == "lean-cli"
        assert load(tmp_path, lean, environ).fallback_data_provider is None

    def test_links_in_a_data_folder(self, tmp_path: Path) -> None:
        """`..` after a link means the folder above the link's target, as it does for LEAN."""
        (tmp_path / "real" / "deep").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
        assert load(tmp_path, data_folder="link/../x").data_folder == tmp_path / "real" / "x"


class TestChosenProvider:
    def test_default(self, tmp_path: Path) -> None:
        """Polygon is chosen because it is the default."""
        assert load(tmp_path).chosen_provider == ("polygon", "it is the default")

    def test_named(self, tmp_path: Path) -> None:
        """The reason says where the provider was named."""
        name, why = load(tmp_path, environ={"BACKTEST_SERVER_DATA_PROVIDER": "mine"}).chosen_provider
        assert name == "mine"
        assert "environment variable BACKTEST_SERVER_DATA_PROVIDER" in why

    def test_rollback(self, tmp_path: Path) -> None:
        """Switching the native downloader off puts lean-cli in polygon's place, and says so."""
        settings = load(tmp_path, environ={"USE_POLYGON_NATIVE_DOWNLOADER": "false"})
        name, why = settings.chosen_provider
        assert name == "lean-cli"
        assert "use-polygon-native-downloader is false" in why
        assert "USE_POLYGON_NATIVE_DOWNLOADER" in why

    def test_rollback_leaves_others_alone(self, tmp_path: Path) -> None:
        """The rollback concerns polygon only."""
        lean = {"backtest-server": {"data-provider": "mine", "use-polygon-native-downloader": False}}
        assert load(tmp_path, lean).chosen_provider[0] == "mine"

    def test_rollback_yields_to_a_flag(self, tmp_path: Path) -> None:
        """Who names polygon by flag gets it."""
        settings = load(tmp_path, environ={"USE_POLYGON_NATIVE_DOWNLOADER": "false"}, provider="polygon")
        assert settings.chosen_provider == ("polygon", "data-provider is polygon (flag --provider)")

    def test_no_provider_falls_back_to_itself(self, tmp_path: Path) -> None:
        """After a rollback to lean-cli a fallback to lean-cli means nothing."""
        lean = {"backtest-server": {"fallback-data-provider": "lean-cli"}}
        assert load(tmp_path, lean).chosen_fallback == "lean-cli"
        rolled_back = load(tmp_path, lean, {"USE_POLYGON_NATIVE_DOWNLOADER": "0"})
        assert rolled_back.chosen_fallback is None


class TestRefusals:
    def test_missing_lean_json(self, tmp_path: Path) -> None:
        """A lean.json that was named and is not there is an error with its path."""
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
        """A lean.json that does not parse is an error that says the line and column."""
        message = refusal(tmp_path, text)
        assert message.startswith(f"{tmp_path / 'lean.json'}, line {line}, column {column}: ")
        assert "\n" not in message

    def test_not_an_object(self, tmp_path: Path) -> None:
        """lean.json has to be an object."""
        assert "is not a JSON object" in refusal(tmp_path, "[1, 2]")

    def test_not_text(self, tmp_path: Path) -> None:
        """A file that is not UTF-8 is refused with the line."""
        (tmp_path / "lean.json").write_bytes(b'{\n"a": "\xff"}')
        assert "line 2: not UTF-8" in refusal(tmp_path)

    def test_nested_too_deeply(self, tmp_path: Path) -> None:
        """A hostile file ends in a message, not in a traceback."""
        assert "nested too deeply" in refusal(tmp_path, "[" * 100_000)

    def test_unknown_setting(self, tmp_path: Path) -> None:
        """A misspelt setting of ours is refused, and the right one named."""
        message = refusal(tmp_path, {"backtest-server": {"data-providr": "polygon"}})
        assert "'data-providr' under backtest-server is no setting" in message
        assert "did you mean data-provider?" in message

    def test_unknown_top_level_keys_are_leans(self, tmp_path: Path) -> None:
        """Keys at the top belong to LEAN, whatever they are and however often they stand there."""
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
        """A setting that stands in lean.json twice is refused, even with one value."""
        message = refusal(tmp_path, text)
        assert "is set more than once" in message
        assert f"(lean.json:{tmp_path / 'lean.json'})" in message

    @pytest.mark.parametrize(
        ("section", "expected"),
        [
            ({"engine": "turbo"}, ["engine is 'turbo'", "one of auto, lean, smoke"]),
            ({"engine": None}, ["engine is null", "one of auto, lean, smoke"]),
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
        """A value that does not fit is refused with its setting, its file, and what would fit."""
        message = refusal(tmp_path, {"backtest-server": section})
        for part in [*expected, f"(lean.json:{tmp_path / 'lean.json'})"]:
            assert part in message

    @pytest.mark.parametrize("value", ["", None, 3, "a\0b"])
    def test_wrong_data_folder(self, tmp_path: Path, value: Any) -> None:
        """An empty or impossible data folder is refused rather than guessed."""
        assert refusal(tmp_path, {"data-folder": value}).startswith("data-folder is ")

    def test_wrong_variable(self, tmp_path: Path) -> None:
        """A wrong value in the environment is refused with the variable's name."""
        message = refusal(tmp_path, environ={"BACKTEST_SERVER_ENGINE": "fast"})
        assert message == (
            "engine is 'fast' (environment variable BACKTEST_SERVER_ENGINE); it must be one of auto, lean, smoke"
        )

    def test_wrong_flag(self, tmp_path: Path) -> None:
        """A wrong value of a flag is refused with the flag's name."""
        assert "(flag --engine)" in refusal(tmp_path, engine="x" * 500)

    def test_unknown_flag(self, tmp_path: Path) -> None:
        """A flag that sets nothing is refused."""
        assert "did you mean engine?" in refusal(tmp_path, engin="auto")


class TestJsonWithComments:
    def test_lean_file(self) -> None:
        """Comments and trailing commas, as LEAN's own file has them, mean nothing."""
        text = """{
            // "data-folder": "commented out",
            "data-folder": "../Data//x", /* several
            lines, "quoted" */ "url": "http://host/*no comment*/",
            "windows": "C:\\\\Jts\\\\", "quote": "a \\" // b",
            "list": [1, 2, /* three */], // the end
        }"""
        assert parse_json_with_comments(text, "x") == {
            "data-folder": "../Data//x",
            "url": "http://host/*no comment*/",
            "windows": "C:\\Jts\\",
            "quote": 'a " // b',
            "list": [1, 2],
        }

    def test_json5(self) -> None:
        """What goes beyond comments is JSON5: single quotes, bare keys, hexadecimal numbers."""
        assert parse_json_with_comments("{a: 'it // is', /* c */ b: 0x10,}", "x") == {"a": "it // is", "b": 16}

    @pytest.mark.parametrize(
        "text", ["{,}", "[,]", "[1,,]", "{// c\n,}", "{} /*", "{} /*/", "{} /* x *", "{'a//b': 1", '{"a" 1}']
    )
    def test_refused(self, text: str) -> None:
        """What JSON5 refuses is refused."""
        with pytest.raises(ConfigurationError, match=r"line [12], column"):
            parse_json_with_comments(text, "x")

    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(alphabet="ab\"\\/*,}]{[' \n\u2028"),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"/*,\\'), inner),
            max_leaves=8,
        ),
        comment=st.sampled_from([' // x, ] } "\n', "/* , } \" ' \n*/", " "]),
    )
    def test_comments_change_nothing(self, value: Any, comment: str) -> None:
        """Comments between any two tokens leave the value as it was."""
        encoder = json.JSONEncoder(separators=("," + comment, ":" + comment), ensure_ascii=False)
        assert parse_json_with_comments(comment + encoder.encode(value) + comment, "x") == value

    def test_comments_need_no_json5(self, tmp_path: Path) -> None:
        """Loading the settings from a lean.json with comments stays clear of slow imports."""
        write_lean(tmp_path, '{\n// comment\n"data-folder": "d", /* c */ "backtest-server": {"engine": "auto",},}')
        code = (
            "import sys, pathlib, server.settings as s\n"
            "s.load_settings(environ={}, cwd=pathlib.Path(sys.argv[1]))\n"
            "print([m for m in ('json5', 'loguru', 'numpy', 'requests', 'pluggy') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestProviderConfig:
    def test_defaults(self, tmp_path: Path) -> None:
        """With nothing said the config has its own defaults."""
        assert load(tmp_path).provider_config("polygon", ExampleConfig) == ExampleConfig()

    def test_from_lean_json(self, tmp_path: Path) -> None:
        """LEAN's keys at the top and the provider's own object both count; the provider's own wins."""
        lean = {
            "polygon-api-key": KEY,
            "polygon-api-url": "https://top",
            "backtest-server": {
                "providers": {
                    "polygon": {
                        "api-url": "https://own",
                        "max-concurrent-requests": 2,
                        "requests-per-minute": 5,
                        "retry-seconds": 10,
                        "keep": False,
                        "folder": "cache",
                    }
                }
            },
        }
        assert load(tmp_path, lean).provider_config("polygon", ExampleConfig) == ExampleConfig(
            api_key=Secret(KEY),
            api_url="https://own",
            max_concurrent_requests=2,
            requests_per_minute=5,
            retry_seconds=10.0,
            keep=False,
            folder=tmp_path / "cache",
        )

    def test_from_the_environment(self, tmp_path: Path) -> None:
        """Variables stand above lean.json and are converted to the field's type."""
        environ = {
            "MASSIVE_API_KEY": f" {KEY}\n",
            "BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS": "3",
            "BACKTEST_SERVER_REQUESTS_PER_MINUTE": "none",
            "BACKTEST_SERVER_RETRY_SECONDS": "1.5e1",
            "EXAMPLE_KEEP": "no",
            "EXAMPLE_FOLDER": "cache",
        }
        lean = {"polygon-api-key": "x", "backtest-server": {"providers": {"polygon": {"requests-per-minute": 5}}}}
        assert load(tmp_path, lean, environ).provider_config("polygon", ExampleConfig) == ExampleConfig(
            api_key=Secret(KEY),
            max_concurrent_requests=3,
            requests_per_minute=None,
            retry_seconds=15.0,
            keep=False,
            folder=tmp_path / "cache",
        )

    def test_first_variable_wins(self, tmp_path: Path) -> None:
        """Of two variables for one setting the first that is set counts."""
        environ = {"POLYGON_API_KEY": "one", "MASSIVE_API_KEY": "two"}
        assert load(tmp_path, environ=environ).provider_config("polygon", ExampleConfig).api_key == Secret("one")

    def test_leans_empty_keys(self, tmp_path: Path) -> None:
        """LEAN writes its keys with empty texts; such a key is not set."""
        lean = {"polygon-api-key": "", "polygon-api-url": None}
        assert load(tmp_path, lean).provider_config("polygon", ExampleConfig) == ExampleConfig()

    @pytest.mark.parametrize(
        ("value", "fits"),
        [("9", "must be <= 5: 9"), ("many", "a whole number"), ("2.0", "a whole number"), ("1_0", "a whole number")],
    )
    def test_value_that_does_not_fit(self, tmp_path: Path, value: str, fits: str) -> None:
        """A wrong number names the setting, the variable, and what would fit."""
        environ = {"BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS": value, "BACKTEST_SERVER_RETRY_SECONDS": "2"}
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, environ=environ).provider_config("polygon", ExampleConfig)
        message = str(caught.value)
        assert message.startswith("polygon's max-concurrent-requests ")
        assert "(environment variable BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS)" in message
        assert fits in message
        assert "RETRY_SECONDS" not in message

    @pytest.mark.parametrize("value", ["nan", "inf", "1e999", "", True, [1], 10**400])
    def test_not_a_number(self, tmp_path: Path, value: Any) -> None:
        """Only finite numbers are numbers."""
        lean = {"backtest-server": {"providers": {"polygon": {"retry-seconds": value}}}}
        with pytest.raises(ConfigurationError, match=r"retry-seconds .* must be a number"):
            load(tmp_path, lean).provider_config("polygon", ExampleConfig)

    def test_unknown_setting(self, tmp_path: Path) -> None:
        """A misspelt key of a provider is refused, and the right one named."""
        lean = {"backtest-server": {"providers": {"polygon": {"api-keys": KEY}}}}
        with pytest.raises(
            ConfigurationError, match=r"'api-keys' under .*polygon is no setting .*mean api-key"
        ) as caught:
            load(tmp_path, lean).provider_config("polygon", ExampleConfig)
        assert KEY not in str(caught.value)

    def test_unknown_provider(self, tmp_path: Path) -> None:
        """Settings for a provider that is not installed are refused."""
        settings = load(tmp_path, {"backtest-server": {"providers": {"polygn": {}}}})
        with pytest.raises(ConfigurationError, match=r"'polygn' under backtest-server\.providers .* mean polygon"):
            settings.check_providers(["polygon", "lean-cli"])

    def test_required_setting(self, tmp_path: Path) -> None:
        """A setting without a default that nobody gives is an error that says how to give it."""
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path).provider_config("needy", NeedyConfig)
        assert str(caught.value) == (
            "needy's account is not set; set EXAMPLE_ACCOUNT or "
            "write backtest-server.providers.needy.account in lean.json"
        )

    def test_validator_beside_a_required_setting(self, tmp_path: Path) -> None:
        """The setting that a validator refuses is found among several that were given."""
        lean = {"backtest-server": {"providers": {"needy": {"account": "me", "level": 0}}}}
        with pytest.raises(
            ConfigurationError, match=r"^needy's level \(lean.json:.*\) does not fit: .*must be >= 1: 0"
        ):
            load(tmp_path, lean).provider_config("needy", NeedyConfig)

    def test_class_that_is_no_config(self, tmp_path: Path) -> None:
        """A plugin with a wrong config class is told so by the provider's name."""
        with pytest.raises(ConfigurationError, match="the provider odd does not declare its settings well"):
            load(tmp_path).provider_config("odd", int)

    def test_described(self, tmp_path: Path) -> None:
        """A page shows each value and its source, and of a key only whether it is set."""
        lean = {"backtest-server": {"providers": {"polygon": {"keep": False}}}}
        settings = load(tmp_path, lean, {"POLYGON_API_KEY": KEY})
        rows = settings.described("polygon", ExampleConfig)
        assert rows[0] == ("api-key", "set", "environment variable POLYGON_API_KEY")
        assert ("max-concurrent-requests", "5", "default") in rows
        assert ("requests-per-minute", "none", "default") in rows
        assert ("keep", "false", f"lean.json:{tmp_path / 'lean.json'}") in rows
        assert load(tmp_path, lean).described("polygon", ExampleConfig)[0] == ("api-key", "not set", "default")


class TestEnvironment:
    def test_unknown_variable(self, tmp_path: Path) -> None:
        """A variable with our prefix that nobody knows is refused, and the right one named."""
        settings = load(tmp_path, environ={"BACKTEST_SERVER_REQUEST_PER_MINUTE": "5"})
        with pytest.raises(ConfigurationError) as caught:
            settings.check_environment([ExampleConfig])
        assert str(caught.value) == (
            "the environment variable 'BACKTEST_SERVER_REQUEST_PER_MINUTE' is no setting; "
            "did you mean BACKTEST_SERVER_REQUESTS_PER_MINUTE?"
        )

    def test_known_variables(self, tmp_path: Path) -> None:
        """Our variables, the reserved ones, the providers' and everybody else's pass; so do empty ones."""
        names = ["BACKTEST_SERVER_ENGINE", "BACKTEST_SERVER_RETRY_SECONDS", "PATH", *RESERVED_VARIABLES]
        environ = dict.fromkeys(names, "auto") | {"BACKTEST_SERVER_WHATEVER": ""}
        load(tmp_path, environ=environ).check_environment([ExampleConfig])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("engine"), inner, max_size=3),
    max_leaves=6,
)
OURS = [setting.name for setting in CORE_SETTINGS if setting.name != "data-folder"] + ["providers"]
OF_POLYGON = ["api-url", "max-concurrent-requests", "requests-per-minute", "retry-seconds", "keep", "folder"]


class TestAnyValue:
    @pytest.mark.parametrize("secret", [[KEY], {"key": KEY}, f"{KEY}\n{KEY}", True])
    def test_key_of_the_wrong_type(self, tmp_path: Path, secret: Any) -> None:
        """A key that does not fit is refused without being shown, in the message or in its causes."""
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, {"polygon-api-key": secret}).provider_config("polygon", ExampleConfig)
        assert str(caught.value).startswith("polygon's api-key does not fit (lean.json:")
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_nothing_prints_the_key(self, tmp_path: Path) -> None:
        """Neither the settings nor the config have the key in their repr."""
        settings = load(tmp_path, {"polygon-api-key": KEY}, {"POLYGON_API_KEY": KEY})
        config = settings.provider_config("polygon", ExampleConfig)
        assert config.api_key.reveal() == KEY
        assert KEY not in f"{settings!r} {settings} {config!r} {config}"

    @given(
        section=st.dictionaries(st.sampled_from(OURS), JSON_VALUES, max_size=3),
        own=st.dictionaries(st.sampled_from(OF_POLYGON), JSON_VALUES.filter(lambda v: KEY not in str(v)), max_size=3),
        folder=JSON_VALUES,
        key=st.sampled_from([KEY, [KEY], {"k": KEY}, f" {KEY}", f"{KEY}\t{KEY}", 7]),
    )
    @example(section={}, own={"folder": "\ud800"}, folder="\ud800", key=KEY)
    def test_loads_or_refuses(
        self, tmp_path_factory: pytest.TempPathFactory, section: Any, own: Any, folder: Any, key: Any
    ) -> None:
        """Any JSON value for any setting either loads or is refused in one line without the key."""
        path = tmp_path_factory.getbasetemp() / "any.json"
        section = {name: value for name, value in section.items() if KEY not in str(value)}
        section.setdefault("providers", {"polygon": own})
        lean = {"polygon-api-key": key, "backtest-server": section}
        if KEY not in str(folder):
            lean["data-folder"] = folder
        path.write_text(json.dumps(lean), encoding="utf-8")
        told = told_about({}, path)
        assert KEY not in told
        assert "\n" not in told

    @given(
        st.dictionaries(
            st.sampled_from([*(setting.env for setting in CORE_SETTINGS), "BACKTEST_SERVER_RETRY_SECONDS"]),
            st.text(st.characters(exclude_characters="\0")),
        )
    )
    def test_any_environment(self, tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> None:
        """Any text in any variable either loads or is refused in one line."""
        path = tmp_path_factory.getbasetemp() / "empty.json"
        path.write_text("{}")
        told = told_about(environ, path)
        assert "\n" not in told
        assert told.startswith("Settings(") or "(environment variable " in told


def test_every_setting_is_documented() -> None:
    """docs/configuration.md names each setting and each variable, of the server and of its own providers."""
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    names = {one.name for one in CORE_SETTINGS} | {one.env for one in CORE_SETTINGS} | {*RESERVED_VARIABLES}
    names |= {f"--{one.flag}" for one in CORE_SETTINGS if one.flag}
    for config in (PolygonConfig, LeanCliConfig):
        for one in attrs.fields(config):
            names |= {one.name.replace("_", "-"), *one.metadata["env"], *filter(None, [one.metadata["lean"]])}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_documented_example_loads(tmp_path: Path) -> None:
    """The lean.json in docs/configuration.md is one that loads."""
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    settings = load(tmp_path, text.split("```json\n")[1].split("```")[0])
    assert settings.fallback_data_provider == "lean-cli"
    assert settings.provider_config("polygon", PolygonConfig) == PolygonConfig(
        requests_per_minute=5, retry_seconds=600.0
    )
