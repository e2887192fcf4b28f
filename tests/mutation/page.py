"""`ledger/MUTANTS.md`: how many mutants turned which suite red, and who survived; only why is written by hand."""

from collections import Counter
from pathlib import Path

from tests.mutation.found import SUITES, Found, green
from tests.mutation.mutants import ROOT, Mutant

PAGE = ROOT / "ledger" / "MUTANTS.md"
OPEN = "not explained yet"

HEAD = """\
# Mutants of the ledger

`make mutate` breaks one place of `ledger/` at a time, in memory, and lets each mutant meet the tests that run its line, suite by
suite, until one is red: `pencil` (`make pencil`), `duels` (fixed histories against the naive model), `reopened` (the pencil
stories, on an engine that is opened anew for each line), `properties` (the other property tests, a moment each) and `wire` (the
tests of what is read and written). It writes this page; the reason under a survivor is written by hand and stays.
"""


def explanations(page: Path = PAGE) -> dict[str, str]:
    """The reason for each survivor that has one."""
    found: dict[str, str] = {}
    name = ""
    for line in page.read_text().splitlines() if page.exists() else []:
        if line.startswith("- "):
            name = line[2:]
        elif line.startswith("  ") and name:
            found[name] = f"{found[name]} {line.strip()}" if name in found else line.strip()
        else:
            name = ""
    return {name: why for name, why in found.items() if why != OPEN}


def write(found: Found) -> str:
    """Writes the page and returns its table. What is explained stays on it until it is red."""
    why = explanations()
    table = _table(found)
    lines = [HEAD, table, "", "## Who survived, and why", ""]
    for each in found.mutants:
        kind = _kind(found, each)
        if kind == "survived" or (each.name in why and not kind.startswith("red")):
            lines += [f"- {each.name}", f"  {why.get(each.name, OPEN)}"]
    PAGE.write_text("\n".join(lines) + "\n")
    return table


def _table(found: Found) -> str:
    counts: dict[str, Counter[str]] = {}
    for mutant in found.mutants:
        for row in (mutant.file.split("/")[1], "all"):
            counts.setdefault(row, Counter())[_kind(found, mutant)] += 1
    # The last two are what a run leaves open that was cut short.
    unfinished = [each for each in ("met in part", "not met") if counts["all"][each]]
    kinds = [*(f"red by {suite}" for suite in SUITES), "survived", *unfinished]
    rows = [["file", "mutants", *kinds], ["---"] * (2 + len(kinds))]
    for name in [*(each for each in counts if each != "all"), "all"]:
        of = counts[name]
        rows.append([name, f"{of.total():,}", *(f"{of[kind]:,}" if of[kind] else "" for kind in kinds)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _kind(found: Found, mutant: Mutant) -> str:
    verdict = found.verdicts.get(mutant.name)
    if verdict is None:
        return "not met"
    if verdict == green(SUITES[-1]):
        return "survived"
    suite = verdict.split()[0]
    return f"red by {suite}" if suite in SUITES else "met in part"
