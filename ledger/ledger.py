"""The ledger: facts in, outcomes out.

`Ledger.fold` looks at a fact in the order of D22: is it known already (L4), too late (L16), in the future, does it name
what is not known yet (L19), does it break a rule. Then the rows change, and what was burned since is played again where
the past changed. Questions are asked of `ledger.history`.
"""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import msgspec

from ledger import grants, history, seats
from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts, Entry, Window
from ledger.balances import Account
from ledger.contracts import (
    CONTRACT,
    CUSTOMER,
    ContractBrief,
    ContractRow,
    CountRow,
    CustomerRow,
    End,
    RecurringRow,
    RecurringUpdate,
    Reset,
    SubscriptionRow,
    SubscriptionUpdate,
    Void,
    contract_key,
    customer,
    customer_key,
    load_contract,
    said,
)
from ledger.facts import (
    AnyFact,
    BurnVoided,
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
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    SeatChange,
    Subscription,
    SubscriptionAdded,
    SubscriptionEnded,
    SubscriptionUpdated,
    topic,
)
from ledger.grants import (
    EDITS,
    ENTITY,
    GRANT,
    Adjustment,
    EditsRow,
    EntityRow,
    GrantRow,
    Holder,
    edits_key,
    entity_key,
    grant_key,
    holder_key,
    holder_of,
    parts_of,
)
from ledger.history import scope_of
from ledger.instants import DAY, FOREVER, HOUR, MINUTE, ORIGIN, Instant, Span
from ledger.outcome import FORGIVEN, Changed, Folded, Outcome, Refusal, Refused, Repeated, Scope, SeatsChanged, Waiting
from ledger.rows import Book, Kind, Row, Rows, after, instant_key, number_key, text_key, text_of


class KnownRow(Row):
    """An identity that is taken, and its first outcome (L4). For a burn: where it is; `paid` by the names of credits."""

    digest: int
    until: Instant  # remembered up to and including this instant
    paid: list[tuple[str, Amount]] | None = None
    holder: bytes = b""
    credit_type: int = 0
    time: Instant = 0
    amount: Amount = 0
    voided: bool = False
    outcome: msgspec.Raw = msgspec.Raw(b"null")


class WaitingRow(Row):
    fact: msgspec.Raw
    arrived_at: Instant
    code: str
    message: str
    due_key: bytes


class DueRow(Row):
    customer_id: str
    waiting_key: bytes


#: How many credit types, and seat group keys, a customer may have.
NAMES = 1_000

KNOWN = Kind("trail", b"i", KnownRow)
KNOWN_FOR_EVER = Kind("state", b"J", KnownRow)
WAITING = Kind("state", b"W", WaitingRow)
DUE = Kind("state", b"U", DueRow)
WAITING_COUNT = Kind("state", b"#", CountRow)

_encode = msgspec.json.Encoder().encode
_digest_of = _encode
_decode_fact = msgspec.json.Decoder(AnyFact).decode
_decode_outcome = msgspec.json.Decoder(Folded | Refused | Waiting).decode
_TOPIC_BYTE = {"contract-change": b"c", "seat-change": b"s", "credit-burn": b"b"}


class _Missing(Exception):
    """Internal: a fact names something that is not known yet. `wakes` is the name under which it waits."""

    def __init__(self, code: str, field: str, message: str, wakes: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, field=field, message=message, law="L19")
        self.wakes = wakes


class _Refuse(Exception):
    """Internal: a fact breaks a rule."""

    def __init__(
        self, code: str, field: str | None, message: str, law: str | None = None, details: dict[str, int] | None = None
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, field=field, message=message, law=law, details=details)


