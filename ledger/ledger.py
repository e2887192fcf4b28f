"""The ledger: facts in, outcomes out.

`Ledger.fold` looks at a fact in the order of D22: is it known already (L4), too late (L16), in the future, does it name
what is not known yet (L19), does it break a rule. Then the rows change, and what was burned since is played again where
the past changed. Questions are asked of `ledger.history`.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

import msgspec

from ledger import ageing, entries, history, leaving, seats
from ledger.account_rows import Burn
from ledger.agreements import Agreements
from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts, Entry, Window
from ledger.balances import Account
from ledger.contracts import (
    CONTRACT,
    CUSTOMER,
    ContractBrief,
    CountRow,
    CustomerRow,
    contract_key,
    customer,
    customer_key,
    load_contract,
)
from ledger.facts import (
    AnyFact,
    BurnVoided,
    ContractCreated,
    CreditBurn,
    CreditsGranted,
    RecurringCreditAdded,
    SubscriptionAdded,
    SubscriptionUpdated,
)
from ledger.grants import Holder, holder_key
from ledger.history import scope_of
from ledger.identities import burn_result, digest_of
from ledger.instants import ORIGIN, Instant, Span
from ledger.known_rows import KnownRow
from ledger.outcome import Changed, EverySeat, Folded, Outcome, Refusal, Refused, Repeated, Scope, Waiting
from ledger.partition import AMBIGUOUS, AtHand, Missing, Refuse, ambiguous
from ledger.rows import after, instant_key, number_key, text_key, text_of, written
from ledger.waiting_rows import DUE, WAITING, WAITING_COUNT, WaitingRow

#: How many credit types, and seat group keys, a customer may have.
NAMES = 1_000
_encode = msgspec.json.Encoder().encode
_decode_fact = msgspec.json.Decoder(AnyFact).decode


class Ledger(Agreements):
    """One partition's ledger over its rows. What was folded is in the rows after `flush`."""

    def age(self, most: int) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Lets up to `most` burns before the horizon age, as `ageing.age` says, and then what lies behind floors leave; only
        between `flush` and the next fold."""
        gone, more = ageing.age(self.book, self.horizon, most)
        self._aged_until = ageing.aged_until(self.book)
        return gone, more or leaving.leave(self.book, self.closed_before, most, self._let_go)

    def come_to(self, clock: Instant, history: Span) -> None:
        """Time has passed: from here on this is the horizon."""
        self.horizon = self.closed_before = ageing.horizon(clock, history, self.lateness, self.wait)

    # --- folding ---

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        """The outcome of a fact that arrived at `arrived_at`: `ORIGIN` where no clock has said yet what time it is, so that
        nothing is late or ahead. What had waited for it is in `settled`."""
        self._settled = []
        if type(fact) is CreditBurn:
            quickly = self._burn_quickly(fact, arrived_at)
            if quickly is not None:
                return quickly
        outcome, woken = self._fold_one(fact, arrived_at)
        if type(outcome) is not Repeated and (type(outcome) is not Folded or type(fact) is not CreditBurn):
            self._unusual.add(fact.customer_id)
        self._wake(fact.customer_id, woken)
        return outcome

    def _burn_quickly(self, fact: CreditBurn, arrived_at: Instant) -> Folded | None:
        """The usual burn: new, in time, of a contract that is known, in the newest stretch of its account. None, and nothing
        done, for any other."""
        at_hand = self._at_hand.get(fact.customer_id)
        if at_hand is None:
            key = customer_key(fact.customer_id)
            row = self.book.load(CUSTOMER, key)
            if row is None:
                return None
            at_hand = AtHand(row, key, self._accounts.setdefault(row.number, {}))
            self._at_hand[fact.customer_id] = at_hand
            self.book.staying[key] = row
        who = at_hand.row
        time = fact.time
        if (
            who.waiting
            or time < arrived_at - self.lateness
            or time > arrived_at + self.ahead
            or time < self._aged_until
        ):
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
        account = at_hand.accounts.get(fact.credit_type)
        if account is None:
            if fact.credit_type not in who.credit_types:
                return None
            account = self._account(who, fact.credit_type)
        id = fact.id
        id_key = id.encode()
        ending = at_hand.known + id_key
        since, until, ends, this, before, following = self._known
        if not since <= arrived_at < until:
            since, until, ends, this, before, following = self._known = self._generations_at(arrived_at)
            if until <= arrived_at:
                return None
        get = self._get
        if (
            get("trail", this + ending) is not None
            or get("trail", before + ending) is not None
            or (following is not None and get("trail", following + ending) is not None)
            or (arrived_at <= who.ahead_until and get("state", self._identity_key(who, fact, None)) is not None)
        ):
            return None
        burned = account.burn_quickly(brief, fact.seat_id, fact.seat_group_key, time, id, id_key, fact.amount)
        if burned is None:
            return None
        seat, paid, pool = burned
        latest = time if time > arrived_at else arrived_at
        self.book.rows.put(
            "trail",
            (this if following is None or latest < ends else following) + ending,
            written(
                KnownRow(digest_of(fact), latest + self.lateness, paid, seat.key, account.number, time, fact.amount)
            ),
        )
        scope = seat.scope
        if scope is None:
            if fact.seat_id is None:
                scope = self._pool(account, fact.customer_id, brief.number)
            else:
                scope = Scope(
                    customer_id=fact.customer_id,
                    contract_id=brief.contract_id,
                    seat_id=fact.seat_id,
                    seat_group_key=fact.seat_group_key,
                    credit_type=fact.credit_type,
                )
            seat.scope = scope
        changed: tuple[Changed | EverySeat, ...] = (Changed(scope=scope, since=time),)
        if brief.carry and paid and not paid[-1][0]:
            account.touch_burn(seat.key, time)
            changed = self._changed(fact.customer_id, who)
        elif pool is not None and (fact.seat_id is not None or not pool):
            changed = (Changed(scope=self._pool(account, fact.customer_id, pool), since=time), *changed)
        return Folded(result=burn_result(paid), changed=changed)

    def _pool(self, account: Account, customer_id: str, contract: int) -> Scope:
        pool = account.pools.get(contract)
        if pool is None:
            pool = scope_of(customer_id, account.customer, Holder(contract), account.credit_type)
            account.pools[contract] = pool
        return pool

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
            self._unusual.add(fact.customer_id)
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
        digest = digest_of(fact)
        if known is not None:
            return Repeated(first=self._first_outcome(who, fact, known), differs=known.digest != digest), []
        try:
            self._check_times(fact, arrived_at)
            outcome, row, woken = self._accept(who, fact, arrived_at, digest)
        except Refuse as refused:
            return self._refuse(known_key, digest, fact, arrived_at, refused.refusal), []
        except Missing as missing:
            waiting = self._start_waiting(who, fact, arrived_at, missing)
            if isinstance(waiting, Waiting):
                self._remember(known_key, self._known_by(digest, fact, arrived_at, waiting))
            return waiting, []
        self._remember(known_key, row)
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
            case SubscriptionUpdated():
                named = [fact.changes]
            case _:
                return
        for field, known in (("credit_type", who.credit_types), ("seat_group_key", who.seat_group_keys)):
            said = {name for one in named if (name := getattr(one, field, None)) is not None}
            new = said.difference(known)
            if new and len(known) + len(new) > NAMES:
                raise Refuse("too_large", field, f"is one too many: a customer has at most {NAMES}", "L19")

    def _accept(
        self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, digest: int
    ) -> tuple[Outcome, KnownRow, list[str]]:
        self._check_names(who, fact)
        if isinstance(fact, CreditBurn):
            brief = self._contract_of_burn(who, fact)
            folded, row = self._burn_known(who, fact, arrived_at, digest, brief)
            return folded, row, [f"burn:{fact.id}"] if who.waiting else []
        if isinstance(fact, BurnVoided):
            self._void_burn(who, fact, arrived_at)
            folded = Folded(result={}, changed=self._changed(fact.customer_id, who))
            return folded, self._known_by(digest, fact, arrived_at, Folded(result={})), []
        result, seats_changed, woken = self._change(who, fact)
        folded = Folded(result=result, changed=self._changed(fact.customer_id, who), seats_changed=tuple(seats_changed))
        return folded, self._known_by(digest, fact, arrived_at, Folded(result=result)), woken

    def _burn_known(
        self, who: CustomerRow, fact: CreditBurn, arrived_at: Instant, digest: int, brief: ContractBrief
    ) -> tuple[Folded, KnownRow]:
        """Folds a burn, and says what is remembered of it."""
        holder, paid = self._burn(who, fact, brief)
        credit_type = who.credit_types.index(fact.credit_type)
        until = self._until(fact, arrived_at)
        row = KnownRow(digest, until, paid, holder_key(who, holder), credit_type, fact.time, fact.amount)
        return Folded(result=burn_result(paid), changed=self._changed(fact.customer_id, who)), row

    # --- waiting ---

    def _wake(self, customer_id: str, woken: list[str]) -> None:
        """Folds what waited for something that is known now: always the first to arrive of what can be decided (D32)."""
        who = customer(self.book, customer_id)
        tried: list[tuple[bytes, bytes]] = []
        while who.waiting:
            for name in woken:
                prefix = b"W" + number_key(who.number) + (name.encode() if name == AMBIGUOUS else text_key(name))
                for key, _ in self.book.scan(WAITING, prefix, after(prefix)):
                    heappush(tried, (key[-8:], key))
            if not tried:
                return
            self.book.breathe()
            _, key = heappop(tried)
            while tried and tried[0][1] == key:
                heappop(tried)  # woken twice
            row = self.book.load(WAITING, key)
            woken = [] if row is None else self._try_again(who, customer_id, key, row)

    def _try_again(self, who: CustomerRow, customer_id: str, key: bytes, row: WaitingRow) -> list[str]:
        """Looks again at a fact that waited. Answers what else is known with it."""
        fact = _decode_fact(row.fact)
        self._unusual.add(customer_id)
        self._stop_waiting(customer_id, key, row.due_key)
        _, first = self._identity(who, fact, row.arrived_at)
        digest = self._forget(who, fact, row.arrived_at)
        known_key, _ = self._identity(who, fact, row.arrived_at)
        try:
            outcome, known, woken = self._accept(who, fact, row.arrived_at, digest)
        except Refuse as refused:
            self._settled.append((fact, self._refuse(known_key, digest, fact, row.arrived_at, refused.refusal)))
            return []
        except Missing as missing:
            # Whatever it waits for now, a repeat answers what was said first (L4).
            if first is not None:
                self._remember(known_key, first)
            who.waiting += 1
            counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(0)
            counted.count += 1
            self.book.save(WAITING_COUNT, b"#waiting", counted)
            self._put_waiting(who, fact, row.arrived_at, missing, int.from_bytes(key[-8:], "big"))
            return []
        self._remember(known_key, known)
        self._settled.append((fact, outcome))
        return woken

    def _wait_over(self, fact: AnyFact, row: WaitingRow) -> Outcome:
        who = customer(self.book, fact.customer_id)
        digest = self._forget(who, fact, row.arrived_at)
        if isinstance(fact, CreditBurn) and fact.contract_id is None and row.code == "unknown_contract":
            brief = self._nearest_contract(who, fact.time)
            if brief is not None:
                known_key, _ = self._identity(who, fact, row.arrived_at)
                try:
                    self._check_names(who, fact)
                except Refuse as refused:
                    return self._refuse(known_key, digest, fact, row.arrived_at, refused.refusal)
                folded, known = self._burn_known(who, fact, row.arrived_at, digest, brief)
                self._remember(known_key, known)
                return folded
        return Refused(refusal=Refusal(code="wait_over", message=f"{row.message}, and did not come in time", law="L19"))

    # --- burns ---

    def _contract_of_burn(self, who: CustomerRow, fact: CreditBurn) -> ContractBrief:
        if fact.contract_id is not None:
            brief = who.brief(fact.contract_id)
            if brief is None:
                raise Missing(
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
            raise Missing(
                "unknown_contract", "contract_id", "no contract of this customer holds the burn's time", "contract"
            )
        seated = [
            brief
            for brief in holding
            if fact.seat_id is not None and self._sits(who, brief, fact.seat_id, fact.seat_group_key, fact.time)
        ]
        if len(seated) == 1:
            return seated[0]
        wakes = AMBIGUOUS if fact.seat_id is None else ambiguous(fact.seat_group_key, fact.seat_id)
        raise Missing("contract_ambiguous", "contract_id", "several contracts hold the burn's time; name one", wakes)

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
            return min(ended, key=lambda brief: (-brief.ending_before, -brief.starting_at, brief.contract_id))
        return min(who.contracts, key=lambda brief: (brief.starting_at, brief.contract_id), default=None)

    def _burn(
        self, who: CustomerRow, fact: CreditBurn, brief: ContractBrief
    ) -> tuple[Holder, list[tuple[str, Amount]]]:
        if fact.seat_id is None:
            holder = Holder(brief.number)
        else:
            who.group_key(fact.seat_group_key)
            holder = Holder(brief.number, fact.seat_id, fact.seat_group_key)
        self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
        paid = self._account(who, fact.credit_type).burn(holder, fact.time, fact.id, fact.amount)
        return holder, paid

    def _void_burn(self, who: CustomerRow, fact: BurnVoided, arrived_at: Instant) -> None:
        probe = CreditBurn(id=fact.burn_id, customer_id=fact.customer_id, time=fact.time, amount=1)
        # A void that waited may be older than the burn that it waited for.
        key, known = self._identity(who, probe, arrived_at, later=self.wait)
        if known is None or known.paid is None:
            raise Missing("unknown_burn", "burn_id", f"burn {fact.burn_id} is not known", f"burn:{fact.burn_id}")
        if known.time < max(arrived_at - self.lateness, self.horizon):
            raise Refuse("too_late", "burn_id", "names a burn further back than the lateness bound", "L16")
        if known.voided:
            return
        known.voided = True
        self._remember(key, known)
        account = self._account(who, who.credit_types[known.credit_type])
        account.unburn(Burn(known.time, fact.burn_id, known.amount, known.holder))

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

    def balance(self, scope: Scope, at: Instant) -> Balance:
        """What one scope has at an instant."""
        return history.balance(self.book, scope, at)

    def scopes(self, customer_id: str, changed: Changed | EverySeat, behind: Scope | None = None) -> Iterator[Scope]:
        return history.scopes(self.book, customer_id, changed, behind)

    def entries(
        self,
        customer_id: str,
        until: Instant,
        *,
        scope: Scope | None = None,
        since: Instant = ORIGIN,
        behind: Entry | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """The lines of an account, or of one scope, up to an instant, from `since` on; at most `limit` of them, `behind` one of
        a page before."""
        return entries.entries(self.book, customer_id, until, scope=scope, since=since, behind=behind, limit=limit)

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
        return entries.curve(self.book, customer_id, scope, times)

    def available(self, scope: Scope, at: Instant, amount: Amount) -> tuple[bool, list[tuple[str, int | None, Amount]]]:
        return history.available(self.book, scope, at, amount)

    def next_due(self, customer_id: str, after: Instant) -> Instant | None:
        """When anything of a customer may happen by itself next, strictly after an instant (L17)."""
        return history.next_due(self.book, customer_id, after)

    def whose_due(self, customer_id: str, at: Instant) -> list[Changed | EverySeat]:
        """To whom something may happen by itself at an instant; `scopes` tells them one by one."""
        return history.whose_due(self.book, customer_id, at)
