"""What the facts of a batch moved, written down while they are folded."""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from ledger import instants
from ledger.facts import AnyFact, BurnVoided, CreditBurn
from ledger.instants import ORIGIN, Instant
from ledger.outcome import EverySeat, Folded, Scope

K = TypeVar("K")


@dataclass(slots=True)
class Note:
    """A scope moved: from when on, and the fact that did it first in event time."""

    since: Instant
    cause: AnyFact


@dataclass(slots=True)
class SeatsNote:
    """A subscription's counts may be others from `since` on."""

    since: Instant
    cause: AnyFact
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(slots=True)
class Agreed:
    """What was agreed anew with a customer: the scopes and subscriptions that it moved, and those of whom all seats are."""

    scopes: dict[Scope, Note] = field(default_factory=dict)
    every: dict[EverySeat, Note] = field(default_factory=dict)
    subscriptions: dict[tuple[str, str], SeatsNote] = field(default_factory=dict)


class Notes:
    """All that a batch moved: by burns, which are many and move little, and by what was agreed, customer by customer."""

    def __init__(self) -> None:
        self.burned: dict[Scope, Note] = {}
        self.agreed: dict[str, Agreed] = {}

    def note(self, fact: AnyFact, outcome: Folded) -> None:
        """A fact was folded."""
        burned = isinstance(fact, CreditBurn | BurnVoided)
        agreed = None if burned else self.agreed.setdefault(fact.customer_id, Agreed())
        for changed in outcome.changed:
            if isinstance(changed, EverySeat):
                # Even a burn may name them, where debts are paid otherwise.
                every = self.agreed.setdefault(fact.customer_id, Agreed()).every
                # Whose seats, whenever: several facts about them are looked at once.
                earlier(every, msgspec.structs.replace(changed, since=ORIGIN), changed.since, fact)
            elif agreed is None:
                self._burned(changed.scope, changed.since, fact)
            else:
                earlier(agreed.scopes, changed.scope, changed.since, fact)
        for of in outcome.seats_changed:
            assert agreed is not None
            key = of.contract_id, of.subscription_id
            note = agreed.subscriptions.get(key)
            if note is None or of.since < note.since:
                result = outcome.result.get(of.subscription_id, {})
                added, removed = tuple(result.get("added", ())), tuple(result.get("removed", ()))
                agreed.subscriptions[key] = SeatsNote(of.since, fact, added, removed)

    def _burned(self, scope: Scope, since: Instant, fact: AnyFact) -> None:
        note = self.burned.get(scope)
        if note is None:
            self.burned[scope] = Note(since, fact)
        elif since < note.since:
            note.since, note.cause = since, fact

    def subscription(self, customer_id: str, contract_id: str, subscription_id: str) -> SeatsNote | None:
        agreed = self.agreed.get(customer_id)
        return None if agreed is None else agreed.subscriptions.get((contract_id, subscription_id))


def earlier(notes: dict[K, Note], key: K, since: Instant, cause: AnyFact) -> None:
    """Notes it, unless an earlier instant is noted already."""
    note = notes.get(key)
    if note is None or since < note.since:
        notes[key] = Note(since, cause)


def cause(fact: AnyFact) -> tuple[str, str]:
    """What a snapshot names as its cause: a type and an id."""
    return ("credit-burn" if isinstance(fact, CreditBurn) else str(fact.__struct_config__.tag)), fact.id


def cause_of(note: SeatsNote | None, at: Instant) -> tuple[str, str]:
    """Time itself, where nobody did it."""
    return ("time", instants.text(at)) if note is None else cause(note.cause)
