"""The one order of all lines of a customer, and the places in it where a page may end."""

from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple, TypeAlias

from ledger.answers import Entry, EntryType
from ledger.instants import Instant

#: L13's order within an instant: the steps that are told one after the other, each of them scope by scope.
STEP: Final[dict[EntryType, int]] = {
    "expired": 1,
    "voided": 1,
    "debt_forgiven": 2,
    "forfeited": 2,
    "lifted": 2,
    "moved_out": 4,
    "moved_in": 5,
    "granted": 6,
    "restored": 6,
    "adjusted": 7,
    "lapsed": 8,
    "debt_paid": 9,
    "burned": 10,
    "overage": 11,
}
#: Those before the burns, in order.
STEPS: Final = sorted({step for type, step in STEP.items() if type not in ("burned", "overage")})


class Place(NamedTuple):
    """A line's place among all others, and its id, since two lines may have one place. Made of ids, never of a count, so that a
    line that is gone leaves its place behind. `is_over`: behind all lines that this scope has in this step of this instant."""

    time: Instant
    step: int
    burn_id: str
    credit_type: str
    contract_id: str
    seat_group_key: str
    seat_id: str
    is_over: int = 0
    grant_id: str = ""
    cause_id: str = ""
    slice: int = -1
    origin: str = ""
    moves: int = 0
    entry_id: str = ""


Order: TypeAlias = tuple[Instant, int, str, str, str, str, str, int, str, str, int, str, int]


def entry_order(entry: Entry) -> Order:
    """By what lines are sorted: one total order, but for several sets of one grant at one instant. Those are told in their order
    and stay in it: resets, then what recurs."""
    scope = entry.scope
    return (
        entry.time,
        STEP[entry.type],
        entry.cause_id if entry.type in ("burned", "overage") else "",
        scope.credit_type,
        scope.contract_id or "",
        scope.seat_group_key,
        scope.seat_id or "",
        0,
        entry.grant_id or "",
        "" if entry.type in ("lifted", "forfeited") else entry.cause_id,
        -1 if entry.slice is None else entry.slice,
        entry.origin or "",
        entry.moves,
    )


def place_of(entry: Entry) -> Place:
    return Place(*entry_order(entry), entry.entry_id)


def count_before(lines: list[Entry], behind: Place) -> int:
    """How many of some lines in their order are not behind a place. Of those that share it, all are, if the one that was told
    there is gone: none may be left out."""
    first = bisect_left(lines, behind[:-1], key=entry_order)
    for at in range(first, bisect_right(lines, behind[:-1], lo=first, key=entry_order)):
        if lines[at].entry_id == behind.entry_id:
            return at + 1
    return first
