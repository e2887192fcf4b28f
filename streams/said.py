"""What was said of each scope and subscription, as rows. They go with the ledger's rows, under a tag of their own."""

from typing import Literal

from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts, GrantBalance
from ledger.facts import Price
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.outcome import Scope
from ledger.row import Row
from ledger.rows import Kind, instant_key, text_key
from wire.outputs import Moved


class ScopeRow(Row):
    """A scope. In rows of its own kind, as what follows: a value leaves out what is at its default, but only where it is
    the very object, so its bytes would depend on where it has been."""

    customer_id: str
    contract_id: str | None
    seat_id: str | None
    seat_group_key: str
    credit_type: str

    def scope(self) -> Scope:
        return Scope(
            customer_id=self.customer_id,
            contract_id=self.contract_id,
            seat_id=self.seat_id,
            seat_group_key=self.seat_group_key,
            credit_type=self.credit_type,
        )


class GrantRow(Row):
    grant_id: str
    slice: int | None
    balance: Amount
    granted: Amount
    amount: Amount
    priority: int
    effective_at: Instant
    expires_at: Instant
    subscription_id: str | None


class BalanceRow(Row):
    scope: ScopeRow
    balance: Amount
    granted: Amount
    overage: Amount
    grants: list[GrantRow]


class SaidRow(Row):
    """The last snapshot of a scope: as of `at`, published when the clock stood at `said_at`. `due_at`: the next one."""

    at: Instant = ORIGIN
    said_at: Instant = ORIGIN
    due_at: Instant = FOREVER
    balance: BalanceRow | None = None
    burned: Amount = 0
    adjusted: Amount = 0
    expired: Amount = 0

    @property
    def moved(self) -> Moved:
        return Moved(burned=self.burned, adjusted=self.adjusted, expired=self.expired)


class ChargeRow(Row):
    """A charge of the subscription whose row it is in. `price`: amount and currency."""

    time: Instant
    since: Instant
    kind: Literal["period", "increase"]
    seats: int
    covered: int
    period: int
    period_from: Instant
    period_to: Instant
    price: tuple[Amount, str] | None
    amount: Amount | None


class SeatsRow(Row):
    """What was said of a subscription: its counts as of `at`, and what was charged. Charges before `charged_from` are
    settled: a fact that reaches further back only adds to them."""

    at: Instant = ORIGIN
    counts: Counts | None = None
    charged_from: Instant = ORIGIN
    charged: list[ChargeRow] = []


class AheadRow(Row):
    """When something happens next by itself to what a customer has."""

    next_at: Instant = FOREVER


SAID = Kind("state", b"P", SaidRow)
DUE = Kind("state", b"P", ScopeRow)
SEATS = Kind("state", b"P", SeatsRow)
AHEAD = Kind("state", b"P", AheadRow)


def scope_row(scope: Scope) -> ScopeRow:
    return ScopeRow(scope.customer_id, scope.contract_id, scope.seat_id, scope.seat_group_key, scope.credit_type)


def balance_row(of: Balance) -> BalanceRow:
    grants = [
        GrantRow(
            one.grant_id, one.slice, one.balance, one.granted, one.amount, one.priority, one.effective_at, one.expires_at,
            one.subscription_id,
        )
        for one in of.grants
    ]  # fmt: skip
    return BalanceRow(scope_row(of.scope), of.balance, of.granted, of.overage, grants)


def said_balance(row: BalanceRow) -> Balance:
    grants = tuple(
        GrantBalance(**{name: getattr(one, name) for name in GrantRow.__struct_fields__}) for one in row.grants
    )
    return Balance(
        scope=row.scope.scope(), balance=row.balance, granted=row.granted, overage=row.overage, grants=grants
    )


def charge_row(of: Charge) -> ChargeRow:
    price = None if of.unit_price is None else (of.unit_price.amount, of.unit_price.currency)
    return ChargeRow(
        of.time, of.since, of.kind, of.seats, of.covered, of.period, of.period_from, of.period_to, price, of.amount
    )


def said_charge(contract_id: str, subscription_id: str, row: ChargeRow) -> Charge:
    price = None if row.price is None else Price(amount=row.price[0], currency=row.price[1])
    return Charge(
        contract_id=contract_id, subscription_id=subscription_id, time=row.time, since=row.since, kind=row.kind,
        seats=row.seats, covered=row.covered, period=row.period, period_from=row.period_from, period_to=row.period_to,
        unit_price=price, amount=row.amount,
    )  # fmt: skip


def said_key(scope: Scope) -> bytes:
    contract = "" if scope.contract_id is None else f"/{scope.contract_id}"
    seat = "" if scope.seat_id is None else f"/{scope.seat_id}"
    return b"Ps" + b"".join(map(text_key, (scope.customer_id, contract, scope.credit_type, scope.seat_group_key, seat)))


def due_key(at: Instant, scope: Scope) -> bytes:
    return b"Pd" + instant_key(at) + said_key(scope)


def seats_key(customer_id: str, contract_id: str, subscription_id: str) -> bytes:
    return b"Pq" + text_key(customer_id) + text_key(contract_id) + text_key(subscription_id)


def ahead_key(customer_id: str) -> bytes:
    return b"Pc" + text_key(customer_id)


def passing_key(at: Instant, customer_id: str) -> bytes:
    return b"Pn" + instant_key(at) + text_key(customer_id)
