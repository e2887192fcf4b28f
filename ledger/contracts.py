"""What was agreed: contracts with their subscriptions and recurring credits, as rows, and what of it is in force when.

A contract's row holds its definitions, every end and every update that it was told: of several, the one with the latest
`(time, id)` counts (L16), whatever the order of arrival. Definitions are few; seats, grants and burns live in rows of
their own.
"""

from collections.abc import Iterable

import msgspec

from ledger.facts import RecurringCredit, RecurringCreditChanges, Subscription, SubscriptionChanges
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Book, Kind, number_key, text_key


class End(Row):
    """Somebody said, at `time`, when a thing ends."""

    time: Instant
    id: str
    ending_before: Instant


class SubscriptionUpdate(Row):
    starting_at: Instant
    time: Instant
    id: str
    changes: SubscriptionChanges


class Void(Row):
    """`slice` None: the one that had started last at `voided_at` (D18)."""

    time: Instant
    id: str
    voided_at: Instant
    slice: int | None = None
    seat_id: str | None = None


class RecurringUpdate(Row):
    time: Instant
    id: str
    changes: RecurringCreditChanges


class SubscriptionRow(Row):
    """`number` is its number within the customer, and part of the keys of its seats. `given` without its initial seats, which
    have rows of their own."""

    number: int
    given: Subscription
    time: Instant
    id: str
    ends: list[End] = []
    updates: list[SubscriptionUpdate] = []
    version: int = 0

    @property
    def subscription_id(self) -> str:
        return self.given.subscription_id

    def at(self, at: Instant) -> Subscription:
        """Its settings in force at an instant: each update counts from its `starting_at`, the later said wins (L16)."""
        now = self.given
        for update in sorted(self.updates, key=lambda update: (update.time, update.id)):
            if update.starting_at <= at:
                changed = {
                    field: value
                    for field in update.changes.__struct_fields__
                    if (value := getattr(update.changes, field)) is not None
                }
                now = msgspec.structs.replace(now, **changed)
        return now

    @property
    def seat_group_key(self) -> str:
        """Accepted updates say another only where the subscription turns from a quantity into seats."""
        for update in reversed(self.updates):
            if update.changes.seat_group_key is not None:
                return update.changes.seat_group_key
        return self.given.seat_group_key

    def ending_before(self) -> Instant:
        return last_said(self.ends)


class RecurringRow(Row):
    number: int
    given: RecurringCredit
    time: Instant
    id: str
    cause_type: str
    ends: list[End] = []
    updates: list[RecurringUpdate] = []
    voids: list[Void] = []  # those that name no seat

    @property
    def recurring_credit_id(self) -> str:
        return self.given.recurring_credit_id

    def for_period(self, starting: Instant) -> RecurringCredit:
        """Its settings for a period that starts at `starting`: updates said before count (L16)."""
        now = self.given
        for update in sorted(self.updates, key=lambda update: (update.time, update.id)):
            if update.time < starting:
                changed = {
                    field: value
                    for field in update.changes.__struct_fields__
                    if (value := getattr(update.changes, field)) is not None
                }
                now = msgspec.structs.replace(now, **changed)
        return now

    def ending_before(self) -> Instant:
        return last_said(self.ends)

    def ending_before_as_said_by(self, at: Instant) -> Instant:
        """The end that counts among those said at or before an instant (L10)."""
        return last_said(end for end in self.ends if end.time <= at)


class Reset(Row):
    time: Instant
    id: str
    preserve_overage: bool


