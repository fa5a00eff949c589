"""The settings of a provider: a config class, filled from the environment and lean.json.

A config class is a frozen attrs class; the metadata of its fields names their sources (see `setting` in
server/plugins/hookspecs.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from server.core.errors import ConfigurationError
from server.core.secret import Secret, mask_secrets
from server.settings.reader import SECTION, SettingField, SettingsReader
from server.settings.values import Source, converter_for


def provider_fields(
    provider: str, config_class: type[Any], reserved: frozenset[str] = frozenset()
) -> list[SettingField]:
    """The settings that a config class declares.

    Args:
        provider: The provider's name.
        config_class: Its config class.
        reserved: Environment variables that belong to the host.

    Raises:
        ConfigurationError: It is not an attrs class, no value fits the type of a field, or a variable is reserved.
    """
    fields = []
    try:
        attrs.resolve_types(config_class)
        for one in attrs.fields(config_class):
            name, env = one.name.strip("_").replace("_", "-"), tuple(one.metadata.get("env", ()))
            field = SettingField(
                path=(SECTION, "providers", provider, name),
                kind=one.type,
                env=env,
                lean=one.metadata.get("lean"),
                argument=one.alias or one.name,
                attribute=one.name,
                required=one.default is attrs.NOTHING,
            )
            if one.init:
                converter_for(one.type)
                fields.append(field)
            for variable in reserved.intersection(env):
                raise TypeError(f"{variable} is a variable of the server and cannot set {name}")
    except (AttributeError, NameError, SyntaxError, TypeError, attrs.exceptions.NotAnAttrsClassError) as error:
        raise ConfigurationError(f"the provider {provider} does not declare its settings well: {error}") from error
    return fields


def make_config(provider: str, config_class: type[Any], reader: SettingsReader) -> tuple[Any, dict[str, Source]]:
    """Make the config of a provider. Returns it with the source of each setting.

    Raises:
        SettingMissing: A setting without a default is not set.
        ConfigurationError: A setting is unknown, is set twice or does not fit.
    """
    fields = provider_fields(provider, config_class)
    for error in reader.unknown((SECTION, "providers", provider), [item.name for item in fields]).values():
        raise error
    values, sources = reader.read(fields, f"{provider}'s ")
    try:
        return config_class(**values), sources
    except (ValueError, TypeError) as error:
        problem, given = _cause(config_class, [item for item in fields if item.argument in values], values, error)
    where = "; ".join(f"{item.name} ({sources[item.name]})" for item in given) or "settings"
    # The arguments of attrs' own validators contain more than the sentence, and the sentence may contain a secret.
    sentence = str(problem.args[0]) if problem.args else type(problem).__name__
    sentence = mask_secrets(sentence, [value for value in values.values() if isinstance(value, Secret)])
    raise ConfigurationError(f"{provider}'s {where} does not fit: {sentence}")


def _cause(
    config_class: type[Any], given: list[SettingField], values: Mapping[str, Any], error: Exception
) -> tuple[Exception, list[SettingField]]:
    """The error of the first setting that is rejected without the others, and that setting; else the whole error."""
    required = [item for item in given if item.required]
    for group in (required, *([item] for item in given if not item.required)):
        try:
            config_class(**{item.argument: values[item.argument] for item in (*required, *group)})
        except (ValueError, TypeError) as problem:
            if group:
                return problem, group
    return error, given
