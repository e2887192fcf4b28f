"""What the ledger answers: balances, entries, counts and charges, as values."""

from hashlib import blake2b
from typing import Literal

import msgspec

from ledger.amounts import Amount
from ledger.facts import Price, Value
from ledger.instants import FOREVER, Instant
from ledger.outcome import Scope


class GrantBalance(Value, kw_only=True, frozen=True):
    """One grant of a scope. `granted` is what it was given when it last started, recurred or rolled over,
    adjustments included; `balance` is what is left. `slice` is None where the grant is not recurring credit's."""

    grant_id: str
    slice: int | None = None
    balance: Amount
    granted: Amount
    amount: Amount
    priority: int
    effective_at: Instant
    expires_at: Instant = FOREVER
    subscription_id: str | None = None


class Balance(Value, kw_only=True, frozen=True):
    """What a scope has at an instant: the sum of its active grants, in L5 order. `overage`: under `carry` the debt
    still open, under `charge` the sum since the last reset."""

    scope: Scope
    balance: Amount
    granted: Amount
    overage: Amount
    grants: tuple[GrantBalance, ...]


EntryType = Literal[
    "granted",  # a grant or slice starts, or is raised within its period
    "adjusted",
    "lapsed",  # the part of an adjustment that found nothing to take, or no active grant (amount 0, beside)
    "lifted",
    "forfeited",
    "burned",
    "overage",  # amount 0, beside: what no grant covered
    "debt_paid",  # a carried debt taken from a grant (beside: minus the same)
    "debt_forgiven",  # amount 0, beside: minus the debt
    "expired",
    "voided",  # by a void, or by the removal of a seat where the subscription revokes
    "restored",  # what a removal voided is given back to the seat that returned
    "moved_out",
    "moved_in",
]


class Entry(Value, kw_only=True, frozen=True):
    """One line of the account. `amount` is its signed change of the balance; `beside` what it did to the overage or,
    for a lapse, what was not taken. The amounts of a scope's entries up to an instant sum to its balance (L14).

    Grants of one name meet where a carried move brings one to a seat that has its own. `origin` is the seat that had been
    given what was brought (None: nobody brought it), `moves` how many moves it took. A debt has no name: of those that one
    edit moves at one instant, `moves` counts the ones before."""

    time: Instant
    type: EntryType
    amount: Amount
    beside: Amount = 0
    scope: Scope
    grant_id: str | None = None
    slice: int | None = None
    origin: str | None = None
    moves: int = 0
    cause_type: str
    cause_id: str
    balance_after: Amount = 0

    @property
    def entry_id(self) -> str:
        """Made of what it is, never of when it was computed or of how much it came to (L18). No two lines have one."""
        grant = (self.grant_id, self.slice, self.origin, self.moves)
        # A digest, since ids may be long, and written one behind the other two lines of them could read alike.
        made_of = msgspec.msgpack.encode((self.cause_type, self.cause_id, self.type, self.scope, *grant, self.time))
        return blake2b(made_of, digest_size=16).hexdigest()


class Counts(Value, kw_only=True, frozen=True):
    """A subscription at an instant (L11, L20)."""

    subscription_id: str
    total: int
    assigned: int
    unassigned: int
    included: int
    extra: int
    paid: int
    pending_removals: int
    version: int
    feature_code: str | None = None


class Charge(Value, kw_only=True, frozen=True):
    """What is due for seats (L20): at `time`, for the seats that count from `since` on. A subscription has one charge of a
    kind for each `since`. The fraction is exact: `covered` of `period` microseconds."""

    contract_id: str
    subscription_id: str
    time: Instant
    since: Instant
    kind: Literal["period", "increase"]
    seats: int
    covered: int
    period: int
    period_from: Instant
    period_to: Instant
    unit_price: Price | None = None
    amount: Amount | None = None


class Window(Value, kw_only=True, frozen=True):
    """One point of a balance curve: the balance at `time`, and what was burned and went over in the window before it."""

    time: Instant
    balance: Amount
    granted: Amount
    burned: Amount
    overage: Amount
