"""What happened: the facts that the ledger folds, as values.

Every default of the wire is resolved before a fact is built: an instant that the wire lets default to `time` (or, within
`ContractCreated`, to the contract's start) is always filled in. Instants are microseconds, amounts billionths.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from ledger.amounts import DIGITS, Amount, RoundingMethod
from ledger.instants import FOREVER, Every, Instant

Overage = Literal["charge", "carry"]
Mode = Literal["quantity", "seats"]
Proration = Literal["none", "first", "last", "first_and_last"]
OnUnknown = Literal["wait", "refuse"]

CREDITS = "credits"
SEAT_ID = "seat_id"


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A value: it never changes, and two of the same content are equal."""


# --- what a contract holds -------------------------------------------------------------------------------------------


class Price(Value, kw_only=True, frozen=True):
    amount: Amount
    currency: str


class Rounding(Value, kw_only=True, frozen=True):
    """How a share is rounded, once (L10). `decimals` from -5 to 9."""

    method: RoundingMethod = "half_up"
    decimals: int = DIGITS


class Recurrence(Value, kw_only=True, frozen=True):
    every: Every
    anchor: Instant


class Rollover(Value, kw_only=True, frozen=True):
    """What a reset leaves of a grant: at least `min`, at most `max` (None: all of it) (L9)."""

    min: Amount = 0
    max: Amount | None = None


class SeatName(Value, kw_only=True, frozen=True):
    """Who sits there. `name` and `email` are for people; they change no balance."""

    seat_id: str
    name: str | None = None
    email: str | None = None


class Subscription(Value, kw_only=True, frozen=True):
    subscription_id: str
    mode: Mode
    starting_at: Instant
    ending_before: Instant = FOREVER
    name: str | None = None
    feature_code: str | None = None
    quantity: int = 0
    seat_ids: tuple[SeatName, ...] = ()
    unassigned_seats: int = 0
    seat_group_key: str = SEAT_ID
    included_seats: int | None = None
    minimum_seats: int = 0
    unit_price: Price | None = None
    unit_label: str | None = None
    billing_period: Recurrence
    charge_increases: Literal["now", "next_period"] = "now"
    prorate_charges: bool = True
    rounding: Rounding = Rounding()
    revoke_on_removal: bool = False


class RecurringCredit(Value, kw_only=True, frozen=True):
    recurring_credit_id: str
    subscription_id: str | None = None
    allocation: Literal["pooled", "individual"] = "pooled"
    credit_type: str = CREDITS
    amount: Amount
    every: Every
    anchor: Instant
    starting_at: Instant
    ending_before: Instant = FOREVER
    duration_periods: int = 1
    priority: int = 100
    kind: str | None = None
    proration: Proration = "first_and_last"
    prorate_increases: bool = True
    rollover: Rollover | None = None
    rounding: Rounding = Rounding()


class Grant(Value, kw_only=True, frozen=True):
    """Credits given once, to a seat (`seat_id`), a contract's pool, or the customer's pool (no `contract_id`)."""

    grant_id: str
    contract_id: str | None = None
    seat_id: str | None = None
    seat_group_key: str = SEAT_ID
    kind: Literal["credit", "commit"] = "credit"
    credit_type: str = CREDITS
    amount: Amount
    priority: int = 100
    effective_at: Instant
    expires_at: Instant = FOREVER
    recurrence: Recurrence | None = None
    rollover: Rollover | None = None
    burn_class: Literal["standard", "rolled_over"] = "standard"
    name: str | None = None


# --- facts -----------------------------------------------------------------------------------------------------------


class Fact(Value, tag_field="type", kw_only=True, frozen=True):
    """`time` is when it was submitted; for a burn, a reset and an adjustment, when it happened."""

    id: str
    customer_id: str
    time: Instant
    on_unknown: OnUnknown = "wait"


class ContractCreated(Fact, tag="contract.created", kw_only=True, frozen=True):
    contract_id: str
    starting_at: Instant
    ending_before: Instant = FOREVER
    name: str | None = None
    overage: Overage = "charge"
    subscriptions: tuple[Subscription, ...] = ()
    recurring_credits: tuple[RecurringCredit, ...] = ()
    grants: tuple[Grant, ...] = ()


class ContractUpdated(Fact, tag="contract.updated", kw_only=True, frozen=True):
    """`ending_before` None leaves the end as it is; FOREVER lifts it."""

    contract_id: str
    name: str | None = None
    ending_before: Instant | None = None


class ContractEnded(Fact, tag="contract.ended", kw_only=True, frozen=True):
    contract_id: str
    name: str | None = None
    ending_before: Instant


class SubscriptionAdded(Fact, tag="subscription.added", kw_only=True, frozen=True):
    contract_id: str
    subscription: Subscription


class SubscriptionChanges(Value, kw_only=True, frozen=True):
    """The changed fields of a subscription; None leaves a field as it is."""

    name: str | None = None
    feature_code: str | None = None
    mode: Mode | None = None
    seat_group_key: str | None = None
    included_seats: int | None = None
    minimum_seats: int | None = None
    unit_price: Price | None = None
    unit_label: str | None = None
    billing_period: Recurrence | None = None
    charge_increases: Literal["now", "next_period"] | None = None
    prorate_charges: bool | None = None
    rounding: Rounding | None = None
    revoke_on_removal: bool | None = None


class SubscriptionUpdated(Fact, tag="subscription.updated", kw_only=True, frozen=True):
    contract_id: str
    subscription_id: str
    starting_at: Instant
    changes: SubscriptionChanges


