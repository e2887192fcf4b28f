"""The mutation run over `ledger/`: each rule broken once should turn a test red.

    python -m tests.mutate [--files balances.py seat_fold.py] [--minutes M] [--sample N] [--out FILE] [--only FILE]

A mutant is one change of one place in a copy of the syntax tree: a comparison turned or moved by one, an operator exchanged,
a number moved by one, a condition negated, a statement left out, a default exchanged. It meets the pencil suite first (the
tests without a broker that take milliseconds), and who survives that, a fixed set of duels. What survives both is listed.
Everything happens in processes of their own over modules in memory: no file is changed.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.machinery
import io
import json
import os
import random
import select
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CORE = ("balances.py", "standing.py", "grants.py", "seat_fold.py", "ledger.py")
DUELS = 60
#: A mutant that takes this many times as long as the unchanged code is in an endless loop: that is red, too.
PATIENCE = 4

PENCIL = ("test_worked_examples", "test_bugs_of_others", "test_corners", "test_amounts", "test_instants")

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


class Mutant:
    """One change: where, what, and the changed tree."""

    def __init__(self, file: str, line: int, what: str, change: Callable[[], Callable[[], None]]) -> None:
        self.file, self.line, self.what, self._change = file, line, what, change

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        undo = self._change()
        try:
            yield
        finally:
            undo()

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def _set(node: Any, name: str, value: Any) -> Callable[[], Callable[[], None]]:
    def change() -> Callable[[], None]:
        old = getattr(node, name)
        setattr(node, name, value)
        return lambda: setattr(node, name, old)

    return change


def _put(items: list[Any], index: int, value: Any) -> Callable[[], Callable[[], None]]:
    def change() -> Callable[[], None]:
        old = items[index]
        items[index] = value
        return lambda: items.__setitem__(index, old)

    return change


def mutants_of(file: str, tree: ast.Module) -> Iterator[Mutant]:
    """All mutants of what runs: no annotations, docstrings, messages or raised errors."""
    for node in _walk(tree):
        yield from _of_expression(file, node)
        for body in (getattr(node, name, None) for name in ("body", "orelse")):
            if isinstance(body, list) and not isinstance(node, ast.ClassDef | ast.Module):
                yield from _of_statements(file, body)


def _of_expression(file: str, node: ast.AST) -> Iterator[Mutant]:
    line = getattr(node, "lineno", 0)
    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                new = COMPARED[type(op)]
                yield Mutant(
                    file,
                    line,
                    f"`{ast.unparse(node)}`: {type(op).__name__} to {new.__name__}",
                    _put(node.ops, i, new()),
                )
        case ast.BinOp() if type(node.op) in OPERATED:
            new_op = OPERATED[type(node.op)]
            yield Mutant(
                file,
                line,
                f"`{ast.unparse(node)}`: {type(node.op).__name__} to {new_op.__name__}",
                _set(node, "op", new_op()),
            )
        case ast.AugAssign() if type(node.op) in OPERATED:
            new_op = OPERATED[type(node.op)]
            yield Mutant(file, line, f"`{ast.unparse(node)}`: to {new_op.__name__}", _set(node, "op", new_op()))
        case ast.BoolOp():
            other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield Mutant(file, line, f"`{ast.unparse(node)}`: to {type(other).__name__}", _set(node, "op", other))
        case ast.UnaryOp(op=ast.Not()):
            yield Mutant(
                file,
                line,
                f"`{ast.unparse(node)}`: not left out",
                _set(node, "op", ast.UAdd()) if False else _truth(node),
            )
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.BoolOp):
            negated = ast.UnaryOp(op=ast.Not(), operand=node.test)
            ast.copy_location(negated, node.test)
            yield Mutant(file, line, f"`if {ast.unparse(node.test)}`: negated", _set(node, "test", negated))
        case ast.Constant() if isinstance(node.value, bool):
            yield Mutant(file, line, f"{node.value} to {not node.value}", _set(node, "value", not node.value))
        case ast.Constant() if isinstance(node.value, int):
            yield Mutant(file, line, f"{node.value} to {node.value + 1}", _set(node, "value", node.value + 1))
        case ast.Call(func=ast.Name(id=("min" | "max") as called)):
            swapped = "max" if called == "min" else "min"
            yield Mutant(file, line, f"`{ast.unparse(node)}`: to {swapped}", _set(node.func, "id", swapped))


def _truth(node: ast.UnaryOp) -> Callable[[], Callable[[], None]]:
    """`not x` to `not not x`."""
    inner = ast.UnaryOp(op=ast.Not(), operand=node.operand)
    ast.copy_location(inner, node)
    return _set(node, "operand", inner)


def _of_statements(file: str, body: list[ast.stmt]) -> Iterator[Mutant]:
    for i, statement in enumerate(body):
        nothing = ast.copy_location(ast.Pass(), statement)
        match statement:
            case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
                yield Mutant(
                    file, statement.lineno, f"`{ast.unparse(statement)[:90]}` left out", _put(body, i, nothing)
                )
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield Mutant(
                    file, statement.lineno, f"`{ast.unparse(statement)[:90]}` left out", _put(body, i, nothing)
                )


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """What runs and matters: not annotations, raised errors, assertions, decorators, or the text of messages."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(
                child, ast.Raise | ast.Assert | ast.JoinedStr | ast.ImportFrom
            ):
                yield from _walk(child)


