"""What happens by itself (L17): when next, and to whom.

What a contract says is few, and looked at: its edges, its subscriptions, recurring credits and resets, and the pools. What is
said of single seats is many, and has rows by the instant: the starts and ends, voids and adjustments of their own grants
and slices, and carried moves. A seat's own grant that recurs has a row for as long as it lives, since its instants have no end.
"""

from collections.abc import Iterator
from heapq import merge

from ledger import grants, seats
from ledger.answers import EntryType
from ledger.balances import Account
from ledger.billing import next_period_start
from ledger.contracts import ContractRow, CustomerRow, RecurringRow, SubscriptionRow, load_contract
from ledger.facts import Grant, Recurrence
from ledger.grants import GrantRow, Holder, holder_key, split_holder
from ledger.instants import FOREVER, ORIGIN, Every, Instant
from ledger.order import STEP
from ledger.row import Row
from ledger.rows import BREATH_ROWS, Book, Kind, after, instant_key, instant_of, number_key, text_key, text_of
from ledger.seat_rows import SEAT, TURN, Keys


class AtRow(Row):
    """Something happens to a seat's own grants at the instant of the key, in these steps (`order.STEP`); none: in any."""

    steps: list[int] = []


class RecursRow(Row):
    """A seat's own grant recurs, until the instant of the key."""

    every: Every
    anchor: Instant
    starting_at: Instant

    def next_after(self, at: Instant) -> Instant:
        since = max(at, self.starting_at)
        return self.every.point(self.anchor, self.every.index(self.anchor, since) + 1)


AT = Kind("state", b"N", AtRow)
RECURS = Kind("state", b"N", RecursRow)
NAMED = Kind("state", b"N", AtRow)
#: In the place of a credit type's number: every one, also such as come later.
_EVERY = b"\xff\xff"


# --- what is noted of single seats -----------------------------------------------------------------------------------


def note(book: Book, who: CustomerRow, holder: Holder, credit_type: str | None, at: Instant, *types: EntryType) -> None:
    """Something happens to a seat's own grants at an instant, that such lines would tell (none named: any); None: to those of
    every credit type."""
    key = _at_key(who, at) + _whose(who, holder, credit_type)
    steps = {STEP[type] for type in types}
    before = book.load(AT, key)
    if before is not None:
        steps = steps | {*before.steps} if steps and before.steps else set()
    book.save(AT, key, AtRow(sorted(steps)))


def note_named(book: Book, who: CustomerRow, holder: Holder, owner: Holder) -> None:
    """An adjustment of a seat's own grant names another seat."""
    book.save(NAMED, _named_key(who, holder_key(who, holder)) + holder_key(who, owner), AtRow())


def named(book: Book, who: CustomerRow, holder: bytes) -> Iterator[bytes]:
    """The seats of whose own grants an adjustment names another one."""
    prefix = _named_key(who, holder)
    for key in book.keys(NAMED, prefix, after(prefix)):
        yield key[len(prefix) :]


def note_grant(book: Book, who: CustomerRow, holder: Holder, given: Grant) -> None:
    """A seat has a new grant of its own."""
    note(book, who, holder, given.credit_type, given.effective_at, "granted")
    if given.expires_at < FOREVER:
        note(book, who, holder, given.credit_type, given.expires_at, "expired")
    if given.recurrence is not None:
        _note_recurrence(book, who, holder, given, given.recurrence, given.expires_at)


def note_void(book: Book, who: CustomerRow, holder: Holder, row: GrantRow, before: Instant) -> None:
    """A seat's own grant was voided. `before`: until when it lived so far."""
    given, until = row.given, lives_until(row)
    if given.recurrence is not None and until != before:
        book.drop(RECURS, _recurs_key(who, holder, given, before))
        _note_recurrence(book, who, holder, given, given.recurrence, until)


def _note_recurrence(
    book: Book, who: CustomerRow, holder: Holder, given: Grant, recurrence: Recurrence, until: Instant
) -> None:
    row = RecursRow(recurrence.every, recurrence.anchor, given.effective_at)
    book.save(RECURS, _recurs_key(who, holder, given, until), row)


def lives_until(row: GrantRow) -> Instant:
    """Until when a grant recurs for anybody. What voids it for one of several holders leaves the others alone."""
    void = max(row.voids, key=lambda void: (void.time, void.id), default=None)
    if void is None or any(each.seat_id is not None or each.slice is not None for each in row.voids):
        return row.given.expires_at
    return min(row.given.expires_at, void.voided_at)


