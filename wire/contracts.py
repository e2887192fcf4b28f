"""Facts of `contract-change`, and what contracts are made of: subscriptions, recurring credits, grants."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from ledger.facts import (
    CREDITS,
    SEAT_ID,
    ContractChange,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    Mode,
    PeriodReset,
    Price,
    Recurrence,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditChanges,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    Rounding,
    Subscription,
    SubscriptionAdded,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import FOREVER, Every, Instant
from wire.fields import PRIORITY_MOST, Common, Fields
from wire.seats import SEATS_MOST, seat_names

MONTH: Final = Every(1, "month")
DURATION_MOST: Final = 1_000
#: Subscriptions, recurring credits and grants that a contract may bring along, each: it is read whole wherever one of its
#: seats burns.
BROUGHT_MOST: Final = 1_000

OVERAGES: Final = ("charge", "carry")
MODES: Final[tuple[Mode, ...]] = ("quantity", "seats")
INCREASES: Final = ("now", "next_period")
ALLOCATIONS: Final[tuple[Literal["pooled", "individual"], ...]] = ("pooled", "individual")
PRORATIONS: Final = ("none", "first", "last", "first_and_last")
KINDS: Final = ("credit", "commit")
BURN_CLASSES: Final = ("standard", "rolled_over")


# --- facts -----------------------------------------------------------------------------------------------------------


def contract_change(fields: Fields, common: Common) -> ContractChange:
    read = _READERS[fields.choice("type", TYPES)]
    return read(fields, common)


def _contract_created(fields: Fields, common: Common) -> ContractCreated:
    contract_id = fields.text("contract_id")
    starting_at = fields.maybe_instant("starting_at")
    start = common["time"] if starting_at is None else starting_at
    subscriptions = tuple(_subscription(held, start) for held in fields.objects("subscriptions", BROUGHT_MOST))
    seats = sum(len(subscription.seat_ids) for subscription in subscriptions)
    if seats > SEATS_MOST:
        said = f"hold {seats:,} seat ids; bring at most {SEATS_MOST:,} along and add the others by seat changes"
        raise fields.refuse("too_large", "subscriptions", said)
    return ContractCreated(
        **common,
        contract_id=contract_id,
        starting_at=start,
        ending_before=_end(fields, "ending_before"),
        name=fields.maybe_label("name"),
        overage=fields.maybe_choice("overage", OVERAGES) or "charge",
        subscriptions=subscriptions,
        recurring_credits=tuple(
            _recurring_credit(held, start) for held in fields.objects("recurring_credits", BROUGHT_MOST)
        ),
        grants=tuple(_grant(held, start, contract_id) for held in fields.objects("grants", BROUGHT_MOST)),
    )


def _contract_updated(fields: Fields, common: Common) -> ContractUpdated:
    return ContractUpdated(
        **common,
        contract_id=fields.text("contract_id"),
        name=fields.maybe_label("name"),
        ending_before=fields.maybe_end("ending_before"),
    )


def _contract_ended(fields: Fields, common: Common) -> ContractEnded:
    return ContractEnded(
        **common,
        contract_id=fields.text("contract_id"),
        name=fields.maybe_label("name"),
        ending_before=_ended(fields, common),
    )


def _subscription_added(fields: Fields, common: Common) -> SubscriptionAdded:
    contract_id = fields.text("contract_id")
    return SubscriptionAdded(**common, contract_id=contract_id, subscription=_subscription(fields, common["time"]))


def _subscription_updated(fields: Fields, common: Common) -> SubscriptionUpdated:
    contract_id, subscription_id = fields.text("contract_id"), fields.text("subscription_id")
    starting_at = fields.maybe_instant("starting_at")
    start = common["time"] if starting_at is None else starting_at
    _refuse_fixed(fields, _SUBSCRIPTION_FIXED)
    changes = SubscriptionChanges(
        name=fields.maybe_label("name"),
        feature_code=fields.maybe_text("feature_code"),
        mode=fields.maybe_choice("mode", MODES),
        seat_group_key=fields.maybe_text("seat_group_key"),
        included_seats=fields.maybe_integer("included_seats"),
        minimum_seats=fields.maybe_integer("minimum_seats"),
        unit_price=_price(fields, "unit_price"),
        unit_label=fields.maybe_label("unit_label"),
        billing_period=fields.recurrence("billing_period", MONTH, start),
        charge_increases=fields.maybe_choice("charge_increases", INCREASES),
        prorate_charges=fields.flag("prorate_charges"),
        rounding=fields.rounding("rounding"),
        revoke_on_removal=fields.flag("revoke_on_removal"),
    )
    return SubscriptionUpdated(
        **common, contract_id=contract_id, subscription_id=subscription_id, starting_at=start, changes=changes
    )


def _subscription_ended(fields: Fields, common: Common) -> SubscriptionEnded:
    return SubscriptionEnded(
        **common,
        contract_id=fields.text("contract_id"),
        subscription_id=fields.text("subscription_id"),
        ending_before=_ended(fields, common),
    )


def _recurring_credit_added(fields: Fields, common: Common) -> RecurringCreditAdded:
    contract_id = fields.text("contract_id")
    credit = _recurring_credit(fields, common["time"])
    return RecurringCreditAdded(**common, contract_id=contract_id, recurring_credit=credit)


def _recurring_credit_updated(fields: Fields, common: Common) -> RecurringCreditUpdated:
    contract_id, credit_id = fields.text("contract_id"), fields.text("recurring_credit_id")
    _refuse_fixed(fields, _RECURRING_CREDIT_FIXED)
    changes = RecurringCreditChanges(
        amount=fields.maybe_amount("amount"),
        duration_periods=fields.maybe_integer("duration_periods", 1, DURATION_MOST),
        priority=_priority(fields),
        kind=fields.maybe_label("kind"),
        proration=fields.maybe_choice("proration", PRORATIONS),
        prorate_increases=fields.flag("prorate_increases"),
        rollover=fields.rollover("rollover"),
        rounding=fields.rounding("rounding"),
    )
    return RecurringCreditUpdated(**common, contract_id=contract_id, recurring_credit_id=credit_id, changes=changes)


def _recurring_credit_ended(fields: Fields, common: Common) -> RecurringCreditEnded:
    return RecurringCreditEnded(
        **common,
        contract_id=fields.text("contract_id"),
        recurring_credit_id=fields.text("recurring_credit_id"),
        ending_before=_ended(fields, common),
    )


def _credits_granted(fields: Fields, common: Common) -> CreditsGranted:
    fields.needs("contract_id", "a seat's grant belongs to a contract: name it", where="seat_id")
    return CreditsGranted(**common, grant=_grant(fields, common["time"], fields.maybe_text("contract_id")))


def _credits_voided(fields: Fields, common: Common) -> CreditsVoided:
    voided_at = fields.maybe_instant("voided_at")
    return CreditsVoided(**common, **_granted(fields), voided_at=common["time"] if voided_at is None else voided_at)


def _credits_adjusted(fields: Fields, common: Common) -> CreditsAdjusted:
    return CreditsAdjusted(
        **common,
        **_granted(fields),
        amount=fields.amount("amount", least=None, zero=False),
        reason=fields.label("reason"),
    )


def _period_reset(fields: Fields, common: Common) -> PeriodReset:
    return PeriodReset(
        **common,
        contract_id=fields.maybe_text("contract_id"),
        preserve_overage=fields.flag("preserve_overage") or False,
    )


_READERS: Final[Mapping[str, Callable[[Fields, Common], ContractChange]]] = {
    "contract.created": _contract_created,
    "contract.updated": _contract_updated,
    "contract.ended": _contract_ended,
    "subscription.added": _subscription_added,
    "subscription.updated": _subscription_updated,
    "subscription.ended": _subscription_ended,
    "recurring_credit.added": _recurring_credit_added,
    "recurring_credit.updated": _recurring_credit_updated,
    "recurring_credit.ended": _recurring_credit_ended,
    "credits.granted": _credits_granted,
    "credits.voided": _credits_voided,
    "credits.adjusted": _credits_adjusted,
    "period.reset": _period_reset,
}
TYPES: Final = tuple(_READERS)


# --- what a contract holds -------------------------------------------------------------------------------------------


def _subscription(fields: Fields, start: Instant) -> Subscription:
    """`start` is when it starts unless it says so itself."""
    subscription_id, mode = fields.text("subscription_id"), fields.choice("mode", MODES)
    starting_at = fields.maybe_instant("starting_at")
    start = start if starting_at is None else starting_at
    prorate = fields.flag("prorate_charges")
    return Subscription(
        subscription_id=subscription_id,
        mode=mode,
        starting_at=start,
        ending_before=_end(fields, "ending_before"),
        name=fields.maybe_label("name"),
        feature_code=fields.maybe_text("feature_code"),
        quantity=fields.maybe_integer("quantity") or 0,
        seat_ids=seat_names(fields, "seat_ids"),
        unassigned_seats=fields.maybe_integer("unassigned_seats") or 0,
        seat_group_key=fields.maybe_text("seat_group_key") or SEAT_ID,
        included_seats=fields.maybe_integer("included_seats"),
        minimum_seats=fields.maybe_integer("minimum_seats") or 0,
        unit_price=_price(fields, "unit_price"),
        unit_label=fields.maybe_label("unit_label"),
        billing_period=fields.recurrence("billing_period", MONTH, start) or Recurrence(every=MONTH, anchor=start),
        charge_increases=fields.maybe_choice("charge_increases", INCREASES) or "now",
        prorate_charges=True if prorate is None else prorate,
        rounding=fields.rounding("rounding") or Rounding(),
        revoke_on_removal=fields.flag("revoke_on_removal") or False,
    )


def _recurring_credit(fields: Fields, start: Instant) -> RecurringCredit:
    credit_id = fields.text("recurring_credit_id")
    subscription_id = fields.maybe_text("subscription_id")
    allocation = fields.maybe_choice("allocation", ALLOCATIONS) or "pooled"
    said = "an individual credit is given to the seats of a subscription: name it"
    fields.needs("subscription_id", said, where="allocation", value="individual")
    starting_at, anchor = fields.maybe_instant("starting_at"), fields.maybe_instant("anchor")
    start = start if starting_at is None else starting_at
    priority, prorate = _priority(fields), fields.flag("prorate_increases")
    return RecurringCredit(
        recurring_credit_id=credit_id,
        subscription_id=subscription_id,
        allocation=allocation,
        credit_type=fields.maybe_text("credit_type") or CREDITS,
        amount=fields.amount("amount"),
        every=fields.every("every"),
        anchor=start if anchor is None else anchor,
        starting_at=start,
        ending_before=_end(fields, "ending_before"),
        duration_periods=fields.maybe_integer("duration_periods", 1, DURATION_MOST) or 1,
        priority=100 if priority is None else priority,
        kind=fields.maybe_label("kind"),
        proration=fields.maybe_choice("proration", PRORATIONS) or "first_and_last",
        prorate_increases=True if prorate is None else prorate,
        rollover=fields.rollover("rollover"),
        rounding=fields.rounding("rounding") or Rounding(),
    )


def _grant(fields: Fields, start: Instant, contract_id: str | None) -> Grant:
    grant_id, seat_id = fields.text("grant_id"), fields.maybe_text("seat_id")
    effective_at = fields.maybe_instant("effective_at")
    start = start if effective_at is None else effective_at
    priority = _priority(fields)
    return Grant(
        grant_id=grant_id,
        contract_id=contract_id,
        seat_id=seat_id,
        seat_group_key=fields.maybe_text("seat_group_key") or SEAT_ID,
        kind=fields.maybe_choice("kind", KINDS) or "credit",
        credit_type=fields.maybe_text("credit_type") or CREDITS,
        amount=fields.amount("amount"),
        priority=100 if priority is None else priority,
        effective_at=start,
        expires_at=_end(fields, "expires_at"),
        recurrence=fields.recurrence("recurrence", None, start),
        rollover=fields.rollover("rollover"),
        burn_class=fields.maybe_choice("burn_class", BURN_CLASSES) or "standard",
        name=fields.maybe_label("name"),
    )


def _granted(fields: Fields) -> dict[str, Any]:
    """Which grant is meant, or which slice of it."""
    return {
        "grant_id": fields.text("grant_id"),
        "contract_id": fields.maybe_text("contract_id"),
        "slice": fields.maybe_integer("slice"),
        "seat_id": fields.maybe_text("seat_id"),
    }


def _price(fields: Fields, name: str) -> Price | None:
    held = fields.object(name)
    return None if held is None else Price(amount=held.amount("amount"), currency=held.text("currency"))


def _priority(fields: Fields) -> int | None:
    return fields.maybe_integer("priority", -PRIORITY_MOST - 1, PRIORITY_MOST)


def _end(fields: Fields, name: str) -> Instant:
    end = fields.maybe_instant(name)
    return FOREVER if end is None else end


def _ended(fields: Fields, common: Common) -> Instant:
    """The end that an `.ended` says: now, unless it says another; "never" lifts it."""
    end = fields.maybe_end("ending_before")
    return common["time"] if end is None else end


# A field that never changes would be ignored in silence; whoever sends it expects something to happen.
_SUBSCRIPTION_FIXED: Final = {
    "quantity": "change it by `set_quantity` or `change_quantity` on seat-change",
    "seat_ids": "change them by `set_seats` on seat-change",
    "unassigned_seats": "change them by `add_unassigned_seats` or `remove_unassigned_seats` on seat-change",
    "ending_before": "send subscription.ended",
}
_RECURRING_CREDIT_FIXED: Final = dict.fromkeys(
    ("every", "anchor", "starting_at", "allocation", "subscription_id", "credit_type"),
    "end this recurring credit and add another",
) | {"ending_before": "send recurring_credit.ended"}


def _refuse_fixed(fields: Fields, fixed: Mapping[str, str]) -> None:
    for name, instead in fixed.items():
        fields.never(name, f"cannot be changed by an update; {instead}")
