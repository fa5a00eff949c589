"""docs/configuration.md and the README's table of settings: settings and variables are those of the code."""

from __future__ import annotations

import pytest

from server.core.secret import Secret
from server.plugins.hookspecs import ProviderSpec
from server.settings.core import CORE_SETTINGS, RESERVED_VARIABLES
from tests.support.documents import (
    INLINE,
    ROOT,
    built_in_providers,
    page,
    read,
    rows,
    section,
    settings_of,
)


def test_each_setting_of_the_server_is_documented() -> None:
    """The table of the server's settings has each one, with its variable and its flag, and no other."""
    table = list(rows(section(page("configuration.md"), "## The server's settings")))

    for setting in CORE_SETTINGS:
        (row,) = (" | ".join(cells) for cells in table if f"`{setting.name}`" in cells[0])
        assert f"`{setting.env[0]}`" in row
        assert setting.flag is None or f"`--{setting.flag}`" in row
    assert {name for cells in table for name in INLINE.findall(cells[0])} == {
        "providers",
        *(setting.name for setting in CORE_SETTINGS),
    }
    assert {cells[1] for cells in table if not cells[0]} == {f"`{variable}`" for variable in RESERVED_VARIABLES}


@pytest.mark.parametrize("spec", built_in_providers(), ids=lambda spec: spec.name)
def test_each_setting_of_a_provider_is_documented(spec: ProviderSpec) -> None:
    """The provider's table has each setting with its variables, its key at the top and its default, and no other."""
    table = {cells[0]: cells for cells in rows(section(page("configuration.md"), f"## The provider `{spec.name}`"))}

    assert sorted(table) == sorted(f"`{name}`" for name in settings_of(spec.config_class))
    for name, field in settings_of(spec.config_class).items():
        _, top, variables, default, _ = table[f"`{name}`"]
        assert INLINE.findall(variables) == list(field.metadata["env"])
        assert INLINE.findall(top) == ([field.metadata["lean"]] if field.metadata["lean"] else [])
        if field.default is not None and not isinstance(field.default, Secret):
            assert default.strip("`") == str(field.default).removesuffix(".0")


def test_settings_in_the_readme_exist() -> None:
    """The README's table names settings and variables that there are, each with its own variable."""
    table = list(rows(section(read(ROOT / "README.md"), "## Settings")))
    variables = {setting.name: {*setting.env} for setting in CORE_SETTINGS}
    for spec in built_in_providers():
        for name, field in settings_of(spec.config_class).items():
            for key in filter(None, (name, field.metadata["lean"])):
                variables.setdefault(key, set()).update(field.metadata["env"])

    assert len(table) >= 8
    for name, named, *_ in table:
        assert set(INLINE.findall(named)) == variables[name.strip("`")]
