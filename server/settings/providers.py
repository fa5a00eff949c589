"""A provider's own settings: its config class, filled from the environment and lean.json.

A config class is a frozen attrs class; the metadata of its fields says where each value may come from (see
`setting` in server/plugins/hookspecs.py).
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from server.core.errors import ConfigurationError
from server.core.secret import Secret, mask_secrets
from server.settings.places import Places
from server.settings.values import DEFAULT, SECTION, Given, convert, is_secret


class SettingMissing(ConfigurationError):  # noqa: N818 - named after what is wrong
    """A setting without a default is not set: this provider cannot be used, which is no matter for the others."""


def fill(provider: str, config_class: type[Any], places: Places) -> tuple[Any, dict[str, Given]]:
    """Make the config of a provider. Returns it with what was given for it, by argument name.

    Raises:
        SettingMissing: A setting without a default is not set.
        ConfigurationError: A setting is unknown, set twice, or does not fit.
    """
    fields = _declared(provider, config_class)
    where = (SECTION, "providers", provider)
    places.refuse_unknown(where, [item.setting for item in fields])
    given: dict[str, Given] = {}
    values: dict[str, Any] = {}
    for item in fields:
        found = places.find(env=item.env, path=(*where, item.setting), lean_key=item.lean)
        if found is not None:
            given[item.argument] = found
            values[item.argument] = convert(f"{provider}'s {item.setting}", found, item.kind)
        elif item.required:
            ways = [f"set {variable}" for variable in item.env]
            ways.append(f"write {'.'.join((*where, item.setting))} in lean.json")
            raise SettingMissing(f"{provider}'s {item.setting} is not set; {' or '.join(ways)}")
    return _build(provider, config_class, fields, values, given), given


def describe(provider: str, config_class: type[Any], places: Places) -> list[tuple[str, str, str]]:
    """Each setting of a provider, its value for people, and where that came from. Raises as `fill` does."""
    config, given = fill(provider, config_class, places)
    rows = []
    for item in _declared(provider, config_class):
        found = given.get(item.argument)
        shown = _in_words(getattr(config, item.name), secret=is_secret(item.kind))
        rows.append((item.setting, shown, found.source if found else DEFAULT))
    return rows


@frozen(kw_only=True)
class _Field:
    """One field of a provider's config class, by the setting's name and by the argument's."""

    setting: str
    argument: str
    name: str
    kind: Any
    required: bool
    env: tuple[str, ...]
    lean: str | None


def _declared(provider: str, config_class: type[Any]) -> list[_Field]:
    try:
        attrs.resolve_types(config_class)
        declared = attrs.fields(config_class)
    except (NameError, TypeError, attrs.exceptions.NotAnAttrsClassError) as error:
        raise ConfigurationError(f"the provider {provider} does not declare its settings well: {error}") from error
    return [
        _Field(
            setting=attribute.name.strip("_").replace("_", "-"),
            argument=attribute.alias or attribute.name,
            name=attribute.name,
            kind=attribute.type,
            required=attribute.default is attrs.NOTHING,
            env=tuple(attribute.metadata.get("env", ())),
            lean=attribute.metadata.get("lean"),
        )
        for attribute in declared
        if attribute.init
    ]


def _build(
    provider: str,
    config_class: type[Any],
    fields: list[_Field],
    values: dict[str, Any],
    given: dict[str, Given],
) -> Any:
    """Make the config; where one of its validators refuses, find out whose value that is."""
    problem = _problem(config_class, values)
    if problem is None:
        return config_class(**values)
    required = {item.argument: values[item.argument] for item in fields if item.required}
    culprits = [item for item in fields if item.argument in values]
    for item in culprits:
        alone = _problem(config_class, {**required, item.argument: values[item.argument]})
        if alone is not None:
            culprits, problem = [item], alone
            break
    where = "; ".join(f"{item.setting} ({given[item.argument].source})" for item in culprits) or "settings"
    # attrs' own validators carry more than the sentence in their arguments.
    sentence = str(problem.args[0]) if problem.args else type(problem).__name__
    secrets = [value for value in values.values() if isinstance(value, Secret)]
    raise ConfigurationError(f"{provider}'s {where} does not fit: {mask_secrets(sentence, secrets)}")


def _problem(config_class: type[Any], values: dict[str, Any]) -> ValueError | TypeError | None:
    try:
        config_class(**values)
    except (ValueError, TypeError) as error:
        return error
    return None


def _in_words(value: Any, *, secret: bool) -> str:
    if secret or isinstance(value, Secret):
        return "set" if value else "not set"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