def _named_key(who: CustomerRow, holder: bytes) -> bytes:
    return b"N" + number_key(who.number) + b"n" + holder


def _at_key(who: CustomerRow, at: Instant) -> bytes:
    return b"N" + number_key(who.number) + b"a" + instant_key(at)


def _recurs_key(who: CustomerRow, holder: Holder, given: Grant, until: Instant) -> bytes:
    return _recurring_key(who, until) + _whose(who, holder, given.credit_type) + text_key(given.grant_id)


def _recurring_key(who: CustomerRow, until: Instant) -> bytes:
    return b"N" + number_key(who.number) + b"r" + instant_key(until)


def _whose(who: CustomerRow, holder: Holder, credit_type: str | None) -> bytes:
    of = _EVERY if credit_type is None else who.credit_types.index(credit_type).to_bytes(2, "big")
    return of + holder_key(who, holder)


# --- when ------------------------------------------------------------------------------------------------------------


def next_due(book: Book, who: CustomerRow, at: Instant) -> Instant | None:
    """The first instant strictly after another at which anything of a customer may happen by itself. Reads what the contracts
    say and the pools have, however many seats there are."""
    due = FOREVER
    for brief in who.contracts:
        contract = load_contract(book, who.number, brief.number)
        for point in _points(book, who, contract, at):
            if at < point < due:
                due = point
    for credit_type in who.credit_types:
        account = Account(book, who, credit_type)
        due = min(due, account.group_until(at, account.pool_credits(at, at)))
    for key in book.keys(AT, _at_key(who, at + 1), _at_key(who, due)):
        due = instant_of(key[6:14])
        break
    for _, row in _recurring(book, who, at + 1):
        due = min(due, row.next_after(at))
    return None if due == FOREVER else due


def _points(book: Book, who: CustomerRow, contract: ContractRow, at: Instant) -> Iterator[Instant]:
    """The instants that a contract speaks of, as far as they may be the next ones after another."""
    yield contract.starting_at
    yield contract.ending_before()
    for row in contract.subscriptions:
        born, dies = contract.life(row)
        yield born
        yield dies
        yield from (update.starting_at for update in row.updates)
        step = seats.next_step_after(book, who.number, row, at)
        if step is not None:
            yield step
        # What rises within a period is due there, or when it ends; the last period may outlast the subscription.
        period = next_period_start(contract, row, at)
        if born < dies and (dies == FOREVER or period <= next_period_start(contract, row, dies - 1)):
            yield period
    for recurring in contract.recurring:
        if recurring.given.allocation == "individual" and _anybody(book, who, contract, recurring):
            yield from _points_of(contract, recurring, at)


def _anybody(book: Book, who: CustomerRow, contract: ContractRow, recurring: RecurringRow) -> bool:
    """Whether a recurring credit ever gives to a seat."""
    subscription = contract.subscription(recurring.given.subscription_id, None, ORIGIN)
    if subscription is None:
        return False
    sat = Keys(who.number, subscription.number).seats
    return any(True for _ in book.keys(SEAT, sat, after(sat)))


def _points_of(contract: ContractRow, recurring: RecurringRow, at: Instant) -> Iterator[Instant]:
    """The instants that an individual recurring credit speaks of: slices start and expire at points of its grid."""
    given, end = recurring.given, recurring.ending_before()
    yield given.starting_at
    yield end
    yield from (void.voided_at for void in recurring.voids)
    point = given.every.point(given.anchor, given.every.index(given.anchor, max(at, given.starting_at)) + 1)
    if point <= end and contract.starting_at <= point <= contract.ending_before():
        yield point


def _recurring(book: Book, who: CustomerRow, living_at: Instant) -> Iterator[tuple[bytes, RecursRow]]:
    """Whose own grants recur at an instant or later."""
    start, end = _recurring_key(who, living_at + 1), after(_recurring_key(who, FOREVER))
    for key, row in book.scan(RECURS, start, end):
        yield key[14:], row


# --- to whom ---------------------------------------------------------------------------------------------------------


