"""Finds the algorithm's class in C# source, without compiling it.

LEAN takes the one algorithm of a DLL whatever it is called. Of several it takes the one whose full name ends with the
configured name, or with ``.`` and the name where that has no namespace (LEAN: ``Loader.GetExtendedTypeNames``,
``Extensions.SingleOrAlgorithmTypeName``), so a class without a namespace is found only where it is alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve, frozen

_BASES = frozenset({"QCAlgorithm", "QCAlgorithmFramework", "QCAlgorithmFrameworkBridge"})
_NOT_CODE = re.compile(
    r"""(?P<quotes>"{3,}+).*?(?:(?P=quotes)"*|\Z)    # raw string
    | \$?@\$?"(?:[^"]|"")*+"?                       # verbatim string
    | \$?"(?:[^"\\\n]|\\.)*+"?                     # string
    | '(?:[^'\\\n]|\\[^\n]{1,9}?)'                 # character
    | //[^\n]*
    | /\*.*?(?:\*/|\Z)
    | ^[ \t]*+\#[^\n]*                              # preprocessor
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_ALIAS = re.compile(r"\busing\s++(\w+)\s*+=\s*+([\w.:]+)\s*+;")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_OPENING, _CLOSING = "<(", ">)"


@frozen(kw_only=True)
class CsharpClass:
    """A class that is declared in C# source.

    Attributes:
        name: The full name as .NET writes it: ``Namespace.Outer+Inner``.
        bases: The simple names of its base class and interfaces.
        instantiable: Whether LEAN can create it: it is not abstract, not generic, and needs no arguments.
    """

    name: str
    bases: tuple[str, ...] = ()
    instantiable: bool = True

    @property
    def simple_name(self) -> str:
        """The name without namespace and outer classes."""
        return re.split(r"[.+]", self.name)[-1]

    @property
    def has_namespace(self) -> bool:
        """Whether it is in a namespace."""
        return "." in self.name


def find_classes(source: str) -> list[CsharpClass]:
    """Return the classes of a source file in their order; a partial class once for each of its parts.

    Args:
        source: The text of a ``.cs`` file.
    """
    code = _NOT_CODE.sub(" ", source)
    aliases = {alias: _last_part(full) for alias, full in _ALIAS.findall(code)}
    return [evolve(one, bases=tuple(aliases.get(base, base) for base in one.bases)) for one in _declarations(code)]


def find_algorithms(sources: Iterable[str]) -> list[CsharpClass]:
    """Return the classes that LEAN can run, in their order: they derive from QCAlgorithm, also through other classes.

    Args:
        sources: The texts of all ``.cs`` files of a project.
    """
    classes: dict[str, CsharpClass] = {}
    for source in sources:
        for one in find_classes(source):
            known = classes.get(one.name)
            classes[one.name] = one if known is None else _joined(known, one)
    algorithms: set[str] = set(_BASES)
    while more := {
        one.simple_name for one in classes.values() if one.simple_name not in algorithms and algorithms & set(one.bases)
    }:
        algorithms |= more
    return [one for one in classes.values() if one.instantiable and algorithms & set(one.bases)]


def _joined(first: CsharpClass, second: CsharpClass) -> CsharpClass:
    """Two parts of a partial class as one."""
    return evolve(first, bases=first.bases + second.bases, instantiable=first.instantiable and second.instantiable)


def _declarations(code: str) -> Iterator[CsharpClass]:
    file_namespace = ""
    header: list[str] = []  # the tokens since the last brace or semicolon
    blocks: list[tuple[str, str]] = []  # of each open brace: the kind and name of what it belongs to
    for part in _TOKEN.findall(code):
        if part not in ("{", "}", ";"):
            header.append(part)
            continue
        kind, name, place = _declared(header)
        if kind == "class":
            yield _declaration(header, place, file_namespace, blocks)
        elif kind == "namespace" and part == ";":
            file_namespace = name
        if part == "{":
            blocks.append((kind, name))
        elif part == "}" and blocks:
            blocks.pop()
        header.clear()


def _declared(header: Sequence[str]) -> tuple[str, str, int]:
    """Return the kind, ``class`` or ``namespace``, the name and its place of what a header declares."""
    if header[:1] == ["namespace"]:
        return "namespace", "".join(header[1:]), 1
    place = _name_place(header)
    return ("", "", 0) if place is None else ("class", header[place], place)


def _name_place(header: Sequence[str]) -> int | None:
    """The index of a class's name; the keyword after a colon or comma is a constraint (``where T : class``)."""
    for place, part in enumerate(header[:-1]):
        if part == "class" and header[place - 1 : place] not in ([":"], [","]) and header[place + 1].isidentifier():
            return place + 1
    return None


def _declaration(header: list[str], place: int, file_namespace: str, blocks: Sequence[tuple[str, str]]) -> CsharpClass:
    spaces = [file_namespace, *(block for kind, block in blocks if kind == "namespace")]
    names = [*(block for kind, block in blocks if kind == "class"), header[place]]
    generic, rest = _group(header[place + 1 :], "<")
    arguments, rest = _group(rest, "(")
    return CsharpClass(
        name=".".join([*filter(None, spaces), "+".join(names)]),
        bases=tuple(_base_names(rest[1:])) if rest[:1] == [":"] else (),
        instantiable=not ({"abstract", "static"} & {*header[:place]} or generic or arguments),
    )


def _group(tokens: list[str], opening: str) -> tuple[list[str], list[str]]:
    """Return what is in the brackets with which tokens begin, and what follows; without brackets nothing and all."""
    if tokens[:1] != [opening]:
        return [], tokens
    depth = 0
    for place, part in enumerate(tokens):
        depth += (part in _OPENING) - (part in _CLOSING)
        if depth == 0:
            return tokens[1:place], tokens[place + 1 :]
    return tokens[1:], []


def _base_names(tokens: Iterable[str]) -> Iterator[str]:
    depth, name = 0, ""
    for part in tokens:
        if depth == 0 and part == "where":
            break
        if depth == 0 and part == ",":
            yield name
        elif depth == 0 and part.isidentifier():
            name = part  # the last part of a name with dots
        depth += (part in _OPENING) - (part in _CLOSING)
    if name:
        yield name


def _last_part(name: str) -> str:
    return re.split(r"[.:]", name)[-1].strip()
