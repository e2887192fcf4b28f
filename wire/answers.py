"""What the ledger answers, in the JSON of the wire: balances, entries, counts, charges, outcomes as plain data.

Amounts are strings, instants RFC 3339, and an end that never comes is null.
"""

from functools import lru_cache
from math import gcd
from typing import Any

from ledger import amounts, instants
from ledger.answers import Balance, Charge, Counts, Entry, GrantBalance, Window
from ledger.facts import SEAT_ID
from ledger.instants import Instant
from ledger.outcome import Folded, Outcome, Refusal, Refused, Repeated, Scope, Waiting

Plain = dict[str, Any]


def balance(of: Balance, available: int | None = None) -> Plain:
    """A row of `balances`. `available` is what a seat may draw on altogether, its own and both pools."""
    return {
        "contract_id": of.scope.contract_id,
        "scope": scope(of.scope),
        "credit_type": of.scope.credit_type,
        "balance": amounts.text(of.balance),
        "granted": amounts.text(of.granted),
        **({} if available is None else {"available": amounts.text(available)}),
        "overage": amounts.text(of.overage),
        "grants": [grant(held) for held in of.grants],
    }


def scope(of: Scope) -> Plain:
    """Whose balance it is, beside the contract's id: a seat's or a pool's."""
    if of.seat_id is None:
        return {"pool": True}
    # The key says what kind of thing the seat's id is; where it is the usual one, it goes without saying.
    kind = {} if of.seat_group_key == SEAT_ID else {"seat_group_key": of.seat_group_key}
    return {"seat_id": of.seat_id} | kind


def grant(of: GrantBalance) -> Plain:
    """One grant of a balance. A slice is named by its recurring credit."""
    held: Plain = {"grant_id": of.grant_id}
    if of.slice is not None:
        held |= {"slice": of.slice, "recurring_credit_id": of.grant_id}
    if of.subscription_id is not None:
        held["subscription_id"] = of.subscription_id
    return held | {
        "balance": amounts.text(of.balance),
        "granted": amounts.text(of.granted),
        "amount": amounts.text(of.amount),
        "priority": of.priority,
        "effective_at": _bound(of.effective_at),
        "expires_at": _bound(of.expires_at),
    }


def entry(of: Entry) -> Plain:
    """A row of `ledger`."""
    held: Plain = {
        "entry_id": of.entry_id,
        "time": instants.text(of.time),
        "type": of.type,
        "amount": amounts.text(of.amount),
        "contract_id": of.scope.contract_id,
        "seat_id": of.scope.seat_id,
        "credit_type": of.scope.credit_type,
        "grant_id": of.grant_id,
        "slice": of.slice,
        "balance_after": amounts.text(of.balance_after),
        "cause": {"type": of.cause_type, "id": of.cause_id},
    }
    return held | ({"beside": amounts.text(of.beside)} if of.beside else {})


def counts(of: Counts) -> Plain:
    """A subscription at an instant; the wire calls its total the quantity."""
    return {
        "subscription_id": of.subscription_id,
        **({} if of.feature_code is None else {"feature_code": of.feature_code}),
        "version": of.version,
        "quantity": of.total,
        "assigned": of.assigned,
        "unassigned": of.unassigned,
        "included": of.included,
        "extra": of.extra,
        "paid": of.paid,
        "pending_removals": of.pending_removals,
    }


def charge(of: Charge) -> Plain:
    """What is due for seats. `fraction` is exact: "1", or the part of the period as "15/31"."""
    held: Plain = {
        "subscription_id": of.subscription_id,
        "kind": of.kind,
        "since": instant(of.since),
        "seats": of.seats,
        "fraction": _fraction(of.covered, of.period),
        "period": {"from": instant(of.period_from), "to": instant(of.period_to)},
    }
    if of.unit_price is not None:
        price = of.unit_price
        held["unit_price"] = {"amount": amounts.text(price.amount), "currency": price.currency}
    if of.amount is not None:
        held["amount"] = amounts.text(of.amount)
    return held


def window(of: Window) -> Plain:
    """A row of `history/balance`."""
    return {
        "time": instants.text(of.time),
        "balance": amounts.text(of.balance),
        "granted": amounts.text(of.granted),
        "burned": amounts.text(of.burned),
        "overage": amounts.text(of.overage),
    }


def outcome(fact_id: str, of: Outcome) -> Plain:
    """What became of a fact, for whoever waits for it."""
    match of:
        case Folded():
            return {"id": fact_id, "outcome": "folded", "result": of.result}
        case Refused():
            return {"id": fact_id, "outcome": "refused"} | refusal(of.refusal)
        case Waiting():
            return {"id": fact_id, "outcome": "waiting", "code": of.code, "message": of.message}
        case Repeated():
            differs = {"differs": True} if of.differs else {}
            return outcome(fact_id, of.first) | {"outcome": _repeated(of.first)} | differs


def refusal(of: Refusal) -> Plain:
    held: Plain = {"code": of.code, "message": of.message}
    return held | {name: value for name, value in (("field", of.field), ("details", of.details)) if value is not None}


def instant(at: Instant) -> str | None:
    """An end that never comes, or a grid point outside the years that RFC 3339 can write, is null."""
    try:
        return instants.text(at)
    except OverflowError:
        return None


#: The grants of one answer, and of many, begin and end together.
_bound = lru_cache(maxsize=1_000)(instant)


def _repeated(first: Outcome) -> str:
    # A refusal stays one, however often it is asked for again (L4).
    return "refused" if isinstance(first, Refused) else "repeated"


def _fraction(covered: int, period: int) -> str:
    common = gcd(covered, period)
    return str(covered // common) if common == period else f"{covered // common}/{period // common}"