class SubscriptionEnded(Fact, tag="subscription.ended", kw_only=True, frozen=True):
    """FOREVER ("never" on the wire) lifts an end."""

    contract_id: str
    subscription_id: str
    ending_before: Instant


class RecurringCreditAdded(Fact, tag="recurring_credit.added", kw_only=True, frozen=True):
    contract_id: str
    recurring_credit: RecurringCredit


class RecurringCreditChanges(Value, kw_only=True, frozen=True):
    """The changed fields of a recurring credit, from the first period that starts after the fact's `time` (L16)."""

    amount: Amount | None = None
    duration_periods: int | None = None
    priority: int | None = None
    kind: str | None = None
    proration: Proration | None = None
    prorate_increases: bool | None = None
    rollover: Rollover | None = None
    rounding: Rounding | None = None


class RecurringCreditUpdated(Fact, tag="recurring_credit.updated", kw_only=True, frozen=True):
    contract_id: str
    recurring_credit_id: str
    changes: RecurringCreditChanges


class RecurringCreditEnded(Fact, tag="recurring_credit.ended", kw_only=True, frozen=True):
    contract_id: str
    recurring_credit_id: str
    ending_before: Instant


class CreditsGranted(Fact, tag="credits.granted", kw_only=True, frozen=True):
    grant: Grant


class CreditsVoided(Fact, tag="credits.voided", kw_only=True, frozen=True):
    """`slice` None: the slice that started last at `voided_at`. `seat_id` None: all seats."""

    grant_id: str
    contract_id: str | None = None
    slice: int | None = None
    seat_id: str | None = None
    voided_at: Instant


class CreditsAdjusted(Fact, tag="credits.adjusted", kw_only=True, frozen=True):
    """`slice` None: the slice that started last at `time`. `seat_id` is required where the grant is per seat."""

    grant_id: str
    contract_id: str | None = None
    slice: int | None = None
    seat_id: str | None = None
    amount: Amount
    reason: str


class PeriodReset(Fact, tag="period.reset", kw_only=True, frozen=True):
    """`contract_id` None: the customer's pool."""

    contract_id: str | None = None
    preserve_overage: bool = False


class Operation(Value, tag_field="op", kw_only=True, frozen=True):
    """`subscription_id` or `feature_code` None: those of the edit."""

    starting_at: Instant
    subscription_id: str | None = None
    feature_code: str | None = None


class SetQuantity(Operation, tag="set_quantity", kw_only=True, frozen=True):
    quantity: int


class ChangeQuantity(Operation, tag="change_quantity", kw_only=True, frozen=True):
    delta: int


class AddSeats(Operation, tag="add_seats", kw_only=True, frozen=True):
    seat_ids: tuple[SeatName, ...]


class RemoveSeats(Operation, tag="remove_seats", kw_only=True, frozen=True):
    seat_ids: tuple[SeatName, ...]


class MoveSeat(Operation, tag="move_seat", kw_only=True, frozen=True):
    from_seat_id: str
    to_seat_id: str
    carry_balance: bool = False


class SetSeats(Operation, tag="set_seats", kw_only=True, frozen=True):
    seat_ids: tuple[SeatName, ...]


class AddUnassignedSeats(Operation, tag="add_unassigned_seats", kw_only=True, frozen=True):
    quantity: int


class RemoveUnassignedSeats(Operation, tag="remove_unassigned_seats", kw_only=True, frozen=True):
    quantity: int


AnyOperation: TypeAlias = (
    SetQuantity
    | ChangeQuantity
    | AddSeats
    | RemoveSeats
    | MoveSeat
    | SetSeats
    | AddUnassignedSeats
    | RemoveUnassignedSeats
)


class SeatChange(Fact, tag="seat.changed", kw_only=True, frozen=True):
    """One atomic edit. `expected_version` maps a subscription_id (or feature_code) to its version; with one
    subscription the wire's plain number stands under that subscription's name."""

    contract_id: str | None = None
    subscription_id: str | None = None
    feature_code: str | None = None
    sequence: int = 0
    operations: tuple[AnyOperation, ...]
    expected_version: dict[str, int] | None = None


class CreditBurn(Fact, tag="credit.burned", kw_only=True, frozen=True):
    contract_id: str | None = None
    seat_id: str | None = None
    seat_group_key: str = SEAT_ID
    credit_type: str = CREDITS
    amount: Amount
    properties: Any = None


class BurnVoided(Fact, tag="burn.voided", kw_only=True, frozen=True):
    burn_id: str


ContractChange: TypeAlias = (
    ContractCreated
    | ContractUpdated
    | ContractEnded
    | SubscriptionAdded
    | SubscriptionUpdated
    | SubscriptionEnded
    | RecurringCreditAdded
    | RecurringCreditUpdated
    | RecurringCreditEnded
    | CreditsGranted
    | CreditsVoided
    | CreditsAdjusted
    | PeriodReset
)
AnyFact: TypeAlias = ContractChange | SeatChange | CreditBurn | BurnVoided

#: The three input topics that carry facts; an id names a fact within its topic (L4).
Topic = Literal["contract-change", "seat-change", "credit-burn"]


def topic(fact: AnyFact) -> Topic:
    match fact:
        case CreditBurn() | BurnVoided():
            return "credit-burn"
        case SeatChange():
            return "seat-change"
        case _:
            return "contract-change"