class Ledger:
    """One partition's ledger over its rows. What was folded is in the rows after `flush`."""

    def __init__(
        self,
        rows: Rows,
        *,
        lateness: Span = 34 * DAY,
        ahead: Span = 24 * HOUR,
        wait: Span = 10 * MINUTE,
        wait_customer: int = 10_000,
        wait_partition: int = 100_000,
    ) -> None:
        self.book = Book(rows)
        self.lateness = lateness
        self.ahead = ahead
        self.wait = wait
        self.wait_customer = wait_customer
        self.wait_partition = wait_partition
        self._settled: list[tuple[AnyFact, Outcome]] = []
        self._accounts: dict[int, dict[str, Account]] = {}
        self._customers: dict[str, CustomerRow] = {}
        self._prefixes: dict[int, tuple[bytes, ...]] = {}

    def flush(self) -> None:
        """Writes what was folded, and forgets what was read: the end of a batch."""
        self.book.close()
        self._accounts.clear()
        self._customers.clear()
        self._prefixes.clear()

    # --- folding ---

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        """The outcome of a fact that arrived at `arrived_at`. What had waited for it is in `settled`."""
        self._settled = []
        if type(fact) is CreditBurn:
            quickly = self._burn_quickly(fact, arrived_at)
            if quickly is not None:
                return quickly
        outcome, woken = self._fold_one(fact, arrived_at)
        self._wake(fact.customer_id, woken)
        return outcome

    def _burn_quickly(self, fact: CreditBurn, arrived_at: Instant) -> Folded | None:
        """The usual burn: new, in time, of a contract that is known, in the newest stretch of its account. None, and nothing
        done, for any other."""
        load = self.book.load
        who = self._customers.get(fact.customer_id)
        if who is None:
            who = load(CUSTOMER, customer_key(fact.customer_id))
            if who is None:
                return None
            self._customers[fact.customer_id] = who
        time = fact.time
        if who.waiting or time < arrived_at - self.lateness or time > arrived_at + self.ahead:
            return None
        contracts = who.contracts
        if fact.contract_id is None:
            if len(contracts) != 1 or not contracts[0].starting_at <= time < contracts[0].ending_before:
                return None
            brief = contracts[0]
        else:
            for brief in contracts:
                if brief.contract_id == fact.contract_id:
                    break
            else:
                return None
        account = self._accounts.get(who.number, {}).get(fact.credit_type)
        if account is None:
            if fact.credit_type not in who.credit_types:
                return None
            account = self._account(who, fact.credit_type)
        id = fact.id
        ending = who.number.to_bytes(4, "big") + b"b" + id.encode()
        generation = arrived_at // self.lateness
        prefixes = self._prefixes.get(generation)
        if prefixes is None:
            prefixes = self._prefixes[generation] = tuple(
                b"i" + (each + (1 << 31)).to_bytes(4, "big") for each in (generation, generation - 1, generation + 1)
            )
        if load(KNOWN, prefixes[0] + ending) is not None or load(KNOWN, prefixes[1] + ending) is not None:
            return None
        latest = time if time > arrived_at else arrived_at
        later = latest // self.lateness > generation
        if (later or (arrived_at + self.ahead) // self.lateness > generation) and load(
            KNOWN, prefixes[2] + ending
        ) is not None:
            return None
        burned = account.burn_quickly(brief, fact.seat_id, fact.seat_group_key, time, id, fact.amount)
        if burned is None:
            return None
        seat, paid = burned
        if time > who.folded_until:
            who.folded_until = time
            self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
        known = KnownRow(
            crc32(_digest_of(fact)), latest + self.lateness, paid, seat.key, account.number, time, fact.amount
        )
        self.book.save(KNOWN, (prefixes[2] if later else prefixes[0]) + ending, known)
        scope = seat.scope
        if scope is None:
            scope = seat.scope = scope_of(fact.customer_id, who, seat.holder, fact.credit_type)
        return Folded(result=burn_result(paid), changed=(Changed(scope=scope, since=time),))

    def settled(self) -> list[tuple[AnyFact, Outcome]]:
        """The waiting facts that the last `fold` took up, in order, with their outcomes."""
        return self._settled

    def advance(self, now: Instant) -> list[tuple[AnyFact, Outcome]]:
        """What has waited until before `now`: burns that name no contract become overage of one, the rest is refused."""
        over: list[tuple[AnyFact, Outcome]] = []
        for key, due in list(self.book.scan(DUE, b"U", b"U" + instant_key(now))):
            row = self.book.load(WAITING, due.waiting_key)
            if row is None:
                continue
            fact = _decode_fact(row.fact)
            self._stop_waiting(fact.customer_id, due.waiting_key, key)
            self._settled = []
            outcome = self._wait_over(fact, row)
            over.append((fact, outcome))
            if isinstance(outcome, Folded):
                self._wake(fact.customer_id, [f"burn:{fact.id}"])
                over += self._settled
        self._settled = []
        return over

    def _fold_one(self, fact: AnyFact, arrived_at: Instant) -> tuple[Outcome, list[str]]:
        who = customer(self.book, fact.customer_id)
        known_key, known = self._identity(who, fact, arrived_at)
        digest = crc32(_digest_of(fact))
        if known is not None:
            return Repeated(first=self._first_outcome(who, fact, known), differs=known.digest != digest), []
        try:
            self._check_times(fact, arrived_at)
            self._check_names(who, fact)
            outcome, row, woken = self._accept(who, fact, arrived_at, digest)
        except _Refuse as refused:
            if refused.refusal.code not in FORGIVEN:
                self._remember(
                    who,
                    known_key,
                    fact,
                    KnownRow(
                        digest,
                        self._until(fact, arrived_at),
                        outcome=msgspec.Raw(_encode(Refused(refusal=refused.refusal))),
                    ),
                )
            return Refused(refusal=refused.refusal), []
        except _Missing as missing:
            waiting = self._start_waiting(who, fact, arrived_at, missing)
            if isinstance(waiting, Waiting):
                self._remember(
                    who,
                    known_key,
                    fact,
                    KnownRow(digest, self._until(fact, arrived_at), outcome=msgspec.Raw(_encode(waiting))),
                )
            return waiting, []
        self._remember(who, known_key, fact, row)
        return outcome, woken

    def _check_names(self, who: CustomerRow, fact: AnyFact) -> None:
        """A customer has so many credit types and seat group keys, and no more: they are numbered in keys."""
        named: list[Any]
        match fact:
            case CreditBurn():
                named = [fact]
            case CreditsGranted():
                named = [fact.grant]
            case RecurringCreditAdded():
                named = [fact.recurring_credit]
            case ContractCreated():
                named = [*fact.recurring_credits, *fact.grants, *fact.subscriptions]
            case SubscriptionAdded():
                named = [fact.subscription]
            case _:
                return
        for field, known in (("credit_type", who.credit_types), ("seat_group_key", who.seat_group_keys)):
            said = {name for one in named if (name := getattr(one, field, None)) is not None}
            if len(said.difference(known)) + len(known) > NAMES:
                raise _Refuse("too_large", field, f"is one too many: a customer has at most {NAMES}", "L19")

    def _accept(
        self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, digest: int
    ) -> tuple[Outcome, KnownRow, list[str]]:
        if isinstance(fact, CreditBurn):
            brief = self._contract_of_burn(who, fact)
            holder, paid = self._burn(who, fact, brief)
            row = KnownRow(
                digest,
                self._until(fact, arrived_at),
                paid,
                holder_key(who, holder),
                who.credit_types.index(fact.credit_type),
                fact.time,
                fact.amount,
            )
            folded = Folded(result=burn_result(paid), changed=self._changed(fact.customer_id, who))
            return folded, row, [f"burn:{fact.id}"] if who.waiting else []
        if isinstance(fact, BurnVoided):
            self._void_burn(who, fact, arrived_at)
            folded = Folded(result={}, changed=self._changed(fact.customer_id, who))
            return folded, KnownRow(digest, self._until(fact, arrived_at), outcome=msgspec.Raw(_encode(folded))), []
        result, seats_changed, woken = self._change(who, fact)
        folded = Folded(result=result, changed=self._changed(fact.customer_id, who), seats_changed=tuple(seats_changed))
        stored = Folded(result=result)
        return folded, KnownRow(digest, self._until(fact, arrived_at), outcome=msgspec.Raw(_encode(stored))), woken

    # --- identity (L4) ---

    def _identity_key(self, who: CustomerRow, fact: AnyFact, generation: int | None) -> bytes:
        of = _TOPIC_BYTE[topic(fact)]
        if generation is None:
            return b"J" + number_key(who.number) + of + fact.id.encode()
        return b"i" + (generation + (1 << 31)).to_bytes(4, "big") + number_key(who.number) + of + fact.id.encode()

    def _generations(self, arrived_at: Instant) -> Iterator[int]:
        """The generations, of one lateness bound each, that an id known now may lie in (D25)."""
        now = arrived_at // self.lateness
        yield now
        yield now - 1
        if (arrived_at + self.ahead) // self.lateness > now:
            yield now + 1

    def _identity(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant) -> tuple[bytes, KnownRow | None]:
        """The key under which a fact is remembered, and what is remembered."""
        if not isinstance(fact, CreditBurn | BurnVoided):
            key = self._identity_key(who, fact, None)
            return key, self.book.load(KNOWN_FOR_EVER, key)
        for generation in self._generations(arrived_at):
            key = self._identity_key(who, fact, generation)
            known = self.book.load(KNOWN, key)
            if known is not None and arrived_at <= known.until:
                return key, known
        later = min(max(fact.time, arrived_at), arrived_at + self.ahead)
        return self._identity_key(who, fact, later // self.lateness), None

    def _until(self, fact: AnyFact, arrived_at: Instant) -> Instant:
        return max(fact.time, arrived_at) + self.lateness

    def _remember(self, who: CustomerRow, key: bytes, fact: AnyFact, row: KnownRow) -> None:
        self.book.save(KNOWN if key[:1] == b"i" else KNOWN_FOR_EVER, key, row)

    def _forget(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant) -> int:
        """Answers the digest of the fact as it arrived."""
        key, known = self._identity(who, fact, arrived_at)
        if known is None:
            return crc32(_digest_of(fact))
        self.book.drop(KNOWN if key[:1] == b"i" else KNOWN_FOR_EVER, key)
        return known.digest

    def _first_outcome(self, who: CustomerRow, fact: AnyFact, known: KnownRow) -> Folded | Refused | Waiting:
        if known.paid is not None:
            return Folded(result=burn_result(known.paid))
        first: Folded | Refused | Waiting = _decode_outcome(known.outcome)
        return first

    # --- times (L16) ---

    def _check_times(self, fact: AnyFact, arrived_at: Instant) -> None:
        earliest, field = earliest_change(fact)
        if earliest < arrived_at - self.lateness:
            raise _Refuse("too_late", field, "is further back than the lateness bound; send it as of now", "L16")
        if isinstance(fact, CreditBurn) and fact.time > arrived_at + self.ahead:
            raise _Refuse("time_in_future", "time", "is too far ahead of the clock; check the producer's clock", "L16")

    # --- waiting (L19) ---

    def _start_waiting(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, missing: _Missing) -> Outcome:
        if fact.on_unknown == "refuse":
            return Refused(refusal=missing.refusal)
        counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(0)
        turn = self.book.load(WAITING_COUNT, b"#turn") or CountRow(0)
        if who.waiting >= self.wait_customer or counted.count >= self.wait_partition:
            refusal = Refusal(
                code="waiting_full", field=missing.refusal.field, message=missing.refusal.message, law="L19"
            )
            return Refused(refusal=refusal)
        who.waiting += 1
        counted.count += 1
        turn.count += 1
        self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
        self.book.save(WAITING_COUNT, b"#waiting", counted)
        self.book.save(WAITING_COUNT, b"#turn", turn)
        self._put_waiting(who, fact, arrived_at, missing, turn.count)
        return Waiting(message=missing.refusal.message, code=missing.refusal.code)

    def _put_waiting(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, missing: _Missing, turn: int) -> None:
        key = b"W" + number_key(who.number) + text_key(missing.wakes) + turn.to_bytes(8, "big")
        due_key = b"U" + instant_key(arrived_at + self.wait) + turn.to_bytes(8, "big")
        row = WaitingRow(msgspec.Raw(_encode(fact)), arrived_at, missing.refusal.code, missing.refusal.message, due_key)
        self.book.save(WAITING, key, row)
        self.book.save(DUE, due_key, DueRow(fact.customer_id, key))

    def _stop_waiting(self, customer_id: str, key: bytes, due_key: bytes) -> None:
        who = customer(self.book, customer_id)
        who.waiting -= 1
        self.book.save(CUSTOMER, customer_key(customer_id), who)
        counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(1)
        counted.count -= 1
        self.book.save(WAITING_COUNT, b"#waiting", counted)
        self.book.drop(WAITING, key)
        self.book.drop(DUE, due_key)

    def _wake(self, customer_id: str, woken: list[str]) -> None:
        """Folds what waited for something that is known now, in the order of arrival."""
        who = customer(self.book, customer_id)
        while woken and who.waiting:
            found = []
            for name in woken:
                prefix = b"W" + number_key(who.number) + text_key(name)
                found += list(self.book.scan(WAITING, prefix, after(prefix)))
            woken = []
            for key, row in sorted(found, key=lambda pair: pair[0][-8:]):
                if self.book.load(WAITING, key) is not row:
                    continue
                fact = _decode_fact(row.fact)
                self._stop_waiting(customer_id, key, row.due_key)
                digest = self._forget(who, fact, row.arrived_at)
                known_key, _ = self._identity(who, fact, row.arrived_at)
                try:
                    outcome, known, more = self._accept(who, fact, row.arrived_at, digest)
                except _Refuse as refused:
                    outcome = Refused(refusal=refused.refusal)
                    if refused.refusal.code not in FORGIVEN:
                        self._remember(
                            who,
                            known_key,
                            fact,
                            KnownRow(digest, self._until(fact, row.arrived_at), outcome=msgspec.Raw(_encode(outcome))),
                        )
                    self._settled.append((fact, outcome))
                except _Missing as missing:
                    waiting = Waiting(message=missing.refusal.message, code=missing.refusal.code)
                    self._remember(
                        who,
                        known_key,
                        fact,
                        KnownRow(digest, self._until(fact, row.arrived_at), outcome=msgspec.Raw(_encode(waiting))),
                    )
                    who.waiting += 1
                    counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(0)
                    counted.count += 1
                    self.book.save(WAITING_COUNT, b"#waiting", counted)
                    self._put_waiting(who, fact, row.arrived_at, missing, int.from_bytes(key[-8:], "big"))
                else:
                    self._remember(who, known_key, fact, known)
                    self._settled.append((fact, outcome))
                    woken += more

    def _wait_over(self, fact: AnyFact, row: WaitingRow) -> Outcome:
        who = customer(self.book, fact.customer_id)
        digest = self._forget(who, fact, row.arrived_at)
        if isinstance(fact, CreditBurn) and fact.contract_id is None and row.code == "unknown_contract":
            brief = self._nearest_contract(who, fact.time)
            if brief is not None:
                known_key, _ = self._identity(who, fact, row.arrived_at)
                holder, paid = self._burn(who, fact, brief)
                known = KnownRow(
                    digest,
                    self._until(fact, row.arrived_at),
                    paid,
                    holder_key(who, holder),
                    who.credit_types.index(fact.credit_type),
                    fact.time,
                    fact.amount,
                )
                self._remember(who, known_key, fact, known)
                return Folded(result=burn_result(paid), changed=self._changed(fact.customer_id, who))
        return Refused(refusal=Refusal(code="wait_over", message=f"{row.message}, and did not come in time", law="L19"))

    # --- burns ---

    def _contract_of_burn(self, who: CustomerRow, fact: CreditBurn) -> ContractBrief:
        if fact.contract_id is not None:
            brief = who.brief(fact.contract_id)
            if brief is None:
                raise _Missing(
                    "unknown_contract",
                    "contract_id",
                    f"contract {fact.contract_id} is not known yet",
                    f"contract:{fact.contract_id}",
                )
            return brief
        holding = [brief for brief in who.contracts if brief.starting_at <= fact.time < brief.ending_before]
        if len(holding) == 1:
            return holding[0]
        if not holding:
            raise _Missing(
                "unknown_contract", "contract_id", "no contract of this customer holds the burn's time", "contract"
            )
        seated = [
            brief
            for brief in holding
            if fact.seat_id is not None and self._sits(who, brief, fact.seat_id, fact.seat_group_key, fact.time)
        ]
        if len(seated) == 1:
            return seated[0]
        raise _Missing(
            "contract_ambiguous", "contract_id", "several contracts hold the burn's time; name one", "ambiguous"
        )

    def _sits(self, who: CustomerRow, brief: ContractBrief, seat_id: str, seat_group_key: str, at: Instant) -> bool:
        contract = load_contract(self.book, who.number, brief.number)
        for subscription in contract.subscriptions:
            born, dies = contract.life(subscription)
            lives = subscription.seat_group_key == seat_group_key and born <= at < dies
            if lives and seats.is_assigned(self.book, who.number, subscription, seat_id, at):
                return True
        return False

    def _nearest_contract(self, who: CustomerRow, at: Instant) -> ContractBrief | None:
        """The contract that ended last before an instant, else the next one to start (the wire)."""
        ended = [brief for brief in who.contracts if brief.ending_before <= at]
        if ended:
            return max(ended, key=lambda brief: (brief.ending_before, brief.contract_id))
        return min(who.contracts, key=lambda brief: (brief.starting_at, brief.contract_id), default=None)

    def _burn(
        self, who: CustomerRow, fact: CreditBurn, brief: ContractBrief
    ) -> tuple[Holder, list[tuple[str, Amount]]]:
        if fact.seat_id is None:
            holder = Holder(brief.number)
        else:
            who.group_key(fact.seat_group_key)
            holder = Holder(brief.number, fact.seat_id, fact.seat_group_key)
        who.folded_until = max(who.folded_until, fact.time)
        self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
        paid = self._account(who, fact.credit_type).burn(holder, fact.time, fact.id, fact.amount)
        return holder, paid

    def _void_burn(self, who: CustomerRow, fact: BurnVoided, arrived_at: Instant) -> None:
        probe = CreditBurn(id=fact.burn_id, customer_id=fact.customer_id, time=fact.time, amount=1)
        key, known = self._identity(who, probe, arrived_at)
        if known is None or known.paid is None:
            raise _Missing("unknown_burn", "burn_id", f"burn {fact.burn_id} is not known", f"burn:{fact.burn_id}")
        if known.time < arrived_at - self.lateness:
            raise _Refuse("too_late", "burn_id", "names a burn further back than the lateness bound", "L16")
        if known.voided:
            return
        known.voided = True
        self.book.save(KNOWN, key, known)
        account = self._account(who, who.credit_types[known.credit_type])
        account.unburn(Burn(known.time, fact.burn_id, known.amount, known.holder))

    # --- accounts ---

    def _account(self, who: CustomerRow, credit_type: str) -> Account:
        accounts = self._accounts.setdefault(who.number, {})
        account = accounts.get(credit_type)
        if account is None:
            who.credit_type(credit_type)
            account = accounts[credit_type] = Account(self.book, who, credit_type)
        elif len(account.briefs) != len(who.contracts):
            account.look_again()
        return account

    def _changed(self, customer_id: str, who: CustomerRow) -> tuple[Changed, ...]:
        """The scopes that the last fact changed, and from when on."""
        changed = []
        for credit_type, account in self._accounts.get(who.number, {}).items():
            if account.touched:
                for key, since in sorted(account.touched.items()):
                    changed.append(
                        Changed(scope=scope_of(customer_id, who, holder_of(who, key), credit_type), since=since)
                    )
                account.touched.clear()
        return tuple(changed)

    def _rebuild(self, who: CustomerRow, since: Instant, credit_type: str | None = None) -> None:
        for each in who.credit_types if credit_type is None else [credit_type]:
            self._account(who, each).rebuild(since)

    # --- what is agreed ---

    def _change(self, who: CustomerRow, fact: AnyFact) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        if isinstance(fact, ContractCreated):
            return self._create_contract(who, fact)
        if isinstance(fact, SeatChange):
            return self._change_seats(who, fact)
        contract_id = fact.grant.contract_id if isinstance(fact, CreditsGranted) else fact.contract_id  # type: ignore[union-attr]
        contract = None if contract_id is None else self._contract(who, contract_id)
        woken: list[str] = []
        seats_changed: list[SeatsChanged] = []
        match fact:
            case ContractUpdated() | ContractEnded():
                assert contract is not None
                self._end_contract(who, contract, fact)
                woken = ["contract", "ambiguous"]
                seats_changed = [
                    SeatsChanged(contract_id=contract.contract_id, subscription_id=row.subscription_id, since=fact.time)
                    for row in contract.subscriptions
                ]
            case SubscriptionAdded():
                assert contract is not None
                self._add_subscription(who, contract, fact.subscription, fact)
                woken = ["subscription", "contract", "ambiguous"]
                seats_changed = [
                    SeatsChanged(
                        contract_id=contract.contract_id,
                        subscription_id=fact.subscription.subscription_id,
                        since=fact.subscription.starting_at,
                    )
                ]
            case SubscriptionUpdated() | SubscriptionEnded():
                assert contract is not None
                since = self._change_subscription(who, contract, fact)
                woken = ["subscription", "contract", "ambiguous"]
                seats_changed = [
                    SeatsChanged(contract_id=contract.contract_id, subscription_id=fact.subscription_id, since=since)
                ]
            case RecurringCreditAdded():
                assert contract is not None
                self._add_recurring(who, contract, fact.recurring_credit, fact, "recurring_credit")
                self._save_contract(who, contract, revised=True)
                self._rebuild(who, fact.recurring_credit.starting_at, fact.recurring_credit.credit_type)
                woken = [f"grant:{contract.contract_id}:{fact.recurring_credit.recurring_credit_id}"]
            case RecurringCreditUpdated() | RecurringCreditEnded():
                assert contract is not None
                self._change_recurring(who, contract, fact)
            case CreditsGranted():
                self._grant(who, contract, fact.grant, fact, "grant")
                woken = [f"grant:{contract_id or ''}:{fact.grant.grant_id}"]
            case CreditsVoided() | CreditsAdjusted():
                self._edit_grant(who, contract, fact)
            case PeriodReset():
                row = contract if contract is not None else load_contract(self.book, who.number, 0)
                row.resets = sorted(
                    [*row.resets, Reset(fact.time, fact.id, fact.preserve_overage)],
                    key=lambda reset: (reset.time, reset.id),
                )
                self._save_contract(who, row, revised=True)
                self._rebuild(who, fact.time)
        return {}, seats_changed, woken

    def _contract(self, who: CustomerRow, contract_id: str) -> ContractRow:
        brief = who.brief(contract_id)
        if brief is None:
            raise _Missing(
                "unknown_contract", "contract_id", f"contract {contract_id} is not known yet", f"contract:{contract_id}"
            )
        return load_contract(self.book, who.number, brief.number)

    def _save_contract(self, who: CustomerRow, contract: ContractRow, *, revised: bool) -> None:
        self.book.save(CONTRACT, contract_key(who.number, contract.number), contract)
        for brief in who.contracts:
            if brief.number == contract.number:
                brief.ending_before = contract.ending_before()
                brief.revision += revised

    def _save_customer(self, who: CustomerRow, customer_id: str) -> None:
        self.book.save(CUSTOMER, customer_key(customer_id), who)

    def _create_contract(
        self, who: CustomerRow, fact: ContractCreated
    ) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        if who.brief(fact.contract_id) is not None:
            raise _Refuse("already_exists", "contract_id", f"contract {fact.contract_id} exists already", "L4")
        contract = ContractRow(0, fact.contract_id, fact.starting_at, fact.time, fact.id, fact.name, fact.overage)
        contract.ends = said(fact.time, fact.id, fact.ending_before)
        self._check_brought(fact)
        contract.number = who.number_one()
        brief = ContractBrief(
            contract.number, fact.contract_id, fact.starting_at, contract.ending_before(), fact.overage == "carry"
        )
        who.contracts.append(brief)
        self._save_customer(who, fact.customer_id)
        for subscription in fact.subscriptions:
            self._put_subscription(who, contract, subscription, fact.time, fact.id)
        for index, recurring in enumerate(fact.recurring_credits):
            self._add_recurring(who, contract, recurring, fact, f"recurring_credits[{index}]")
        self._save_contract(who, contract, revised=False)
        for index, grant in enumerate(fact.grants):
            self._put_grant(who, contract, grant, fact, f"grants[{index}]")
        self._rebuild(who, fact.starting_at)
        changed = [
            SeatsChanged(contract_id=fact.contract_id, subscription_id=one.subscription_id, since=one.starting_at)
            for one in fact.subscriptions
        ]
        named = [one.recurring_credit_id for one in fact.recurring_credits] + [one.grant_id for one in fact.grants]
        woken = [
            f"contract:{fact.contract_id}",
            "contract",
            "ambiguous",
            "subscription",
            *(f"grant:{fact.contract_id}:{id}" for id in named),
        ]
        return {}, changed, woken

    def _check_brought(self, fact: ContractCreated) -> None:
        """What a contract brings along is whole before anything of it is written."""
        ids: set[str] = set()
        codes: set[str] = set()
        modes: dict[str, str] = {}
        for index, subscription in enumerate(fact.subscriptions):
            field = f"subscriptions[{index}]"
            if subscription.subscription_id in modes:
                raise _Refuse("already_exists", f"{field}.subscription_id", "names a subscription twice", "L4")
            if subscription.feature_code is not None and subscription.feature_code in codes:
                raise _Refuse("already_exists", f"{field}.feature_code", "names a feature_code twice", "L4")
            modes[subscription.subscription_id] = subscription.mode
            codes |= {subscription.feature_code} - {None}  # type: ignore[arg-type]
        for index, recurring in enumerate(fact.recurring_credits):
            field = f"recurring_credits[{index}]"
            if recurring.recurring_credit_id in ids:
                raise _Refuse(
                    "already_exists", f"{field}.recurring_credit_id", "names a grant or recurring credit twice", "L4"
                )
            ids.add(recurring.recurring_credit_id)
            if recurring.subscription_id is not None and recurring.subscription_id not in modes:
                raise _Refuse(
                    "unknown_subscription",
                    f"{field}.subscription_id",
                    f"subscription {recurring.subscription_id} is not among the contract's",
                    "L19",
                )
            if recurring.allocation == "individual" and (
                recurring.subscription_id is None or modes[recurring.subscription_id] != "seats"
            ):
                raise _Refuse(
                    "wrong_mode", f"{field}.allocation", "individual needs a subscription of mode seats", "L10"
                )
        for index, grant in enumerate(fact.grants):
            if grant.grant_id in ids:
                raise _Refuse(
                    "already_exists", f"grants[{index}].grant_id", "names a grant or recurring credit twice", "L4"
                )
            ids.add(grant.grant_id)

    # subscriptions

    def _put_subscription(
        self, who: CustomerRow, contract: ContractRow, subscription: Subscription, time: Instant, id: str
    ) -> None:
        row = SubscriptionRow(who.number_one(), subscription, time, id, said(time, id, subscription.ending_before))
        who.group_key(subscription.seat_group_key)
        contract.subscriptions.append(row)
        seats.begin(self.book, who.number, row)

    def _add_subscription(
        self, who: CustomerRow, contract: ContractRow, subscription: Subscription, fact: AnyFact
    ) -> None:
        if contract.subscription(subscription.subscription_id, None, 0) is not None:
            raise _Refuse(
                "already_exists",
                "subscription.subscription_id",
                f"subscription {subscription.subscription_id} exists already",
                "L4",
            )
        self._check_feature_code(
            contract, subscription.feature_code, None, subscription.starting_at, "subscription.feature_code"
        )
        self._put_subscription(who, contract, subscription, fact.time, fact.id)
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=False)

    def _check_feature_code(
        self, contract: ContractRow, feature_code: str | None, besides: SubscriptionRow | None, at: Instant, field: str
    ) -> None:
        if feature_code is None:
            return
        for row in contract.subscriptions:
            codes = {row.given.feature_code, *(update.changes.feature_code for update in row.updates)}
            if row is not besides and feature_code in codes:
                raise _Refuse(
                    "already_exists",
                    field,
                    f"feature_code {feature_code} belongs to subscription {row.subscription_id}",
                    "L4",
                )

    def _change_subscription(
        self, who: CustomerRow, contract: ContractRow, fact: SubscriptionUpdated | SubscriptionEnded
    ) -> Instant:
        row = contract.subscription(fact.subscription_id, None, 0)
        if row is None:
            raise _Missing(
                "unknown_subscription",
                "subscription_id",
                f"subscription {fact.subscription_id} is not known yet",
                "subscription",
            )
        if isinstance(fact, SubscriptionEnded):
            before = row.ending_before()
            row.ends = [*row.ends, End(fact.time, fact.id, fact.ending_before)]
            since = min(before, row.ending_before())
        else:
            changes = fact.changes
            self._check_feature_code(contract, changes.feature_code, row, fact.starting_at, "feature_code")
            if changes.mode is not None and changes.mode != row.at(fact.starting_at).mode:
                if changes.mode == "quantity":
                    raise _Refuse("wrong_mode", "mode", "seats cannot be turned back into a quantity", "L11")
                converted = seats.convert(self.book, who.number, row, fact.starting_at)
                if isinstance(converted, Refusal):
                    raise _Refuse(converted.code, converted.field, converted.message, converted.law)
            if changes.seat_group_key is not None:
                who.group_key(changes.seat_group_key)
            row.updates = [*row.updates, SubscriptionUpdate(fact.starting_at, fact.time, fact.id, changes)]
            since = fact.starting_at
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=True)
        self._rebuild(who, since)
        return since

    # recurring credits

    def _add_recurring(
        self, who: CustomerRow, contract: ContractRow, recurring: RecurringCredit, fact: AnyFact, field: str
    ) -> None:
        row: SubscriptionRow | None = None
        if recurring.subscription_id is not None:
            row = contract.subscription(recurring.subscription_id, None, 0)
            if row is None:
                raise _Missing(
                    "unknown_subscription",
                    f"{field}.subscription_id",
                    f"subscription {recurring.subscription_id} is not known yet",
                    "subscription",
                )
        key = entity_key(who.number, contract.number, recurring.recurring_credit_id)
        if self.book.load(ENTITY, key) is not None:
            raise _Refuse(
                "already_exists",
                f"{field}.recurring_credit_id",
                f"{recurring.recurring_credit_id} exists already",
                "L4",
            )
        by_seats = row is not None and row.at(recurring.starting_at).mode == "seats"
        if recurring.allocation == "individual" and not by_seats:
            raise _Refuse("wrong_mode", f"{field}.allocation", "individual needs a subscription of mode seats", "L10")
        who.credit_type(recurring.credit_type)
        self._save_customer(who, fact.customer_id)
        self.book.save(ENTITY, key, EntityRow())
        contract.recurring.append(
            RecurringRow(
                who.number_one(),
                recurring,
                fact.time,
                fact.id,
                topic(fact),
                said(fact.time, fact.id, recurring.ending_before),
            )
        )

    def _change_recurring(
        self, who: CustomerRow, contract: ContractRow, fact: RecurringCreditUpdated | RecurringCreditEnded
    ) -> None:
        row = contract.recurring_credit(fact.recurring_credit_id)
        if row is None:
            raise _Missing(
                "unknown_grant",
                "recurring_credit_id",
                f"recurring credit {fact.recurring_credit_id} is not known yet",
                f"grant:{contract.contract_id}:{fact.recurring_credit_id}",
            )
        since = fact.time
        if isinstance(fact, RecurringCreditEnded):
            before = row.ending_before()
            row.ends = [*row.ends, End(fact.time, fact.id, fact.ending_before)]
            # The end ranks (D10), from the start of the first slice that it shortens or lengthens.
            edge = min(before, row.ending_before())
            first = next(grants.periods(row, min(edge, FOREVER - 1) - 1, FOREVER), None) if edge < FOREVER else None
            since = min(since, edge, FOREVER if first is None else first.earns_from)
        else:
            row.updates = [*row.updates, RecurringUpdate(fact.time, fact.id, fact.changes)]
        self._save_contract(who, contract, revised=True)
        self._rebuild(who, since, row.given.credit_type)

    # grants

    def _grant(self, who: CustomerRow, contract: ContractRow | None, grant: Grant, fact: AnyFact, field: str) -> None:
        holder = self._put_grant(who, contract, grant, fact, field)
        since = grant.effective_at if contract is None else max(grant.effective_at, contract.starting_at)
        account = self._account(who, grant.credit_type)
        if grant.seat_id is None:
            account.rebuild(since)
        else:
            account.rework({holder: since})

    def _put_grant(
        self, who: CustomerRow, contract: ContractRow | None, grant: Grant, fact: AnyFact, field: str
    ) -> Holder:
        if contract is None and grant.seat_id is not None:
            raise _Refuse("missing_field", f"{field}.contract_id", "is needed: a seat is one of a contract", "L6")
        number = 0 if contract is None else contract.number
        key = entity_key(who.number, number, grant.grant_id)
        if self.book.load(ENTITY, key) is not None:
            raise _Refuse("already_exists", f"{field}.grant_id", f"{grant.grant_id} exists already", "L4")
        who.credit_type(grant.credit_type)
        holder = Holder(number)
        if grant.seat_id is not None:
            who.group_key(grant.seat_group_key)
            holder = Holder(number, grant.seat_id, grant.seat_group_key)
        self._save_customer(who, fact.customer_id)
        of = holder_key(who, holder)
        self.book.save(ENTITY, key, EntityRow(of, grant.expires_at))
        self.book.save(
            GRANT,
            grant_key(who.number, of, grant.expires_at, grant.grant_id),
            GrantRow(grant, fact.time, fact.id, topic(fact)),
        )
        return holder

    def _edit_grant(
        self, who: CustomerRow, contract: ContractRow | None, fact: CreditsVoided | CreditsAdjusted
    ) -> None:
        number = 0 if contract is None else contract.number
        entity = self.book.load(ENTITY, entity_key(who.number, number, fact.grant_id))
        if entity is None:
            raise _Missing(
                "unknown_grant",
                "grant_id",
                f"grant {fact.grant_id} is not known yet",
                f"grant:{fact.contract_id or ''}:{fact.grant_id}",
            )
        if entity.holder is not None:
            self._edit_explicit(who, entity, fact)
            return
        assert contract is not None
        row = contract.recurring_credit(fact.grant_id)
        assert row is not None
        individual = row.given.allocation == "individual"
        if isinstance(fact, CreditsAdjusted) and individual and fact.seat_id is None:
            raise _Refuse("missing_field", "seat_id", "is needed: this recurring credit gives to each seat", "L14")
        since = fact.voided_at if isinstance(fact, CreditsVoided) else fact.time
        if individual and fact.seat_id is None:
            assert isinstance(fact, CreditsVoided)
            since = min([since, *(void.voided_at for void in row.voids)])
            row.voids = [*row.voids, Void(fact.time, fact.id, fact.voided_at, fact.slice)]
            self._save_contract(who, contract, revised=True)
            self._rebuild(who, since, row.given.credit_type)
            return
        holder = Holder(number)
        if individual:
            assert fact.seat_id is not None
            subscription = contract.subscription(row.given.subscription_id, None, 0)
            assert subscription is not None
            who.group_key(subscription.seat_group_key)
            holder = Holder(number, fact.seat_id, subscription.seat_group_key)
        key = edits_key(who.number, holder_key(who, holder), fact.grant_id)
        edits = self.book.load(EDITS, key) or EditsRow()
        since = (
            min([since, *(void.voided_at for void in (*edits.voids, *row.voids))])
            if isinstance(fact, CreditsVoided)
            else since
        )
        meant = None if individual else fact.seat_id
        if isinstance(fact, CreditsVoided):
            edits.voids = [*edits.voids, Void(fact.time, fact.id, fact.voided_at, fact.slice, meant)]
        else:
            edits.adjustments = [*edits.adjustments, Adjustment(fact.time, fact.id, fact.amount, fact.slice, meant)]
        self.book.save(EDITS, key, edits)
        account = self._account(who, row.given.credit_type)
        if holder.seat_id is None:
            account.rebuild(since)
        else:
            account.rework({holder: since})

    def _edit_explicit(self, who: CustomerRow, entity: EntityRow, fact: CreditsVoided | CreditsAdjusted) -> None:
        assert entity.holder is not None
        key = grant_key(who.number, entity.holder, entity.expires_at, fact.grant_id)
        row = self.book.load(GRANT, key)
        assert row is not None
        if isinstance(fact, CreditsVoided):
            since = min([fact.voided_at, *(void.voided_at for void in row.voids)])
            row.voids = [*row.voids, Void(fact.time, fact.id, fact.voided_at, fact.slice, fact.seat_id)]
        else:
            since = fact.time
            row.adjustments = [*row.adjustments, Adjustment(fact.time, fact.id, fact.amount, fact.slice, fact.seat_id)]
        self.book.save(GRANT, key, row)
        account = self._account(who, row.given.credit_type)
        holder = holder_of(who, entity.holder)
        if holder.seat_id is None:
            account.rebuild(since)
            return
        # The grant may have been carried on to other seats.
        account.rework(dict.fromkeys(self._heirs_of(who, holder), since))

    def _heirs_of(self, who: CustomerRow, holder: Holder) -> list[Holder]:
        """A seat and those that its balance was carried to, and so on."""
        contract = load_contract(self.book, who.number, holder.contract)
        found = [holder]
        for one in found:
            for subscription in contract.subscriptions:
                if subscription.seat_group_key == holder.seat_group_key and one.seat_id is not None:
                    for move in seats.moves(self.book, who.number, subscription, one.seat_id, ORIGIN, FOREVER):
                        heir = Holder(holder.contract, move.to_seat_id, holder.seat_group_key)
                        if move.carry_balance and move.from_seat_id == one.seat_id and heir not in found:
                            found.append(heir)
        return found

    # ends

    def _end_contract(self, who: CustomerRow, contract: ContractRow, fact: ContractUpdated | ContractEnded) -> None:
        if fact.name is not None:
            contract.names = [*contract.names, (fact.time, fact.id, fact.name)]
            contract.name = max(contract.names)[2]
        since = FOREVER
        if fact.ending_before is not None:
            before = contract.ending_before()
            contract.ends = [*contract.ends, End(fact.time, fact.id, fact.ending_before)]
            since = min(before, contract.ending_before())
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=True)
        if fact.ending_before is not None:
            self._rebuild(who, since)

    # seats

    def _change_seats(self, who: CustomerRow, fact: SeatChange) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        contract = (
            self._contract(who, fact.contract_id) if fact.contract_id is not None else self._contract_of_edit(who, fact)
        )
        named = fact.subscription_id is not None or fact.feature_code is not None
        if named and contract.subscription(fact.subscription_id, fact.feature_code, fact.time) is None:
            name = fact.subscription_id or fact.feature_code
            raise _Missing(
                "unknown_subscription", "subscription_id", f"subscription {name} is not known yet", "subscription"
            )
        edited = seats.edit(self.book, who.number, contract, fact)
        if isinstance(edited, Refusal):
            if edited.code == "unknown_subscription":
                raise _Missing(edited.code, edited.field or "subscription_id", edited.message, "subscription")
            raise _Refuse(edited.code, edited.field, edited.message, edited.law, edited.details)
        carried = any(isinstance(operation, MoveSeat) and operation.carry_balance for operation in fact.operations)
        for brief in who.contracts:
            if brief.number == contract.number and carried:
                brief.carries = True
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=False)
        self._earn_anew(who, contract, edited)
        changed: dict[str, Instant] = {}
        for subscription, since in [(one.subscription, one.since) for one in edited.seats] + [
            (one.subscription, one.since) for one in edited.steps
        ]:
            changed[subscription.subscription_id] = min(changed.get(subscription.subscription_id, FOREVER), since)
        return (
            edited.results,
            [
                SeatsChanged(contract_id=contract.contract_id, subscription_id=id, since=since)
                for id, since in sorted(changed.items())
            ],
            ["ambiguous"],
        )

    def _earn_anew(self, who: CustomerRow, contract: ContractRow, edited: seats.Edited) -> None:
        """Slices follow the seats as known now (L10)."""
        for credit_type in who.credit_types:
            pooled = {
                row.given.subscription_id
                for row in contract.recurring
                if row.given.credit_type == credit_type and row.given.allocation == "pooled"
            }
            shared = [touched.since for touched in edited.steps if touched.subscription.subscription_id in pooled]
            holders: dict[Holder, Instant] = {}
            for touched in edited.seats:
                holder = Holder(contract.number, touched.seat_id, touched.subscription.seat_group_key)
                who.group_key(touched.subscription.seat_group_key)
                # What a seat earned decides what those earn that it was carried on to.
                for each in self._heirs_of(who, holder):
                    holders[each] = min(holders.get(each, FOREVER), touched.since)
            account = self._account(who, credit_type)
            brief = account.briefs[contract.number]
            if brief.carries and brief.carry:
                # Whoever was handed a debt pays it wherever debts are paid, from the move on.
                for holder in holders:
                    account.owe(holder)
                shared += holders.values()
            if shared:
                account.rebuild(min([*shared, *holders.values()]))
            if holders:
                account.rework(holders)

    def _contract_of_edit(self, who: CustomerRow, fact: SeatChange) -> ContractRow:
        """The contract whose window holds the edit's `time`; of several the only one that has the subscription (D24)."""
        holding = [brief for brief in who.contracts if brief.starting_at <= fact.time < brief.ending_before]
        if not holding:
            raise _Missing(
                "unknown_contract", "contract_id", "no contract of this customer holds the edit's time", "contract"
            )
        rows = [load_contract(self.book, who.number, brief.number) for brief in holding]
        if len(rows) > 1:
            named = [
                (one.subscription_id, one.feature_code)
                for one in (fact, *fact.operations)
                if (one.subscription_id, one.feature_code) != (None, None)
            ]
            rows = [row for row in rows if all(row.subscription(id, code, fact.time) is not None for id, code in named)]
        if len(rows) != 1:
            raise _Missing(
                "contract_ambiguous", "contract_id", "several contracts hold the edit's time; name one", "ambiguous"
            )
        return rows[0]

    # --- questions ---

    def balances(
        self,
        customer_id: str,
        at: Instant,
        *,
        contract_id: str | None = None,
        seat_id: str | None = None,
        credit_type: str | None = None,
    ) -> list[Balance]:
        return history.balances(
            self.book, customer_id, at, contract_id=contract_id, seat_id=seat_id, credit_type=credit_type
        )

    def entries(self, customer_id: str, until: Instant) -> list[Entry]:
        return history.entries(self.book, customer_id, until)

    def counts(self, customer_id: str, contract_id: str, at: Instant) -> list[Counts]:
        return history.counts(self.book, customer_id, contract_id, at)

    def holders(self, customer_id: str, contract_id: str, subscription_id: str, at: Instant) -> list[str]:
        return history.holders(self.book, customer_id, contract_id, subscription_id, at)

    def charges(self, customer_id: str, until: Instant) -> list[Charge]:
        return history.charges(self.book, customer_id, until)

    def contracts(self, customer_id: str) -> list[str]:
        row = self.book.load(CUSTOMER, customer_key(customer_id))
        return [] if row is None else sorted(brief.contract_id for brief in row.contracts)

    def customers(self) -> list[str]:
        # One of whom only refused facts are remembered is not known.
        return [
            text_of(key[1:])
            for key, row in self.book.scan(CUSTOMER, b"C", b"D")
            if row.contracts or row.credit_types or self.book.load(CONTRACT, contract_key(row.number, 0)) is not None
        ]

    def curve(self, customer_id: str, scope: Scope, times: list[Instant]) -> list[Window]:
        return history.curve(self.book, customer_id, scope, times)

    def available(self, scope: Scope, at: Instant, amount: Amount) -> tuple[bool, list[tuple[str, int | None, Amount]]]:
        return history.available(self.book, scope, at, amount)

    def next_due(self, customer_id: str, after: Instant) -> Instant | None:
        return history.next_due(self.book, customer_id, after)


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
