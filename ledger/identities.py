"""Which facts are known already, and what was first said of them (L4); and which are told too late (L16)."""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import msgspec

from ledger.amounts import Amount
from ledger.contracts import CUSTOMER, CustomerRow, customer_key
from ledger.facts import (
    AnyFact,
    BurnVoided,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsGranted,
    CreditsVoided,
    RecurringCreditAdded,
    RecurringCreditEnded,
    SeatChange,
    SubscriptionAdded,
    SubscriptionEnded,
    SubscriptionUpdated,
    topic,
)
from ledger.grants import parts_of
from ledger.instants import ORIGIN, Instant, Span
from ledger.known_rows import KNOWN, KNOWN_FOR_EVER, KnownRow
from ledger.outcome import FORGIVEN, Folded, Outcome, Refusal, Refused, Waiting
from ledger.partition import Generations, Partition, Refuse
from ledger.rows import number_key, written

_encode = msgspec.json.Encoder().encode
_TOPIC_BYTE = {"contract-change": b"c", "seat-change": b"s", "credit-burn": b"b"}


def digest_of(fact: AnyFact) -> int:
    """Two facts of one id differ where this does (L4)."""
    return crc32(_encode(fact))


def _generation_key(generation: int) -> bytes:
    return b"i" + (generation + (1 << 31)).to_bytes(4, "big")


