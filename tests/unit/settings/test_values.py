"""Any value of any setting: it is converted, or rejected in one line that contains no key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.errors import ConfigurationError
from server.settings import CORE_SETTINGS
from tests.support.settings import KEY, ExampleConfig, load, outcome

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("engine"), inner, max_size=3),
    max_leaves=6,
)
NAMES = [setting.name for setting in CORE_SETTINGS if setting.name != "data-folder"] + ["providers"]
POLYGON_NAMES = ["api-url", "max-concurrent-requests", "requests-per-minute", "retry-seconds", "keep", "folder"]


class TestAnyValue:
    @pytest.mark.parametrize("secret", [[KEY], {"key": KEY}, f"{KEY}\n{KEY}", True])
    def test_key_of_the_wrong_type(self, tmp_path: Path, secret: Any) -> None:
        """A key that does not fit is an error that does not contain it, in the message or in a cause."""
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
        section=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=3),
        own=st.dictionaries(
            st.sampled_from(POLYGON_NAMES), JSON_VALUES.filter(lambda v: KEY not in str(v)), max_size=3
        ),
        folder=JSON_VALUES,
        key=st.sampled_from([KEY, [KEY], {"k": KEY}, f" {KEY}", f"{KEY}\t{KEY}", 7]),
    )
    @example(section={}, own={"folder": "\ud800"}, folder="\ud800", key=KEY)
    def test_any_lean_json(
        self, tmp_path_factory: pytest.TempPathFactory, section: Any, own: Any, folder: Any, key: Any
    ) -> None:
        """Any JSON value of any setting loads, or is an error of one line without the key."""
        path = tmp_path_factory.getbasetemp() / "any.json"
        section = {name: value for name, value in section.items() if KEY not in str(value)}
        section.setdefault("providers", {"polygon": own})
        lean = {"polygon-api-key": key, "backtest-server": section}
        if KEY not in str(folder):
            lean["data-folder"] = folder
        path.write_text(json.dumps(lean), encoding="utf-8")
        seen = outcome({}, path)
        assert KEY not in seen
        assert "\n" not in seen

    @given(
        st.dictionaries(
            st.sampled_from(
                [*(name for setting in CORE_SETTINGS for name in setting.env), "BACKTEST_SERVER_RETRY_SECONDS"]
            ),
            st.text(st.characters(exclude_characters="\0")),
        )
    )
    def test_any_environment(self, tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> None:
        """Any text in any variable loads, or is an error of one line."""
        path = tmp_path_factory.getbasetemp() / "empty.json"
        path.write_text("{}")
        seen = outcome(environ, path)
        assert "\n" not in seen
        assert seen.startswith("Settings(") or "(environment variable " in seen
