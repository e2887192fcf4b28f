"""What can be broken: each mutant is one change of one place in the syntax tree of a file of `ledger/`.

A comparison turned or moved by one, an operator exchanged, a number moved by one, a condition negated, `min` for `max`, a
statement left out, a default exchanged. Annotations, decorators, raised errors and the text of messages stay as they are.
"""

import ast
import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).parent.parent.parent

#: Changes the tree, and returns what changes it back.
Change: TypeAlias = Callable[[], Callable[[], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    #: `ledger/grants.py`
    file: str
    #: The outermost function that the place is in; empty for what runs when the module is imported.
    function: str
    #: What is changed; unique within the function.
    what: str
    #: The lines of the statement (of its head, where it has a body): who runs none of these doesn't meet the mutant.
    lines: range
    #: The function as text, hashed: while it stays, so does what was found out about the mutant.
    text: str
    tree: ast.Module
    #: The statement of the module that holds the place.
    top: ast.stmt
    change: Change

    @property
    def name(self) -> str:
        return f"{self.file} {self.function or '(module)'}: {self.what}"

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        undo = self.change()
        try:
            yield
        finally:
            undo()


def all_mutants() -> list[Mutant]:
    return [mutant for path in sorted((ROOT / "ledger").glob("*.py")) for mutant in mutants_of(path)]


def mutants_of(path: Path) -> Iterator[Mutant]:
    file, tree = str(path.relative_to(ROOT)), ast.parse(path.read_text())
    seen: Counter[tuple[str, str]] = Counter()
    for top in tree.body:
        for place in _places(top, _Place("", top, range(0), top)):
            for what, change in _changes(place):
                seen[place.function, what] += 1
                number = seen[place.function, what]
                yield Mutant(
                    file=file,
                    function=place.function,
                    what=what if number == 1 else f"{what} ({number})",
                    lines=place.lines,
                    text=_hashed(place.owner),
                    tree=tree,
                    top=top,
                    change=change,
                )


@cache
def _hashed(owner: ast.stmt) -> str:
    return hashlib.sha256(ast.unparse(owner).encode()).hexdigest()[:12]


# --- where -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    function: str
    owner: ast.stmt
    lines: range
    node: ast.AST
    #: Of a statement within a function: those it stands among, and where.
    among: list[ast.stmt] | None = None
    index: int = 0


def _places(node: ast.AST, around: _Place, named: str = "") -> Iterator[_Place]:
    """What runs and matters, each with its function and the lines of its statement."""
    here = replace(around, node=node, lines=_head(node) or around.lines)
    yield here
    within = here = replace(here, among=None)
    if isinstance(node, ast.ClassDef):
        named = f"{named}{node.name}."
    elif isinstance(node, ast.FunctionDef) and not around.function:
        within = replace(here, function=named + node.name, owner=node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        # The defaults of a function are made where it is defined.
        outer = within if name == "body" else here
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not isinstance(
                child, ast.Raise | ast.Assert | ast.JoinedStr | ast.ImportFrom
            ):
                inside = isinstance(child, ast.stmt) and outer.function
                yield from _places(child, replace(outer, among=value, index=i) if inside else outer, named)


def _head(node: ast.AST) -> range | None:
    """The lines of a statement; of one with a body, those before it."""
    match node:
        case ast.match_case():
            return range(node.pattern.lineno, max(node.pattern.lineno + 1, node.body[0].lineno))
        case ast.Match():
            return range(node.lineno, max(node.lineno + 1, node.cases[0].pattern.lineno))
        case ast.stmt():
            body: list[ast.stmt] = getattr(node, "body", [])
            end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
            return range(node.lineno, max(node.lineno + 1, end))
    return None


# --- what ------------------------------------------------------------------------------------------------------------

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def _changes(place: _Place) -> Iterator[tuple[str, Change]]:
    yield from _of_expression(place.node)
    if place.among is not None:
        yield from _of_statement(place.among, place.index)


def _of_expression(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                compared = COMPARED[type(op)]
                what = f"`{_short(node)}`: {type(op).__name__} to {compared.__name__}"
                yield what, _put(node.ops, i, compared())
        case ast.BinOp() if type(node.op) in OPERATED:
            operated = OPERATED[type(node.op)]
            what = f"`{_short(node)}`: {type(node.op).__name__} to {operated.__name__}"
            yield what, _set(node, "op", operated())
        case ast.AugAssign() if type(node.op) in OPERATED:
            operated = OPERATED[type(node.op)]
            yield f"`{_short(node)}`: to {operated.__name__}", _set(node, "op", operated())
        case ast.BoolOp():
            other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"`{_short(node)}`: to {type(other).__name__}", _set(node, "op", other)
        case ast.UnaryOp(op=ast.Not()):
            yield f"`{_short(node)}`: not left out", _set(node, "operand", _not(node.operand))
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.BoolOp):
            yield f"`if {_short(node.test)}`: negated", _set(node, "test", _not(node.test))
        case ast.Constant() if isinstance(node.value, bool):
            yield f"{node.value} to {not node.value}", _set(node, "value", not node.value)
        case ast.Constant() if isinstance(node.value, int):
            yield f"{node.value} to {node.value + 1}", _set(node, "value", node.value + 1)
        case ast.Call(func=ast.Name(id=("min" | "max") as called)):
            swapped = "max" if called == "min" else "min"
            yield f"`{_short(node)}`: to {swapped}", _set(node.func, "id", swapped)


def _of_statement(among: list[ast.stmt], index: int) -> Iterator[tuple[str, Change]]:
    match statement := among[index]:
        case (
            ast.Expr(value=ast.Call())
            | ast.AugAssign()
            | ast.Continue()
            | ast.Break()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield f"`{_short(statement)}` left out", _put(among, index, ast.copy_location(ast.Pass(), statement))


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:87]}..."


def _not(operand: ast.expr) -> ast.expr:
    return ast.copy_location(ast.UnaryOp(op=ast.Not(), operand=operand), operand)


def _set(node: Any, name: str, value: Any) -> Change:
    def change() -> Callable[[], None]:
        old = getattr(node, name)
        setattr(node, name, value)
        return lambda: setattr(node, name, old)

    return change


def _put(items: list[Any], index: int, value: Any) -> Change:
    def change() -> Callable[[], None]:
        old = items[index]
        items[index] = value
        return lambda: items.__setitem__(index, old)

    return change