class ContractRow(Row):
    """`number` is its number within the customer; 0 is the customer's pool, which has resets but no window."""

    number: int
    contract_id: str
    starting_at: Instant
    time: Instant
    id: str
    name: str | None = None
    overage: str = "charge"
    ends: list[End] = []
    names: list[tuple[Instant, str, str]] = []
    subscriptions: list[SubscriptionRow] = []
    recurring: list[RecurringRow] = []
    resets: list[Reset] = []

    def ending_before(self) -> Instant:
        return last_said(self.ends)

    def subscription(
        self, subscription_id: str | None, feature_code: str | None, at: Instant
    ) -> SubscriptionRow | None:
        """The subscription of this id, or the one that has this feature code at an instant."""
        for row in self.subscriptions:
            if subscription_id is not None:
                if row.given.subscription_id == subscription_id:
                    return row
            elif feature_code is not None and row.at(at).feature_code == feature_code:
                return row
        return None

    def recurring_credit(self, recurring_credit_id: str) -> RecurringRow | None:
        for row in self.recurring:
            if row.given.recurring_credit_id == recurring_credit_id:
                return row
        return None

    def life(self, subscription: SubscriptionRow) -> tuple[Instant, Instant]:
        """From when until before when a subscription has seats: its own window, cut by the contract's (D5)."""
        start = max(subscription.given.starting_at, self.starting_at)
        return start, max(start, min(subscription.ending_before(), self.ending_before()))


class ContractBrief(Row):
    """What a burn needs to know of its contract. `revision` grows with each change of what the contract's seats may earn,
    so that a seat sees that it has to look again; `carries`: a seat's balance was carried to another (L11)."""

    number: int
    contract_id: str
    starting_at: Instant
    ending_before: Instant
    carry: bool
    revision: int = 0
    carries: bool = False


class CustomerRow(Row):
    """A customer's number in this partition and what is numbered within it. Numbers are given in the order of folding."""

    number: int
    contracts: list[ContractBrief] = []
    credit_types: list[str] = []
    seat_group_keys: list[str] = []
    next_number: int = 1
    waiting: int = 0
    folded_until: Instant = ORIGIN  # not kept any more: the accounts know their newest burn
    ahead_until: Instant = ORIGIN  # until when anything is remembered that arrived too far ahead of its time
    floor: Instant = ORIGIN  # from when on its past is kept (ledger.leaving)

    def number_one(self) -> int:
        """The next number within the customer."""
        self.next_number += 1
        return self.next_number - 1

    def brief(self, contract_id: str) -> ContractBrief | None:
        for brief in self.contracts:
            if brief.contract_id == contract_id:
                return brief
        return None

    def group_key(self, seat_group_key: str) -> None:
        if seat_group_key not in self.seat_group_keys:
            self.seat_group_keys.append(seat_group_key)

    def credit_type(self, credit_type: str) -> None:
        if credit_type not in self.credit_types:
            self.credit_types.append(credit_type)


class CountRow(Row):
    count: int


CUSTOMER = Kind("state", b"C", CustomerRow)
CONTRACT = Kind("state", b"K", ContractRow)
NUMBERS = Kind("state", b"#", CountRow)


def customer_key(customer_id: str) -> bytes:
    return b"C" + text_key(customer_id)


def contract_key(customer: int, contract: int) -> bytes:
    return b"K" + number_key(customer) + number_key(contract)


def said(time: Instant, id: str, ending_before: Instant) -> list[End]:
    """The ends of a thing that is new: the one that it came with, if any."""
    return [] if ending_before == FOREVER else [End(time, id, ending_before)]


def load_contract(book: Book, customer: int, contract: int) -> ContractRow:
    row = book.load(CONTRACT, contract_key(customer, contract))
    if row is None:
        # The customer's pool has a row only once it was reset.
        row = ContractRow(contract, "", ORIGIN, ORIGIN, "")
    return row


def last_said(ends: Iterable[End]) -> Instant:
    """Of several ends the one with the latest `(time, id)` counts (L16)."""
    last = max(ends, key=lambda end: (end.time, end.id), default=None)
    return FOREVER if last is None else last.ending_before


def customer(book: Book, customer_id: str) -> CustomerRow:
    """The customer's row, made if need be."""
    key = customer_key(customer_id)
    row = book.load(CUSTOMER, key)
    if row is None:
        numbers = book.load(NUMBERS, b"#") or CountRow(0)
        numbers.count += 1
        book.save(NUMBERS, b"#", numbers)
        row = CustomerRow(numbers.count)
        book.save(CUSTOMER, key, row)
    return row
