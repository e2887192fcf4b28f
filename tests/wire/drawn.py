"""Facts and messages as hypothesis draws them: any fact that the wire can say, and JSON that looks like one."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from ledger.amounts import LIMIT
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyFact,
    AnyOperation,
    BurnVoided,
    ChangeQuantity,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    MoveSeat,
    PeriodReset,
    Price,
    Recurrence,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditChanges,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    RemoveSeats,
    RemoveUnassignedSeats,
    Rollover,
    Rounding,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
    Subscription,
    SubscriptionAdded,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import FOREVER, Every, instant

letters = st.characters(exclude_categories=["Cs"])
names = st.one_of(
    st.sampled_from(["acme", "team", "ana@acme.test", "ü", "\0", '"\\', "x" * 200]),
    st.text(letters, min_size=1, max_size=8),
)
labels = st.text(letters, max_size=12)
flat_ids = st.text(letters, min_size=1, max_size=12)
# A CloudEvent's name: its source and its id.
event_ids = st.builds(
    lambda source, length, event_id: f"{source.replace(chr(10), '')}{'/' * length}\n{event_id}",
    st.text(letters, max_size=5),
    st.integers(120, 190),
    st.text(letters, min_size=8, max_size=12),
)
ids = st.one_of(flat_ids, event_ids)
instants = st.integers(instant("0001-01-01T00:00:00Z"), instant("9999-12-31T23:59:59.999999Z"))
ends = st.one_of(st.just(FOREVER), instants)
amounts = st.integers(0, LIMIT - 1)
above_zero = st.integers(1, LIMIT - 1)
quantities = st.integers(0, 10**9)
steps = st.builds(Every, st.integers(1, 999_999), st.sampled_from(["hour", "day", "week", "month", "year"]))
flags = st.booleans()


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


prices = st.builds(Price, amount=amounts, currency=names)
roundings = st.builds(Rounding, method=st.sampled_from(["half_up", "floor", "ceiling"]), decimals=st.integers(-5, 9))
recurrences = st.builds(Recurrence, every=steps, anchor=instants)
rollovers = st.one_of(
    st.builds(Rollover, min=amounts),
    st.tuples(amounts, amounts).map(lambda pair: Rollover(min=min(pair), max=max(pair))),
)
priorities = st.integers(-(2**31), 2**31 - 1)
seats = st.lists(st.builds(SeatName, seat_id=names, name=maybe(labels), email=maybe(labels)), max_size=4).map(tuple)

subscriptions = st.builds(
    Subscription,
    subscription_id=names,
    mode=st.sampled_from(["quantity", "seats"]),
    starting_at=instants,
    ending_before=ends,
    name=maybe(labels),
    feature_code=maybe(names),
    quantity=quantities,
    seat_ids=seats,
    unassigned_seats=quantities,
    seat_group_key=names,
    included_seats=maybe(quantities),
    minimum_seats=quantities,
    unit_price=maybe(prices),
    unit_label=maybe(labels),
    billing_period=recurrences,
    charge_increases=st.sampled_from(["now", "next_period"]),
    prorate_charges=flags,
    rounding=roundings,
    revoke_on_removal=flags,
)
_credit: dict[str, st.SearchStrategy[Any]] = {
    "recurring_credit_id": names,
    "credit_type": names,
    "amount": amounts,
    "every": steps,
    "anchor": instants,
    "starting_at": instants,
    "ending_before": ends,
    "duration_periods": st.integers(1, 1000),
    "priority": priorities,
    "kind": maybe(labels),
    "proration": st.sampled_from(["none", "first", "last", "first_and_last"]),
    "prorate_increases": flags,
    "rollover": maybe(rollovers),
    "rounding": roundings,
}
recurring_credits = st.one_of(
    st.builds(RecurringCredit, subscription_id=maybe(names), allocation=st.just("pooled"), **_credit),
    st.builds(RecurringCredit, subscription_id=names, allocation=st.just("individual"), **_credit),
)
_grant: dict[str, st.SearchStrategy[Any]] = {
    "grant_id": names,
    "seat_group_key": names,
    "kind": st.sampled_from(["credit", "commit"]),
    "credit_type": names,
    "amount": amounts,
    "priority": priorities,
    "effective_at": instants,
    "expires_at": ends,
    "recurrence": maybe(recurrences),
    "rollover": maybe(rollovers),
    "burn_class": st.sampled_from(["standard", "rolled_over"]),
    "name": maybe(labels),
}


def grants_of(contract_id: str) -> st.SearchStrategy[Grant]:
    return st.builds(Grant, contract_id=st.just(contract_id), seat_id=maybe(names), **_grant)


grants = st.one_of(names.flatmap(grants_of), st.builds(Grant, contract_id=st.none(), seat_id=st.none(), **_grant))

_fact: dict[str, st.SearchStrategy[Any]] = {
    "id": ids,
    "customer_id": names,
    "time": instants,
    "on_unknown": st.sampled_from(["wait", "refuse"]),
}


def contracts_created() -> st.SearchStrategy[ContractCreated]:
    def created(contract_id: str) -> st.SearchStrategy[ContractCreated]:
        return st.builds(
            ContractCreated,
            contract_id=st.just(contract_id),
            starting_at=instants,
            ending_before=ends,
            name=maybe(labels),
            overage=st.sampled_from(["charge", "carry"]),
            subscriptions=st.lists(subscriptions, max_size=2).map(tuple),
            recurring_credits=st.lists(recurring_credits, max_size=2).map(tuple),
            grants=st.lists(grants_of(contract_id), max_size=2).map(tuple),
            **_fact,
        )

    return names.flatmap(created)


_subscription_changes = st.builds(
    SubscriptionChanges,
    name=maybe(labels),
    feature_code=maybe(names),
    mode=maybe(st.sampled_from(["quantity", "seats"])),
    seat_group_key=maybe(names),
    included_seats=maybe(quantities),
    minimum_seats=maybe(quantities),
    unit_price=maybe(prices),
    unit_label=maybe(labels),
    billing_period=maybe(recurrences),
    charge_increases=maybe(st.sampled_from(["now", "next_period"])),
    prorate_charges=maybe(flags),
    rounding=maybe(roundings),
    revoke_on_removal=maybe(flags),
)
_credit_changes = st.builds(
    RecurringCreditChanges,
    amount=maybe(amounts),
    duration_periods=maybe(st.integers(1, 1000)),
    priority=maybe(priorities),
    kind=maybe(labels),
    proration=maybe(_credit["proration"]),
    prorate_increases=maybe(flags),
    rollover=maybe(rollovers),
    rounding=maybe(roundings),
)
_granted: dict[str, st.SearchStrategy[Any]] = {
    "grant_id": names,
    "contract_id": maybe(names),
    "slice": maybe(quantities),
    "seat_id": maybe(names),
}
contract_changes: st.SearchStrategy[AnyFact] = st.one_of(
    contracts_created(),
    st.builds(ContractUpdated, contract_id=names, name=maybe(labels), ending_before=maybe(ends), **_fact),
    st.builds(ContractEnded, contract_id=names, name=maybe(labels), ending_before=ends, **_fact),
    st.builds(SubscriptionAdded, contract_id=names, subscription=subscriptions, **_fact),
    st.builds(
        SubscriptionUpdated,
        contract_id=names,
        subscription_id=names,
        starting_at=instants,
        changes=_subscription_changes,
        **_fact,
    ),
    st.builds(SubscriptionEnded, contract_id=names, subscription_id=names, ending_before=ends, **_fact),
    st.builds(RecurringCreditAdded, contract_id=names, recurring_credit=recurring_credits, **_fact),
    st.builds(RecurringCreditUpdated, contract_id=names, recurring_credit_id=names, changes=_credit_changes, **_fact),
    st.builds(RecurringCreditEnded, contract_id=names, recurring_credit_id=names, ending_before=ends, **_fact),
    st.builds(CreditsGranted, grant=grants, **_fact),
    st.builds(CreditsVoided, voided_at=instants, **_granted, **_fact),
    st.builds(
        CreditsAdjusted,
        amount=st.integers(-LIMIT + 1, LIMIT - 1).filter(bool),
        reason=labels,
        **_granted,
        **_fact,
    ),
    st.builds(PeriodReset, contract_id=maybe(names), preserve_overage=flags, **_fact),
)

_where: dict[str, st.SearchStrategy[Any]] = {
    "starting_at": instants,
    "subscription_id": maybe(names),
    "feature_code": maybe(names),
}
operations: st.SearchStrategy[AnyOperation] = st.one_of(
    st.builds(SetQuantity, quantity=quantities, **_where),
    st.builds(ChangeQuantity, delta=st.integers(-(10**9), 10**9).filter(bool), **_where),
    st.builds(AddSeats, seat_ids=seats, **_where),
    st.builds(RemoveSeats, seat_ids=seats, **_where),
    st.builds(MoveSeat, from_seat_id=names, to_seat_id=names, carry_balance=flags, **_where),
    st.builds(SetSeats, seat_ids=seats, **_where),
    st.builds(AddUnassignedSeats, quantity=st.integers(1, 10**9), **_where),
    st.builds(RemoveUnassignedSeats, quantity=st.integers(1, 10**9), **_where),
)
seat_changes: st.SearchStrategy[AnyFact] = st.builds(
    SeatChange,
    contract_id=maybe(names),
    subscription_id=names,
    feature_code=maybe(names),
    sequence=st.integers(-(2**63), 2**63 - 1),
    operations=st.lists(operations, max_size=5).map(tuple),
    expected_version=maybe(st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=2)),
    **_fact,
)

json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(letters)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(letters), inner, max_size=3)),
    max_leaves=6,
)
properties = st.dictionaries(st.text(letters), json_values, max_size=3).map(
    lambda held: msgspec.Raw(msgspec.json.encode(held))
)
burns: st.SearchStrategy[AnyFact] = st.builds(
    CreditBurn,
    contract_id=maybe(names),
    seat_id=maybe(names),
    seat_group_key=names,
    credit_type=names,
    amount=above_zero,
    properties=maybe(properties),
    **_fact,
)
facts: st.SearchStrategy[AnyFact] = st.one_of(
    contract_changes, seat_changes, burns, st.builds(BurnVoided, burn_id=ids, **_fact)
)

# --- what a producer may get wrong -----------------------------------------------------------------------------------

_wrong = st.one_of(
    json_values,
    st.sampled_from(
        [
            "",
            "never",
            "1e400",
            "NaN",
            "-0",
            "0",
            "-1",
            "x" * 201,
            "2026-03-16T09:30:00Z",
            "P1M",
            [],
            {},
            2**70,
            -1,
            0,
            1.5,
        ]
    ),
)


@st.composite
def spoilt(draw: st.DrawFn, of: st.SearchStrategy[Any]) -> Any:
    """A value in which something, somewhere, was left out or is another."""
    value = draw(of)
    for _ in range(draw(st.integers(1, 3))):
        value = _spoil(draw, value)
    return value


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 3)) == 0:
            return {other: held for other, held in value.items() if other != name}
        return {**value, name: _spoil(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        i = draw(st.integers(0, len(value) - 1))
        return [*value[:i], _spoil(draw, value[i]), *value[i + 1 :]]
    return draw(_wrong)
