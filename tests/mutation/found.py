"""What was found out about each mutant, kept in `.mutants/` from run to run."""

import hashlib
import json
import re
from collections import Counter

from tests.mutation.mutants import ROOT, Mutant

KEPT = ROOT / ".mutants"
#: In the order in which mutants meet them.
SUITES = ("pencil", "duels", "reopened", "properties", "wire")
#: What is kept and doesn't read like this, was kept by a run of another time, and the mutant is met anew.
_VERDICT = re.compile(rf"green ({'|'.join(SUITES)})|({'|'.join(SUITES)}) .+")


def green(suite: str) -> str:
    """The verdict of this suite and of those before it on a mutant that nobody turned red."""
    return f"green {suite}"


def fingerprint(*folders: str) -> str:
    """Of all Python files in these folders."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


class Found:
    """Who turned each mutant red, or that nobody did."""

    def __init__(self, mutants: list[Mutant], explained: set[str]) -> None:
        KEPT.mkdir(exist_ok=True)
        self.mutants = mutants
        self.explained = explained
        #: `pencil test_corners::...` of a red one, `green pencil` of one that met this suite and no further one.
        self.verdicts: dict[str, str] = {}
        #: How often a test turned mutants red: of all, of a file, and of a function.
        self.kills: Counter[tuple[str, str]] = Counter()
        self._file = KEPT / "met.jsonl"
        self._tests = fingerprint("tests/ledger")
        by_key = {(each.name, each.text): each for each in mutants}
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        for name, text, tests, verdict in map(json.loads, lines):
            mutant = by_key.get((name, text))
            if mutant is None or not _VERDICT.fullmatch(verdict):
                continue
            if not _is_green(verdict) or tests == self._tests or name in explained:
                self._know(mutant, verdict)

    def next_suite(self, mutant: Mutant) -> str | None:
        """The suite that a mutant is to meet next; None if it is red, or has met all."""
        verdict = self.verdicts.get(mutant.name)
        if verdict is None:
            return SUITES[0]
        if not _is_green(verdict):
            return None
        return next(iter(SUITES[SUITES.index(verdict.split()[1]) + 1 :]), None)

    def pending(self) -> list[Mutant]:
        return [each for each in self.mutants if self.next_suite(each) is not None]

    def note(self, mutant: Mutant, verdict: str, *, kept: bool = True) -> None:
        self._know(mutant, verdict)
        if kept:
            with self._file.open("a") as file:
                file.write(json.dumps([mutant.name, mutant.text, self._tests, verdict]) + "\n")

    def _know(self, mutant: Mutant, verdict: str) -> None:
        self.verdicts[mutant.name] = verdict
        if not _is_green(verdict):
            test = verdict.split(" ", 1)[1]
            for where in ("", mutant.file, f"{mutant.file} {mutant.function}"):
                self.kills[where, test] += 1


def _is_green(verdict: str) -> bool:
    return verdict.startswith("green ")
