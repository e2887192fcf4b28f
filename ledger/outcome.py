"""What the ledger says of a fact: folded, repeated, waiting or refused. What must never be is `LawBroken`."""

from typing import Any, TypeAlias

from ledger.facts import CREDITS, SEAT_ID, Value
from ledger.instants import Instant


class LawBroken(Exception):
    """A law does not hold. The partition stops, because a wrong balance spreads (L14)."""

    def __init__(self, law: str, message: str) -> None:
        super().__init__(f"{law}: {message}")
        self.law = law


class Refusal(Value, kw_only=True, frozen=True):
    """Why a fact changed nothing (L19). `field` is the path of the field at fault, as on the wire."""

    code: str
    field: str | None = None
    message: str
    law: str | None = None
    details: dict[str, int] | None = None


#: Refusals for what was missing; such a fact may come again (L4).
FORGIVEN = frozenset(
    {
        "unknown_contract",
        "unknown_subscription",
        "unknown_grant",
        "unknown_burn",
        "contract_ambiguous",
        "waiting_full",
        "wait_over",
    }
)


class Scope(Value, kw_only=True, frozen=True, cache_hash=True):
    """Whose balance it is: a seat (`seat_id`), the contract's pool, or the customer's pool (no `contract_id`)."""

    customer_id: str
    contract_id: str | None = None
    seat_id: str | None = None
    seat_group_key: str = SEAT_ID
    credit_type: str = CREDITS


class Changed(Value, kw_only=True, tag="scope", frozen=True):
    """A scope whose balance may be another than before, from `since` on."""

    scope: Scope
    since: Instant


class EverySeat(Value, kw_only=True, tag="every_seat", frozen=True):
    """Every seat of a contract, or every one that ever was one of a subscription, in one word: their balances may be others
    than before, from `since` on. Who they are, `Ledger.scopes` says."""

    contract_id: str
    subscription_id: str | None = None
    credit_type: str
    since: Instant


class SeatsChanged(Value, kw_only=True, frozen=True):
    """A subscription whose counts a fact changed, from `since` on."""

    contract_id: str
    subscription_id: str
    since: Instant


class Folded(Value, kw_only=True, tag="folded", frozen=True):
    """The fact counts. `result` is what became of it, as the wire's `result`.

    `changed` names every scope whose balance at any instant, past or future, is another than before, each from no later
    than the first such instant on; it may name one that stayed as it was. A fact about all seats of a contract or of a
    subscription says so in one entry, however many there are."""

    result: dict[str, Any]
    changed: tuple[Changed | EverySeat, ...] = ()
    seats_changed: tuple[SeatsChanged, ...] = ()


class Refused(Value, kw_only=True, tag="refused", frozen=True):
    refusal: Refusal


class Waiting(Value, kw_only=True, tag="waiting", frozen=True):
    """The fact names something not known yet; it is folded with that (L19)."""

    message: str
    code: str


class Repeated(Value, kw_only=True, tag="repeated", frozen=True):
    """The identity was taken: the first outcome again (L4). `differs`: the body was another."""

    first: "Folded | Refused | Waiting"
    differs: bool


Outcome: TypeAlias = Folded | Refused | Waiting | Repeated