def touch_due(account: Account, at: Instant) -> None:
    """Touches whatever of an account something happens to at an instant by itself."""
    book, who = account.book, account.customer
    account.touch_debts(at)
    for number in (0, *account.briefs):
        contract = load_contract(book, who.number, number)
        reset = any(reset.time == at for reset in contract.resets)
        if number and (reset or at in (contract.starting_at, contract.ending_before())):
            account.touch_seats(number, 0, at)
        pool = grants.of_pool(book, who, number, account.credit_type, at - 1, at)
        if reset or any(credit.next_event(at - 1) == at for credit in pool):
            account.touch_pool(number, at)
        for subscription in contract.subscriptions:
            _touch_subscription(account, contract, subscription, at)
    mine = account.number.to_bytes(2, "big")
    found = []
    for of in (mine, _EVERY):
        prefix = _at_key(who, at) + of
        found += [key[len(prefix) :] for key in book.keys(AT, prefix, after(prefix))]
    for key in [*found, *recurs_at(account, at)]:
        holder, _ = split_holder(who, key)
        # By now it may have been carried on.
        account.touch(holder_key(who, holder), ORIGIN)


def _touch_subscription(account: Account, contract: ContractRow, subscription: SubscriptionRow, at: Instant) -> None:
    earn = earning(contract, subscription, account.credit_type)
    on_grid = any(at in _points_of(contract, row, at - 1) for row in earn)
    if earn and (on_grid or at in contract.life(subscription)):
        account.touch_seats(contract.number, subscription.number, at)
        return
    if earn or account.briefs[contract.number].carries:
        keys = Keys(account.customer.number, subscription.number)
        for key in account.book.keys(TURN, keys.turns_from(at), keys.turns_from(at + 1)):
            holder = Holder(contract.number, keys.turn_of(key), subscription.seat_group_key)
            account.touch(holder_key(account.customer, holder), at)


def earning(contract: ContractRow, subscription: SubscriptionRow, credit_type: str) -> list[RecurringRow]:
    """What gives to each seat of a subscription."""
    return [
        row
        for row in contract.recurring
        if row.given.subscription_id == subscription.subscription_id
        and row.given.credit_type == credit_type
        and row.given.allocation == "individual"
    ]


# --- to whom, a few at a time ----------------------------------------------------------------------------------------


def seats_noted(
    account: Account, at: Instant, step: int | None, contract: int, group: int, behind: str
) -> Iterator[str]:
    """The seats of one kind (the number of their group key) for which something is noted at an instant, in one of its steps or
    in any, by id, those `behind` one. By now what was noted may have been carried on."""
    mine = account.number.to_bytes(2, "big")
    prefixes = (_at_key(account.customer, at) + of for of in (mine, _EVERY))
    return merge(*(_seats_at(account, prefix, step, contract, group, behind) for prefix in prefixes))


def recurs_at(account: Account, at: Instant) -> Iterator[bytes]:
    """The seats (by `holder_key`) whose own grants recur at an instant; of what was carried on since, whose they were."""
    mine = account.number.to_bytes(2, "big")
    for rest, row in _recurring(account.book, account.customer, at):
        if rest[:2] == mine and row.next_after(at - 1) == at:
            yield rest[2:]


def seats_named(account: Account, contract: int, group: int, behind: str) -> Iterator[str]:
    """The seats that an adjustment of another one's own grants ever named."""
    return _seats_at(account, _named_key(account.customer, b""), None, contract, group, behind)


def seats_turned(
    account: Account, subscription: SubscriptionRow, at: Instant, came: bool, behind: str
) -> Iterator[str]:
    """The seats of a subscription that came at an instant, or those that left, by id, behind one."""
    keys = Keys(account.customer.number, subscription.number)
    start, end = keys.turns_from(at) + after(text_key(behind)), keys.turns_from(at + 1)
    for key, row in account.book.scan_lazily(TURN, start, end):
        if row.came is came:
            yield keys.turn_of(key)


def _seats_at(
    account: Account, prefix: bytes, step: int | None, contract: int, group: int, behind: str
) -> Iterator[str]:
    """Of rows whose keys go on with a seat."""
    prefix += number_key(contract) + b"\1" + group.to_bytes(2, "big")
    for number, (key, row) in enumerate(
        account.book.scan_lazily(AT, prefix + after(text_key(behind)), after(prefix)), 1
    ):
        if number % BREATH_ROWS == 0:
            account.book.breathe()
        if step is None or not row.steps or step in row.steps:
            yield text_of(key[len(prefix) : key.index(b"\0\1", len(prefix)) + 2])
