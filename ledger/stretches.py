"""The rows of an account, and the sums that a stretch lives by.

An account's time is cut into stretches, as `ledger.balances` tells; here is what a stretch holds, and what follows from its sums.
"""

from ledger import grants
from ledger.amounts import Amount
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Kind


class Own(Row):
    """A grant of the scope itself at the opening of a stretch. `place`: how many of the group's grants burn before it."""

    name: str
    left: Amount
    granted: Amount
    place: int


class Part(Row):
    """The sum of the burns whose `tail` was the shared grant of this index (the number of them: no grant at all)."""

    tail: int
    amount: Amount


class Stretch(Row):
    """A scope from `start` until before `until`. Opening in L5's order, burns as sums."""

    start: Instant
    until: Instant
    group_start: Instant
    revision: int
    inside: bool
    over: Amount
    own: list[Own]
    parts: list[Part]
    frozen: list[Own]


class ScopeRow(Row):
    """A scope's number (within its account, for keys), its newest stretch, and its newest burns, `RECENT` of them without a gap:
    so that a slightly late burn knows what comes after it; and whether it burned behind the floor (ledger.leaving)."""

    number: int
    stretch: Stretch | None = None
    recent: list[tuple[Instant, str, Amount]] = []
    burned: bool = False

    def note(self, time: Instant, id: str, amount: Amount) -> Amount | None:
        """Notes a burn. Answers the sum of the burns after it, or None if it is older than all that are noted."""
        recent = self.recent
        at = len(recent)
        later = 0
        while at and (recent[at - 1][0] > time or (recent[at - 1][0] == time and recent[at - 1][1] > id)):
            at -= 1
            later += recent[at][2]
        if not at and recent:
            return None
        recent.insert(at, (time, id, amount))
        if len(recent) > RECENT:
            del recent[0]
        return later

    def unnote(self, time: Instant, id: str) -> None:
        """A burn was taken back. Its place stays, so that an older one is not taken for the newest."""
        self.recent = [(*each[:2], 0) if (each[0], each[1]) == (time, id) else each for each in self.recent]


RECENT = 2


class Shared(Row):
    """A shared grant in a stretch of the group. `dry`: `(time, id, part)` of the burn that it could not wholly pay, and
    how much of that burn came no further than here."""

    name: str
    contract: int
    left: Amount
    granted: Amount
    drawn: Amount
    rank: grants.Rank
    dry: tuple[Instant, str, Amount] | None = None


class GroupStretch(Row):
    """The shared grants from `start` until before `until`. `debtors`, once it is closed: who owed at its end, in the order
    in which they pay."""

    start: Instant
    until: Instant
    shared: list[Shared]
    debtors: list[bytes] = []


class GroupRow(Row):
    """The account's newest stretch; when its first and last burns were; how many scopes have a number; up to when its burns
    have aged, where they did so before their turn."""

    stretch: GroupStretch
    first: Instant = FOREVER
    last: Instant = ORIGIN
    scopes: int = 0
    aged: Instant = ORIGIN


class DebtorRow(Row):
    """A scope that may owe something since the newest stretch of the group began."""

    holder: bytes


class TogetherRow(Row):
    """Burns of a scope that become one (ledger.ageing), between two steps: how many, when the first was, which the last is, and
    their sum; before which instant and place another one is one of them."""

    whose: bytes
    holder: bytes
    count: int
    first: Instant
    time: Instant
    id: str
    amount: Amount
    until: Instant
    limit: bytes


class AgedRow(Row):
    """Up to where a partition's burns have aged, a boundary of eras, and the key at which the work goes on in the next one,
    with what is at hand there."""

    until: Instant = ORIGIN
    next_key: bytes = b""
    at_hand: TogetherRow | None = None


SCOPE = Kind("state", b"S", ScopeRow)
CLOSED_SCOPE = Kind("state", b"T", Stretch)
GROUP = Kind("state", b"X", GroupRow)
CLOSED_GROUP = Kind("state", b"Y", GroupStretch)
DEBTOR = Kind("state", b"D", DebtorRow)
AGED = Kind("state", b"#", AgedRow)
AGED_KEY = b"#aged"


def draws(own: list[Own], parts: list[Part]) -> tuple[list[Amount], list[Amount]]:
    """What the burns of a stretch took of each of the scope's own grants, and what each part asked of its tail.

    A part draws, in order, on the own grants that burn before its tail, as far as earlier parts left anything."""
    taken = [0] * len(own)
    tails = []
    i = 0
    for part in parts:
        rest = part.amount
        tail = part.tail
        while rest and i < len(own) and own[i].place <= tail:
            room = own[i].left - taken[i]
            if room > rest:
                taken[i] += rest
                rest = 0
                break
            taken[i] += room
            rest -= room
            i += 1
        tails.append(rest)
    return taken, tails


def add(parts: list[Part], tail: int, amount: Amount) -> None:
    for i, part in enumerate(parts):
        if part.tail == tail:
            part.amount += amount
            if not part.amount:
                del parts[i]
            return
        if part.tail > tail:
            if amount:
                parts.insert(i, Part(tail, amount))
            return
    if amount:
        parts.append(Part(tail, amount))


def in_order(own: list[Own], shared: list[Shared], paid: list[tuple[str, Amount]]) -> list[tuple[str, Amount]]:
    """Who paid, in L5's order, the overage last."""
    if len(paid) < 2:
        return paid
    order = {each.name: (each.place, 0, i) for i, each in enumerate(own)}
    order |= {each.name: (i, 1, 0) for i, each in enumerate(shared)}
    return sorted(paid, key=lambda pair: order.get(pair[0], (len(shared), 1, 0)))