def known_from(now: Instant, lateness: Span) -> Instant:
    """The identities that were known until before this instant nobody will ask for again (D25). One generation more is kept,
    for a fact whose append time is a little behind the clock."""
    return (now // lateness - 2) * lateness


def forgotten(now: Instant, lateness: Span) -> tuple[bytes, bytes]:
    """From which key, and until before which one, the trail holds them: they may leave, all at once."""
    return _generation_key(-(1 << 31)), _generation_key(known_from(now, lateness) // lateness)


class Identities(Partition):
    """A partition's facts that are remembered, over the rows of one batch."""

    def _generations_at(self, arrived_at: Instant) -> Generations:
        """Where the identities of burns are that may be known to one that arrives at an instant; at none where there are more
        than the quick way looks at."""
        lateness, ahead = self.lateness, self.ahead
        this, last = arrived_at // lateness, (arrived_at + ahead) // lateness
        return Generations(
            since=max(this * lateness, last * lateness - ahead),
            until=min((this + 1) * lateness, (last + 1) * lateness - ahead) if last <= this + 1 else ORIGIN,
            ends=(this + 1) * lateness,
            this=_generation_key(this),
            before=_generation_key(this - 1),
            following=_generation_key(last) if last > this else None,
        )

    def _identity_key(self, who: CustomerRow, fact: AnyFact, generation: int | None) -> bytes:
        of = _TOPIC_BYTE[topic(fact)]
        if generation is None:
            return b"J" + number_key(who.number) + of + fact.id.encode()
        return _generation_key(generation) + number_key(who.number) + of + fact.id.encode()

    def _generations(self, arrived_at: Instant, later: Span) -> Iterator[int]:
        """The generations, of one lateness bound each, that an id known now, or so much later, may lie in (D25)."""
        if arrived_at == ORIGIN:
            return
        now = arrived_at // self.lateness
        yield now
        yield now - 1
        yield from range(now + 1, (arrived_at + later + self.ahead) // self.lateness + 1)

    def _identity(
        self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, later: Span = 0
    ) -> tuple[bytes, KnownRow | None]:
        """The key under which a fact is remembered, and what is remembered; it may have arrived so much later."""
        if not isinstance(fact, CreditBurn | BurnVoided):
            key = self._identity_key(who, fact, None)
            value = self._get("state", key)
            return key, None if value is None else KNOWN_FOR_EVER.read(value)
        for generation in self._generations(arrived_at, later):
            key = self._identity_key(who, fact, generation)
            value = self._get("trail", key)
            if value is not None and arrived_at <= (known := KNOWN.read(value)).until:
                return key, known
        if arrived_at <= who.ahead_until:
            key = self._identity_key(who, fact, None)
            value = self._get("state", key)
            if value is not None and arrived_at <= (known := KNOWN_FOR_EVER.read(value)).until:
                return key, known
        if fact.time > arrived_at + self.ahead:
            # So far ahead that no generation that is looked at holds it.
            who.ahead_until = max(who.ahead_until, self._until(fact, arrived_at))
            self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
            return self._identity_key(who, fact, None), None
        return self._identity_key(who, fact, max(fact.time, arrived_at) // self.lateness), None

    def _until(self, fact: AnyFact, arrived_at: Instant) -> Instant:
        return max(fact.time, arrived_at) + self.lateness

    def _remember(self, key: bytes, row: KnownRow) -> None:
        # At once, not with the batch: an identity is asked for once, so that nothing is gained by holding it decoded.
        self.book.rows.put("trail" if key[:1] == b"i" else "state", key, written(row))

    def _known_by(self, digest: int, fact: AnyFact, arrived_at: Instant, outcome: Outcome) -> KnownRow:
        """What is remembered of a fact with this outcome."""
        return KnownRow(digest, self._until(fact, arrived_at), outcome=outcome)

    def _refuse(self, key: bytes, digest: int, fact: AnyFact, arrived_at: Instant, refusal: Refusal) -> Refused:
        """A refusal, remembered unless a repeat may fare better."""
        refused = Refused(refusal=refusal)
        if refusal.code not in FORGIVEN:
            self._remember(key, self._known_by(digest, fact, arrived_at, refused))
        return refused

    def _forget(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant) -> int:
        """Answers the digest of the fact as it arrived."""
        key, known = self._identity(who, fact, arrived_at)
        if known is None:
            return digest_of(fact)
        self.book.rows.delete("trail" if key[:1] == b"i" else "state", key)
        return known.digest

    def _first_outcome(self, who: CustomerRow, fact: AnyFact, known: KnownRow) -> Folded | Refused | Waiting:
        if known.paid is not None:
            return Folded(result=burn_result(known.paid))
        first: Folded | Refused | Waiting = msgspec.convert(known.outcome, Folded | Refused | Waiting)
        return first

    def _check_times(self, fact: AnyFact, arrived_at: Instant) -> None:
        earliest, field = earliest_change(fact)
        bound = arrived_at - self.lateness
        if isinstance(fact, CreditBurn):
            # However far behind the clock it arrived: where burns have aged there is no place for another.
            bound = max(bound, self.horizon)
        if earliest < bound:
            raise Refuse("too_late", field, "is further back than the lateness bound; send it as of now", "L16")
        if isinstance(fact, CreditBurn) and fact.time > arrived_at + self.ahead and arrived_at != ORIGIN:
            raise Refuse("time_in_future", "time", "is too far ahead of the clock; check the producer's clock", "L16")


def burn_result(paid: list[tuple[str, Amount]]) -> dict[str, Any]:
    """What each grant paid of a burn, and the overage."""
    rows: list[list[Any]] = []
    overage = 0
    for name, amount in paid:
        if name:
            kind, _, grant_id, slice, _ = parts_of(name)
            rows.append([grant_id, slice, amount, kind])
        else:
            overage = amount
    return {"paid": rows, "overage": overage}


def earliest_change(fact: AnyFact) -> tuple[Instant, str]:
    """The earlier of a fact's `time` and the first instant that it can change, and the field that says it (L16, D23)."""
    first, field = fact.time, "time"
    named: list[tuple[Instant, str]] = []
    match fact:
        case SeatChange():
            named = [
                (operation.starting_at, f"operations[{i}].starting_at") for i, operation in enumerate(fact.operations)
            ]
        case CreditsGranted():
            named = [(fact.grant.effective_at, "effective_at")]
        case CreditsVoided():
            named = [(fact.voided_at, "voided_at")]
        case ContractUpdated() | ContractEnded() | SubscriptionEnded() | RecurringCreditEnded():
            if fact.ending_before is not None:
                named = [(fact.ending_before, "ending_before")]
        case SubscriptionAdded():
            named = [(fact.subscription.starting_at, "starting_at")]
        case SubscriptionUpdated():
            named = [(fact.starting_at, "starting_at")]
        case RecurringCreditAdded():
            named = [(fact.recurring_credit.starting_at, "starting_at")]
    for at, path in named:
        if at < first:
            first, field = at, path
    return first, field
