"""`ledger/MUTANTS.md`: how many mutants turned which suite red, and who survived; only why is written by hand."""

from collections import Counter
from pathlib import Path

from tests.mutation.found import GREEN, NOT_BY_HAND, Found
from tests.mutation.meeting import SUITES
from tests.mutation.mutants import ROOT

PAGE = ROOT / "ledger" / "MUTANTS.md"
OPEN = "not explained yet"

#: What a run that was cut short leaves open: mutants that met the pencil suite alone, and those that met nobody.
UNFINISHED = ("pencil only", "not met")
COLUMNS = {GREEN: "survived", NOT_BY_HAND: UNFINISHED[0], UNFINISHED[1]: UNFINISHED[1]}

HEAD = """\
# Mutants of the ledger

`make mutate` breaks one place of `ledger/` at a time, in memory, and lets each mutant meet the tests that run its line, suite by
suite, until one is red: `pencil` (`make pencil`), `reopened` (the same stories, on an engine that is opened anew for each line),
`duels` (fixed histories against the naive model), `properties` (the other property tests, a moment each) and `wire` (the tests of
what is read and written). It writes this page; the reason under a survivor is written by hand and stays.
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
    """Writes the page and returns its table."""
    why = explanations()
    table = _table(found)
    survivors = [each for each in found.mutants if found.verdicts.get(each.name) == GREEN]
    lines = [HEAD, table, "", "## Who survived, and why", ""]
    for each in survivors:
        lines += [f"- {each.name}", f"  {why.get(each.name, OPEN)}"]
    PAGE.write_text("\n".join(lines) + "\n")
    return table


def _table(found: Found) -> str:
    counts: dict[str, Counter[str]] = {}
    for mutant in found.mutants:
        verdict = found.verdicts.get(mutant.name, "not met")
        for row in (mutant.file.split("/")[1], "all"):
            counts.setdefault(row, Counter())[COLUMNS.get(verdict) or verdict.split()[0]] += 1
    columns = [*SUITES, COLUMNS[GREEN], *(each for each in UNFINISHED if counts["all"][each])]
    rows = [["file", "mutants", *(f"red by {each}" for each in SUITES), *columns[len(SUITES) :]]]
    rows.append(["---"] * len(rows[0]))
    for name in [*(each for each in counts if each != "all"), "all"]:
        of = counts[name]
        rows.append([name, f"{of.total():,}", *(f"{of[each]:,}" if of[each] else "" for each in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
