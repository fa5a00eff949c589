"""Evaluates the assignments of a Python file from its syntax tree; nothing in the file is run.

`server.project.parameters` names the constructs that are read. Reading takes time in proportion to the file's size.
"""

from __future__ import annotations

import ast

from attrs import field, frozen

MAX_ITEMS = 5_000

Value = str | int | None | tuple["Value", ...]


@frozen
class Constant:
    """What a file assigns to a name: the line, and the value or the problem why only a run would give it."""

    line: int
    value: Value = None
    problem: str | None = None


class _NotConstantError(Exception):
    pass


def read_constants(module: ast.Module) -> list[dict[str, Constant]]:
    """Read the names of a module, and of each of its classes with their ``__init__``; the last assignment wins."""
    names: dict[str, Constant] = {}
    scopes = [names]
    _Scope(names, names, scopes).read(module.body)
    return scopes


@frozen
class _Scope:
    """Reads statements into `names`, and assignments to ``self`` (called `self_name`) into `attributes`."""

    names: dict[str, Constant]
    module: dict[str, Constant]
    scopes: list[dict[str, Constant]]
    self_name: str = ""
    attributes: dict[str, Constant] = field(factory=dict)

    def read(self, body: list[ast.stmt]) -> None:
        for statement in body:
            match statement:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._assign(target, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign(target, value)
                case ast.ClassDef(body=inner):
                    names: dict[str, Constant] = {}
                    self.scopes.append(names)
                    _Scope(names, self.module, self.scopes).read(inner)
                case ast.FunctionDef(name="__init__", args=ast.arguments(args=[myself, *others], kwonlyargs=options)):
                    local = {each.arg: Constant(each.lineno, problem="it is an argument") for each in others + options}
                    _Scope(local, self.module, self.scopes, myself.arg, self.names).read(statement.body)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.AnnAssign():
                    pass
                case _:
                    self._mark_changes(statement)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        names, name = self._place(target)
        try:
            if name:
                names[name] = Constant(value.lineno, self._evaluate(value))
            else:
                self._mark_changes(target)
        except _NotConstantError as reason:
            names[name] = Constant(value.lineno, problem=str(reason))
        except RecursionError:
            names[name] = Constant(value.lineno, problem="it is nested too deeply")

    def _place(self, node: ast.expr) -> tuple[dict[str, Constant], str]:
        """The names to which a name or an attribute of ``self`` belongs, and the name; empty for anything else."""
        match node:
            case ast.Name(id=name):
                return self.names, name
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner == self.self_name:
                return self.attributes, name
        return {}, ""

    def _mark_changes(self, node: ast.AST) -> None:
        """Mark as unknown what branches, loops, imports, method calls and item assignments may set or change."""
        for part in ast.walk(node):
            match part:
                case ast.alias():
                    bound: ast.expr = ast.Name((part.asname or part.name).partition(".")[0])
                    problem = "it is imported"
                case ast.Name(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                    bound, problem = part, "it is set by a statement that has to be run"
                case ast.Call(func=ast.Attribute(value=item)) | ast.Subscript(value=item, ctx=ast.Store() | ast.Del()):
                    bound, problem = item, "it is changed by a statement that has to be run"
                case _:
                    continue
            names, name = self._place(bound)
            names[name] = Constant(part.lineno, problem=problem)

    def _evaluate(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=(str() | int() | None) as value) if not isinstance(value, bool):
                return value
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return _flat(*(self._evaluate(item) for item in items))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                match self._evaluate(left), self._evaluate(right):
                    case tuple() as first, tuple() as second:
                        return _bounded(first + second)
            case ast.Call(
                func=ast.Name(id="date" | "datetime") | ast.Attribute(attr="date" | "datetime"),
                args=[year, month, day, *_],
            ):
                return _flat(self._evaluate(year), self._evaluate(month), self._evaluate(day))
            case ast.Call(keywords=[ast.keyword(arg="default_factory", value=ast.Lambda(body=body))]):
                return self._evaluate(body)
            case ast.Attribute(value=ast.Name(id="Resolution"), attr=name):
                return name
            case ast.Name() | ast.Attribute():
                return self._look_up(node)
        raise _NotConstantError(f"it is {_DESCRIPTIONS.get(type(node), 'an expression')}, not a plain value")

    def _look_up(self, node: ast.expr) -> Value:
        names, name = self._place(node)
        found = names.get(name) or (self.module.get(name) if names is self.names else None)
        if found is None or found.problem:
            raise _NotConstantError((found and found.problem) or f"{name or 'it'} is not set above it in this file")
        return found.value


_DESCRIPTIONS = {
    ast.Call: "a call",
    ast.Dict: "a dictionary",
    ast.JoinedStr: "an f-string",
    ast.ListComp: "a comprehension",
}


def _flat(*values: Value) -> Value:
    if any(isinstance(value, tuple) for value in values):
        raise _NotConstantError("it is a list inside a list")
    return _bounded(values)


def _bounded(values: tuple[Value, ...]) -> Value:
    if len(values) > MAX_ITEMS:
        raise _NotConstantError(f"it has more than {MAX_ITEMS:,} items")
    return values
