"""The mutation run over `ledger/`: each rule broken once should turn a test red.

    python -m tests.mutation [--files grants.py seat_fold.py] [--minutes M]

Each mutant meets the tests that run its line, suite by suite, up to the first red one; who survives is listed, and explained, in
`ledger/MUTANTS.md`. What was found out is kept in `.mutants/`, so that a run resumes where the last one stopped: a red mutant is
not met again while its function stays as it is; a survivor that nobody has explained is met again when the tests have changed.
"""

import argparse
import pickle
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.mutation import page
from tests.mutation.found import KEPT, SUITES, Found, fingerprint, green
from tests.mutation.meeting import (
    GREEN,
    Recorded,
    Say,
    Test,
    in_a_process,
    in_order,
    meet,
    record,
    with_tests,
)
from tests.mutation.mutants import Mutant, all_mutants
from tests.mutation.planting import MustBeImported, get_ready, import_instead, plant

MUST_BE_IMPORTED = "must be imported"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--files", nargs="*", default=[], help="only these files of ledger/")
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes

    mutants, recorded = all_mutants(), recorded_tests()
    for line in recorded.red_anyway:
        print(f"red without any mutant, and left out: {line}")
    found = Found(mutants, explained=set(page.explanations()))
    pending = [each for each in found.pending() if not asked.files or each.file.split("/")[1] in asked.files]
    print(f"{len(mutants):,} mutants, {len(pending):,} of them to be met", flush=True)

    def meet_planted(tests: list[Test], say: Say) -> None:
        get_ready()
        # One suite after the other: the first is quick, and tells the most.
        for suite in SUITES:
            for number, mutant in enumerate(pending):
                if found.next_suite(mutant) != suite:
                    continue
                if time.monotonic() > until:
                    return
                chosen = [each for each in in_order(mutant, tests, recorded, found.kills) if each.suite == suite]
                verdict = said_last(partial(_meet_planted, mutant, chosen, recorded))
                if verdict != MUST_BE_IMPORTED:
                    verdict = green(suite) if verdict == GREEN else verdict
                    found.note(mutant, verdict, kept=False)
                    say(f"{number} {verdict}")

    def meet_imported(mutant: Mutant, say: Say) -> None:
        import_instead(mutant)

        def act(tests: list[Test]) -> None:
            meet(in_order(mutant, tests, recorded, found.kills), recorded, say)

        with_tests(act, recorded.duels)

    def note(line: str) -> None:
        number, verdict = line.split(" ", 1)
        found.note(pending[int(number)], verdict)

    in_a_process(lambda say: with_tests(lambda tests: meet_planted(tests, say), recorded.duels), note)
    for mutant in pending:
        if time.monotonic() > until:
            break
        if found.next_suite(mutant) == SUITES[0]:
            verdict = said_last(partial(meet_imported, mutant))
            found.note(mutant, green(SUITES[-1]) if verdict == GREEN else verdict)
    print(page.write(found))
    return 0


def recorded_tests() -> Recorded:
    """What the tests do on the unchanged code, found out once for each state of the code and of the tests."""
    kept = KEPT / f"tests-{fingerprint('ledger', 'tests/ledger', 'tests/wire')}.pickle"
    if not kept.exists():
        print("looking which test runs which lines", flush=True)

        def keep(tests: list[Test]) -> None:
            KEPT.mkdir(exist_ok=True)
            for old in KEPT.glob("tests-*.pickle"):
                old.unlink()
            kept.write_bytes(pickle.dumps(record(tests)))

        in_a_process(lambda say: with_tests(keep, {}), print)
    recorded: Recorded = pickle.loads(kept.read_bytes())
    return recorded


def _meet_planted(mutant: Mutant, tests: list[Test], recorded: Recorded, say: Say) -> None:
    try:
        plant(mutant)
    except MustBeImported:
        say(MUST_BE_IMPORTED)
    else:
        meet(tests, recorded, say)


def said_last(act: Callable[[Say], None]) -> str:
    """The last line that a process said; nothing is as good as red."""
    said = ["pencil import"]
    in_a_process(act, said.append)
    return said[-1]


if __name__ == "__main__":
    sys.exit(main())
