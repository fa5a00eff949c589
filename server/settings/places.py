"""Where a setting's value may stand, and how it is looked up there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.settings.lean_json import JsonObject, LeanJson
from server.settings.values import Given, did_you_mean, shown_name, unfit


@frozen(kw_only=True)
class Places:
    """Everywhere a value may stand. What stands there is not part of the repr: there are keys among it.

    Attributes:
        flags: By flag, without the dashes.
        environ: The environment; empty variables count as not set.
        cwd: What relative paths in flags and the environment are relative to.
        lean: The lean.json that was read, if any.
    """

    flags: Mapping[str, Any] = field(factory=dict, repr=False)
    environ: Mapping[str, str] = field(factory=dict, repr=False)
    cwd: Path = field(factory=Path)
    lean: LeanJson | None = None

    def find(
        self,
        *,
        flag: str | None = None,
        env: Iterable[str] = (),
        path: tuple[str, ...] = (),
        lean_key: str | None = None,
    ) -> Given | None:
        """The first value there is: of the flag, of a variable, in lean.json.

        Args:
            flag: The flag, without the dashes.
            env: Environment variables; the first that is set wins.
            path: The keys in lean.json that lead to it.
            lean_key: A key of LEAN's at the top of lean.json. LEAN writes its keys with empty texts, so
                null and empty texts count as not set here, and only here.

        Raises:
            ConfigurationError: It stands in lean.json twice.
        """
        if flag is not None and self.flags.get(flag) is not None:
            return Given(value=self.flags[flag], source=f"flag --{flag}", folder=self.cwd, as_text=True)
        for variable in env:
            if self.environ.get(variable, "").strip():
                source = f"environment variable {variable}"
                return Given(value=self.environ[variable], source=source, folder=self.cwd, as_text=True)
        if self.lean is None:
            return None
        found = self._value(self.lean, path) if path else None
        if found is None and lean_key is not None:
            found = self._value(self.lean, (lean_key,))
            if found is not None and found.value in (None, ""):
                return None
        return found

    def section(self, path: tuple[str, ...]) -> JsonObject:
        """The object of lean.json at these keys; an empty one where there is none.

        Raises:
            ConfigurationError: Something else stands there, or one of the keys stands there twice.
        """
        if self.lean is None:
            return JsonObject()
        found = self.lean.values
        for depth, key in enumerate(path, start=1):
            given = self._member(self.lean, found, key)
            if given is None:
                return JsonObject()
            if not isinstance(given.value, JsonObject):
                raise unfit(_dotted(path[:depth]), given, "an object in braces", hidden=True)
            found = given.value
        return found

    def refuse_unknown(self, path: tuple[str, ...], known: Iterable[str]) -> None:
        """Refuse keys of the object of lean.json at this path that are not among the known ones.

        Raises:
            ConfigurationError: There is one; names it and the nearest that is known.
        """
        words = set(known)
        for key in self.section(path):
            if key not in words:
                source = self.lean.source if self.lean else ""
                raise ConfigurationError(
                    f"{shown_name(key)} under {_dotted(path)} is no setting ({source}); {did_you_mean(key, words)}"
                )

    def _value(self, lean: LeanJson, path: tuple[str, ...]) -> Given | None:
        return self._member(lean, self.section(path[:-1]), path[-1])

    @staticmethod
    def _member(lean: LeanJson, within: JsonObject, key: str) -> Given | None:
        if key in within.repeated:
            raise ConfigurationError(f"{_plain(key)} is set more than once ({lean.source}); keep one")
        if key not in within:
            return None
        return Given(value=within[key], source=lean.source, folder=lean.path.parent, as_text=False)


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(_plain, path))


def _plain(key: str) -> str:
    """A key as it is, unless it would spoil a one-line message."""
    return key if key.isprintable() and len(key) <= 48 else shown_name(key)
