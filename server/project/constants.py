"""Values of the plain assignments in a Python file, worked out from its syntax tree; nothing is run.

Every step is bounded: lists and texts have a largest length, expressions a largest depth, so that a hostile file
costs no more than its size.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import date

from attrs import frozen

MAX_ITEMS = 5_000
MAX_TEXT = 20_000
MAX_DEPTH = 50

Scalar = str | int | date | None
Value = Scalar | tuple[Scalar, ...]


@frozen
class Known:
    """A name's value and the line that set it."""

    value: Value
    line: int


@frozen
class Unknown:
    """A name whose value only a run could tell: the line that set it, and why."""

    line: int
    why: str


Scope = dict[str, Known | Unknown]


class _Unreadable(Exception):  # noqa: N818 - ends the reading of one expression
    pass


def read_constants(module: ast.Module) -> list[Scope]:
    """The names of the module and of each of its classes, a scope each, the module's first.

    A class's scope also holds what its ``__init__`` assigns to ``self``. Later assignments win, as in a run.
    """
    reader = _Reader()
    top: Scope = {}
    reader.read(module.body, top, top)
    return [top, *reader.scopes]


class _Reader:
    """Walks the statements in order and keeps what each name is worth."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self._classes: dict[str, Scope] = {}

    def read(self, body: list[ast.stmt], names: Scope, module: Scope, myself: tuple[str, Scope] | None = None) -> None:
        """Read statements into `names`; `module` is the scope around them, `myself` what ``self.`` refers to."""

        def find(node: ast.expr) -> Value:
            return self._find(node, names, module, myself)

        for statement in body:
            match statement:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._assign(target, value, find, names, myself)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign(target, value, find, names, myself)
                case ast.AnnAssign():
                    pass
                case ast.AugAssign(target=ast.Name() as target, op=ast.Add(), value=value):
                    before = ast.copy_location(ast.Name(target.id, ast.Load()), target)
                    total = ast.copy_location(ast.BinOp(before, ast.Add(), value), statement)
                    self._assign(target, total, find, names, myself)
                case ast.ClassDef(name=name):
                    self._read_class(name, statement.body, module)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    pass
                case _:
                    _lose(statement, names, myself)

    def _read_class(self, name: str, body: list[ast.stmt], module: Scope) -> None:
        scope: Scope = {}
        self.scopes.append(scope)
        self._classes[name] = scope
        self.read(body, scope, module)
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__" and statement.args.args:
                self.read(statement.body, {}, module, (statement.args.args[0].arg, scope))

    def _assign(
        self,
        target: ast.expr,
        value: ast.expr,
        find: Callable[[ast.expr], Value],
        names: Scope,
        myself: tuple[str, Scope] | None,
    ) -> None:
        match target:
            case ast.Name(id=name):
                scope = names
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if myself and owner == myself[0]:
                scope = myself[1]
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
                if len(values) == len(targets) and all(isinstance(each, ast.Name) for each in targets):
                    for each, part in zip(targets, values, strict=True):
                        self._assign(each, part, find, names, myself)
                else:
                    _lose(target, names, myself)
                return
            case _:
                _lose(target, names, myself)
                return
        try:
            scope[name] = Known(evaluate(value, find), value.lineno)
        except _Unreadable as why:
            scope[name] = Unknown(value.lineno, str(why))

    def _find(self, node: ast.expr, names: Scope, module: Scope, myself: tuple[str, Scope] | None) -> Value:
        """The value of a name (``X``) or of an attribute (``Class.X``, ``self.X``, ``Resolution.MINUTE``)."""
        entry: Known | Unknown | None = None
        match node:
            case ast.Name(id=name):
                entry = names.get(name) or module.get(name)
            case ast.Attribute(value=ast.Name(id="Resolution"), attr=name):
                return name.lower()
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                scope = myself[1] if myself and owner == myself[0] else self._classes.get(owner, {})
                entry = scope.get(name)
            case _:
                name = "this"
        if isinstance(entry, Known):
            return entry.value
        raise _Unreadable(entry.why if entry else f"{name} is not set above it in this file")


def _lose(node: ast.AST, names: Scope, myself: tuple[str, Scope] | None) -> None:
    """Mark what a statement binds or changes in a way that is not followed: branches, imports, method calls."""
    for line, target, why in _touched(node):
        match target:
            case ast.Name(id=name):
                names[name] = Unknown(line, why)
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if myself and owner == myself[0]:
                myself[1][name] = Unknown(line, why)


def _touched(node: ast.AST) -> Iterator[tuple[int, ast.expr, str]]:
    for part in ast.walk(node):
        match part:
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    bound = ast.Name(alias.asname or alias.name.split(".")[0], ast.Store())
                    yield part.lineno, bound, "it is imported"
            case ast.Name(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                yield part.lineno, part, "it is set by a statement that has to be run"
            case ast.Call(func=ast.Attribute(value=target, attr=method)):
                yield part.lineno, target, f"its {method}() is called"
            case ast.Subscript(value=target, ctx=ast.Store() | ast.Del()):
                yield part.lineno, target, "an item of it is changed"


def evaluate(node: ast.expr, find: Callable[[ast.expr], Value], depth: int = 0) -> Value:
    """The value of an expression made of constants, lists, dates, known names and ``+``."""
    if depth > MAX_DEPTH:
        raise _Unreadable("the expression is nested too deeply")
    match node:
        case ast.Constant(value=(str() | None) as value):
            return _bounded(value)
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return _items(items, find, depth)
        case ast.Name() | ast.Attribute():
            return find(node)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined(evaluate(left, find, depth + 1), evaluate(right, find, depth + 1))
        case ast.Call():
            return _called(node, find, depth)
    raise _Unreadable(f"it is {_KINDS.get(type(node), 'an expression')}, not a plain value")


_KINDS: dict[type[ast.expr], str] = {
    ast.JoinedStr: "an f-string",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Dict: "a dictionary",
    ast.Subscript: "an item or a part of something",
    ast.IfExp: "a choice",
    ast.Constant: "neither a text nor a whole number",
}


def _items(items: list[ast.expr], find: Callable[[ast.expr], Value], depth: int) -> tuple[Scalar, ...]:
    found: list[Scalar] = []
    for item in items:
        if isinstance(item, ast.Starred):
            spread = evaluate(item.value, find, depth + 1)
            if not isinstance(spread, tuple):
                raise _Unreadable("what follows a * is not a list")
            found.extend(spread)
        else:
            value = evaluate(item, find, depth + 1)
            if isinstance(value, tuple):
                raise _Unreadable("a list stands inside a list")
            found.append(value)
        if len(found) > MAX_ITEMS:
            raise _Unreadable(f"it has more than {MAX_ITEMS:,} items")
    return tuple(found)


def _joined(left: Value, right: Value) -> Value:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return _bounded(left + right)
    if isinstance(left, str) and isinstance(right, str):
        return _bounded(left + right)
    raise _Unreadable("a + stands between things that are not two lists or two texts")


def _bounded(value: Value) -> Value:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise _Unreadable(f"it is longer than {MAX_TEXT:,} characters")
    if isinstance(value, tuple) and len(value) > MAX_ITEMS:
        raise _Unreadable(f"it has more than {MAX_ITEMS:,} items")
    return value


def _called(node: ast.Call, find: Callable[[ast.expr], Value], depth: int) -> Value:
    """``date(...)``, ``datetime.date(...)``, ``date.fromisoformat(...)`` and a dataclass's ``field(...)``."""
    name = _dotted(node.func)
    if name.endswith(("date.fromisoformat", "datetime.fromisoformat")) and len(node.args) == 1:
        return evaluate(node.args[0], find, depth + 1)
    last = name.rpartition(".")[2]
    if last in ("date", "datetime"):
        return _date(node, find, depth)
    if last in ("list", "tuple", "set") and len(node.args) == 1 and not node.keywords:
        value = evaluate(node.args[0], find, depth + 1)
        if isinstance(value, tuple):
            return value
    if last in ("field", "ib", "attrib"):
        for keyword in node.keywords:
            if keyword.arg == "default":
                return evaluate(keyword.value, find, depth + 1)
            if keyword.arg in ("default_factory", "factory") and isinstance(keyword.value, ast.Lambda):
                return evaluate(keyword.value.body, find, depth + 1)
    raise _Unreadable(f"{name or 'something'}(...) is called")


def _date(node: ast.Call, find: Callable[[ast.expr], Value], depth: int) -> date:
    given = dict(zip(("year", "month", "day"), node.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg in ("year", "month", "day")}
    parts = {part: evaluate(value, find, depth + 1) for part, value in given.items()}
    match parts:
        case {"year": int() as year, "month": int() as month, "day": int() as day}:
            try:
                return date(year, month, day)
            except (ValueError, OverflowError) as error:
                raise _Unreadable(f"there is no such day: {error}") from error
    raise _Unreadable("a date needs year, month and day as whole numbers")


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts[-4:]))
