"""What one fact changes may be much: it is done in steps of some rows, and between them others may run."""

import pytest

from ledger.ledger import Ledger
from tests.ledger.language import BOUNDS, play, play_on
from tests.ledger.memory import Counting

MANY = 1_000


def longest_step(story: str, line: str) -> tuple[int, int]:
    """The rows that the last line of a story reads and writes: in its longest step, and in all of them."""
    rows = Counting()
    steps: list[int] = []
    ledger = Ledger(rows, lambda: steps.append(rows.count), **BOUNDS)
    played = play(story, ledger)
    ledger.flush()
    rows.forget()
    steps.clear()
    play_on(played, line)
    steps.append(rows.count)
    return max(after - before for before, after in zip([0, *steps], steps, strict=False)), rows.count


def everyone_burns(at: str) -> str:
    return "\n".join(f"burn 1 by seat-{n} at {at} id {at}-{n}" for n in range(MANY))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("story", "line"),
    [
        pytest.param(
            f"grant ours {MANY} from 01-01\n{everyone_burns('01-03')}\n{everyone_burns('01-04')}",
            f"burn {MANY} by early at 01-02",
            id="a late burn that moves the takers of a dry pool",
        ),
        pytest.param(
            f"grant ours {3 * MANY} from 01-01\n{everyone_burns('01-03')}\n{everyone_burns('01-04')}",
            "grant first 10 from 01-02 priority 1",
            id="a late grant to a pool",
        ),
        pytest.param(
            "subscription team seats ana",
            "set " + " ".join(f"seat-{n}" for n in range(MANY)) + " at 01-02",
            id="a thousand seats at once",
        ),
    ],
)
def test_what_takes_long_is_done_in_steps_of_some_rows(story: str, line: str) -> None:
    longest, whole = longest_step(story, line)

    assert longest < 150 < MANY < whole