# --- meeting the tests -----------------------------------------------------------------------------------------------


def load(changed: dict[str, ast.Module]) -> None:
    """Imports `ledger` with some modules made from these trees."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("ledger", "tests", "tables")]:
        if name not in ("tests", "tests.mutate"):
            del sys.modules[name]
    sys.meta_path.insert(0, _FromTrees(changed))


class _FromTrees:
    """An importer of changed modules."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.trees = trees

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.trees:
            return None
        loader: Any = self
        return importlib.machinery.ModuleSpec(name, loader, origin=str(ROOT / name.replace(".", "/")) + ".py")

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(
            compile(self.trees[module.__name__], str(module.__spec__.origin if module.__spec__ else ""), "exec"),
            module.__dict__,
        )


def meet_the_pencil() -> str | None:
    """The name of the first pencil test that turns red."""
    language = importlib.import_module("tests.ledger.language")
    for name in PENCIL:
        try:
            module = importlib.import_module(f"tests.ledger.{name}")
        except ModuleNotFoundError:
            continue
        for test_name, test in list(vars(module).items()):
            if test_name.startswith("test_") and callable(test):
                for arguments in [*_arguments(test, language.play), *_arguments(test, language.play_reopened)]:
                    try:
                        test(**arguments)
                    except BaseException as red:
                        if type(red).__name__ == "Skipped":
                            continue
                        return f"{name}::{test_name}"
    return None


