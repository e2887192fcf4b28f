"""How a mutant takes the place of the rule that it breaks, in memory; no file is changed."""

import ast
import gc
import importlib.machinery
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.mutation.mutants import ROOT, Mutant


class MustBeImported(Exception):
    """The place runs at import, or left something behind there: the mutant has to be there before `ledger` is."""


def get_ready() -> None:
    """To be called before the processes are forked off in which mutants are planted."""
    _living()
    # What is here stays: they need not look at it, nor copy it.
    gc.freeze()


def plant(mutant: Mutant) -> None:
    """Gives the living function the mutant's code, so that whoever has imported the function runs it."""
    planted = False
    if mutant.function:
        with mutant.applied():
            module = ast.fix_missing_locations(ast.Module([mutant.top], []))
            compiled = compile(module, str(ROOT / mutant.file), "exec", dont_inherit=True)
        living = _living()
        for code in _codes(compiled):
            if code.co_qualname != mutant.function:
                continue
            if (code.co_filename, f"{code.co_qualname}.<locals>") in living:
                break
            for function in living[code.co_filename, code.co_qualname]:
                if function.__code__.co_firstlineno == code.co_firstlineno and len(code.co_freevars) == len(
                    function.__code__.co_freevars
                ):
                    function.__code__ = code
                    planted = True
    if not planted:
        raise MustBeImported(mutant.name)


def import_instead(mutant: Mutant) -> None:
    """Has the mutant imported, for a process that knows nothing of `ledger` yet."""
    assert not any(name.split(".")[0] == "ledger" for name in sys.modules), "the rule itself is here already"
    sys.meta_path.insert(0, _Importer(mutant))


@cache
def _living() -> dict[tuple[str, str], list[types.FunctionType]]:
    """The functions of `ledger` by file and name; what a function made at import stands under `<locals>`."""
    found: dict[tuple[str, str], list[types.FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is types.FunctionType and each.__code__.co_filename.startswith(str(ROOT / "ledger")):
            code = each.__code__
            found[code.co_filename, code.co_qualname].append(each)
            maker, inner, _ = code.co_qualname.partition(".<locals>")
            if inner:
                found[code.co_filename, maker + inner].append(each)
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


class _Importer:
    """Makes one module from its changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = mutant.file.removesuffix(".py").replace("/", ".")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        loader: Any = self
        return importlib.machinery.ModuleSpec(name, loader) if name == self.name else None

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        with self.mutant.applied():
            tree = ast.fix_missing_locations(self.mutant.tree)
            exec(compile(tree, str(ROOT / self.mutant.file), "exec", dont_inherit=True), module.__dict__)
