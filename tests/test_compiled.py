"""What the wheel compiles answers as the source does."""

import importlib
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import msgspec
import pytest

from bench.compiled import build

ROOT = Path(__file__).parents[1]
COMPILED = {
    path.removesuffix(".py").replace("/", ".")
    for path in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["seatstream"]["compiled"]
}
#: Folds drawn histories in the ledger and in the naive model, and asks both the same.
DUELS = """
import random
from tests.ledger.duel import duel
from tests.ledger.histories import draw_history

for seed in range(60):
    duel(draw_history(random.Random(seed), 5 + seed % 36), random.Random(seed))
"""


def test_what_is_compiled_comes_in_whole_families_and_makes_no_struct() -> None:
    ours = [
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for folder in ("ledger", "wire", "tables", "streams")
        for path in sorted((ROOT / folder).glob("[a-z]*.py"))
    ]
    names = {module.__name__ for module in ours}
    assert names > COMPILED
    classes = {
        thing
        for module in ours
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ in names
    }

    assert [one for one in classes if one.__module__ in COMPILED and isinstance(one, msgspec.StructMeta)] == []
    families = [(one, base) for one in classes for base in one.__mro__ if base.__module__ in names]
    assert [pair for pair in families if (pair[0].__module__ in COMPILED) != (pair[1].__module__ in COMPILED)] == []


def _can_compile() -> bool:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


@pytest.mark.compiled
@pytest.mark.timeout(900)
@pytest.mark.skipif(not _can_compile(), reason="there is no C compiler here, or no Python.h for it")
def test_the_compiled_ledger_passes_the_tests_of_the_ledger(tmp_path: Path) -> None:
    build(tmp_path)
    # Beside the unpacked wheel, so that they find its modules first and only.
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8_000:]
        return done.stdout

    where = f"import importlib\nfor name in {sorted(COMPILED)}: print(importlib.import_module(name).__file__)"
    files = [Path(line) for line in run("-c", where).splitlines()]
    assert {file.suffix in (".so", ".pyd") and tmp_path in file.parents for file in files} == {True}
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "pencil", "tests/ledger")
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tables", "tests/wire/test_codec.py")
    run("-c", DUELS)