def _arguments(test: Any, play: Any) -> list[dict[str, Any]]:
    """The arguments of a test, its parameters multiplied out."""
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    drawn: list[dict[str, Any]] = [{"play": play} if "play" in names else {}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "xfail":
            return []
        if mark.name == "parametrize":
            keys = (
                mark.args[0]
                if isinstance(mark.args[0], list | tuple)
                else [each.strip() for each in mark.args[0].split(",")]
            )
            rows = [getattr(row, "values", row) for row in mark.args[1]]
            drawn = [
                one
                | dict(
                    zip(
                        keys,
                        row if len(keys) > 1 or isinstance(getattr(row, "values", row), tuple) else [row],
                        strict=True,
                    )
                )
                for one in drawn
                for row in rows
            ]
    return [each for each in drawn if set(each) == set(names)]


def meet_the_duels() -> str | None:
    """The seed of the first duel that is lost: of the fixed ones that the unchanged code wins."""
    duel = importlib.import_module("tests.ledger.duel").duel
    draw_history = importlib.import_module("tests.ledger.histories").draw_history
    for seed in range(DUELS):
        try:
            duel(draw_history(random.Random(seed), 8 + seed % 33), random.Random(seed))
        except BaseException:
            if seed not in LOST_ANYWAY:
                return f"duel {seed}"
    return None


#: Duels that the unchanged code loses.
LOST_ANYWAY: set[int] = set()


def in_a_child(meet: Callable[[], str | None], patience_s: float) -> str | None:
    """What turned red, in a process of its own: 'too long' if it never ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                said = meet() or ""
            except BaseException as error:
                said = f"import: {type(error).__name__}"
        os.write(write, said.encode()[:500])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], patience_s)
    said = os.read(read, 600).decode() if ready else "too long"
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    return said or None


def run(
    files: list[str], minutes: float, sample: int | None, out: Path, seed: int, only: Path | None = None
) -> dict[str, Any]:
    trees = {f"ledger.{file[:-3]}": ast.parse((ROOT / "ledger" / file).read_text()) for file in files}
    mutants = [mutant for file in files for mutant in mutants_of(file, trees[f"ledger.{file[:-3]}"])]
    chosen = list(mutants)
    random.Random(seed).shuffle(chosen)
    if only is not None:
        named = set(only.read_text().splitlines())
        chosen = [mutant for mutant in chosen if mutant.name in named]
    chosen = chosen[: sample or len(chosen)]

    def tests(meet: Callable[[], str | None], changed: dict[str, ast.Module]) -> Callable[[], str | None]:
        def meeting() -> str | None:
            load(changed)
            return meet()

        return meeting

    started = time.monotonic()
    red = in_a_child(tests(meet_the_pencil, {}), 60)
    pencil_s = time.monotonic() - started
    assert red is None, f"the unchanged code turns {red} red"
    started = time.monotonic()
    for _ in range(10):
        lost = in_a_child(tests(meet_the_duels, {}), 300)
        if lost is None:
            break
        LOST_ANYWAY.add(int(lost.split()[-1]))
    duels_s = (time.monotonic() - started) / (len(LOST_ANYWAY) + 1)
    print(
        f"{len(mutants):,} mutants, {len(chosen):,} chosen; pencil {pencil_s:.1f} s, duels {duels_s:.1f} s; "
        f"lost anyway: {LOST_ANYWAY or 'none'}"
    )

    until, counts = time.monotonic() + 60 * minutes, {"mutants": 0, "pencil": 0, "duels": 0, "survived": 0}
    per_file: dict[str, list[int]] = {file: [0, 0] for file in files}
    survivors = []
    for mutant in chosen:
        if time.monotonic() > until:
            break
        name = f"ledger.{mutant.file[:-3]}"
        with mutant.applied():
            tree = ast.fix_missing_locations(copy.deepcopy(trees[name]))
        counts["mutants"] += 1
        per_file[mutant.file][0] += 1
        if in_a_child(tests(meet_the_pencil, {name: tree}), PATIENCE * pencil_s + 2):
            counts["pencil"] += 1
        elif in_a_child(tests(meet_the_duels, {name: tree}), PATIENCE * duels_s + 5):
            counts["duels"] += 1
        else:
            counts["survived"] += 1
            per_file[mutant.file][1] += 1
            survivors.append(mutant.name)
            with out.open("a") as written:
                written.write(mutant.name + "\n")
        if counts["mutants"] % 25 == 0:
            print(json.dumps(counts), flush=True)
    print(json.dumps(counts | {"files": per_file}))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--files", nargs="*", default=list(CORE))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by --seed (all unless said)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("survivors.txt"))
    parser.add_argument("--only", type=Path, help="only the mutants that this file lists, as --out wrote them")
    said = parser.parse_args()
    run(said.files, said.minutes, said.sample, said.out, said.seed, said.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
