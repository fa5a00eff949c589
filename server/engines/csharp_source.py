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
    r"""(?P<quotes>"{3,}).*?(?P=quotes)"*          # raw string
    | \$*@\$*"(?:[^"]|"")*"                        # verbatim string
    | \$?"(?:[^"\\\n]|\\.)*"?                      # string
    | '(?:[^'\\\n]|\\[^\n]{1,9}?)'                 # character
    | //[^\n]*
    | /\*.*?(?:\*/|\Z)
    | ^[ \t]*\#[^\n]*                              # preprocessor
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_ALIAS = re.compile(r"\busing\s+(\w+)\s*=\s*([\w.:]+)\s*;")
_STRUCTURE = re.compile(
    r"""\bnamespace\s+(?P<namespace>[\w.]+)\s*(?P<opens>[;{])
    | (?P<modifiers>(?:\b(?:public|internal|private|protected|file|static|sealed|abstract|partial|new|unsafe)\s+)*)
      \b(?:class|record)\s+(?P<name>\w+)\s*
      (?P<generic><[^{;()]*?>)?\s*
      (?P<arguments>\([^){;]*\))?\s*
      (?::\s*(?P<bases>[^{;]*?))?\s*
      (?:\bwhere\b[^{;]*)?(?P<body>[{;])
    | [{}]
    """,
    re.VERBOSE,
)


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
    blocks: list[tuple[str, str]] = []  # of each open brace: the namespace or class that it belongs to, and its kind
    for match in _STRUCTURE.finditer(code):
        if match["namespace"]:
            if match["opens"] == ";":
                file_namespace = match["namespace"]
            else:
                blocks.append((match["namespace"], "namespace"))
        elif match["name"]:
            yield _declaration(match, file_namespace, blocks)
            if match["body"] == "{":
                blocks.append((match["name"], "class"))
        elif match[0] == "{":
            blocks.append(("", ""))
        elif blocks:
            blocks.pop()


def _declaration(match: re.Match[str], file_namespace: str, blocks: Sequence[tuple[str, str]]) -> CsharpClass:
    spaces = [file_namespace, *(name for name, kind in blocks if kind == "namespace")]
    names = [*(name for name, kind in blocks if kind == "class"), match["name"]]
    modifiers = match["modifiers"].split()
    needs_arguments = bool((match["arguments"] or "").strip("() \t\r\n"))
    return CsharpClass(
        name=".".join([*filter(None, spaces), "+".join(names)]),
        bases=tuple(_base_names(match["bases"] or "")),
        instantiable=not ({"abstract", "static"} & set(modifiers) or match["generic"] or needs_arguments),
    )


def _base_names(text: str) -> Iterator[str]:
    before = None
    while before != text:  # from the inside out
        before, text = text, re.sub(r"<[^<>]*>|\([^()]*\)", "", text)
    for part in text.split(","):
        if name := _last_part(part.strip()):
            yield name


def _last_part(name: str) -> str:
    return re.split(r"[.:]", name)[-1].strip()
