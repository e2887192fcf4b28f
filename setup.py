"""The packages as they are; in a wheel the ledger's busiest modules are compiled too, from the same Python, by mypyc.

`SEATSTREAM_BUILD=pure` compiles nothing; `SEATSTREAM_BUILD=compiled` fails where there is no compiler, instead of going on
without one. What is installed for development (`pip install -e`) is never compiled.
"""

import os
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

#: In `pyproject.toml`, where tests look too.
COMPILED: list[str] = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["seatstream"]["compiled"]


def extensions() -> list[Extension]:
    wanted = os.environ.get("SEATSTREAM_BUILD", "")
    if wanted not in ("", "pure", "compiled"):
        raise SystemExit(f"SEATSTREAM_BUILD is {wanted!r}; it says pure, compiled, or nothing")
    # Other commands (the sdist, an editable install, a look at the metadata) need no extensions, and these take a minute.
    if wanted == "pure" or not {"bdist_wheel", "build_ext"} & set(sys.argv):
        return []
    if not compiles():
        if wanted == "compiled":
            raise SystemExit("SEATSTREAM_BUILD=compiled: there is no C compiler here, or no Python.h for it")
        print("seatstream: no C compiler here, or no Python.h for it; the ledger stays pure Python", file=sys.stderr)
        return []
    from mypyc.build import mypycify  # noqa: PLC0415

    # Another Python or msgspec than ours may need fewer `type: ignore`; that is no reason not to build.
    options = ["--no-warn-unused-ignores", "--cache-dir=build/mypy"]
    return mypycify([*options, *COMPILED], opt_level="2", debug_level="0", group_name="seatstream")


def compiles() -> bool:
    """Whether C that includes Python's own header can be compiled here."""
    with TemporaryDirectory() as place:
        source = Path(place, "look.c")
        source.write_text("#include <Python.h>\n")
        look = build_ext(Distribution({"ext_modules": [Extension("look", [str(source)])]}))
        look.build_temp = look.build_lib = place
        try:
            look.ensure_finalized()
            look.run()
        except (CompileError, OSError):
            return False
    return True


setup(ext_modules=extensions())
