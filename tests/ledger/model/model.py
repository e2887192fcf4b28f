"""The model's face: the same questions and answers as the engine's, so that a test can drive both."""

from dataclasses import dataclass
from typing import Any

from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts, Entry, GrantBalance, Window
from ledger.facts import CREDITS, SEAT_ID, AnyFact, BurnVoided, CreditBurn, SeatChange, topic
from ledger.instants import DAY, Instant, Span
from ledger.outcome import FORGIVEN, Folded, Outcome, Refusal, Refused, Repeated, Scope, Waiting
from tests.ledger.model import charges, intake, seats
from tests.ledger.model.account import Account, Holding, scope_order
from tests.ledger.model.known import Accepted, Known, KnownContract, meant, touched


@dataclass(eq=False)
class Taken:
    """An identity that is taken: the first arrival, and what became of it (L4)."""

    fact: AnyFact
    arrived_at: Instant
    outcome: Folded | Refused | Waiting


class Model:
    """The ledger of one partition, recomputed on every question."""

    def __init__(
        self, *, lateness: Span, ahead: Span, wait: Span, wait_customer: int = 10_000, wait_partition: int = 100_000
    ) -> None:
        self._lateness, self._ahead, self._wait = lateness, ahead, wait
        self._wait_customer, self._wait_partition = wait_customer, wait_partition
        self._accepted: dict[str, list[Accepted]] = {}
        self._knowns: dict[str, tuple[int, Known]] = {}  # as of so many accepted facts
        self._taken: dict[tuple[str, str, str], Taken] = {}
        self._waiting: list[Taken] = []  # in the order of arrival
        self._settled: list[tuple[AnyFact, Outcome]] = []

    # --- facts --------------------------------------------------------------------------------------------------

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        """Takes a fact in; what had waited for it is folded with it, see `settled`."""
        self._settled = []
        first = self._taken.get(_identity(fact))
        if first is not None and not self._forgotten(first, arrived_at):
            return Repeated(first=first.outcome, differs=first.fact != fact)
        taken = Taken(fact, arrived_at, self._look_at(fact, arrived_at))
        if isinstance(taken.outcome, Waiting):
            taken.outcome = self._wait_or_refuse(taken.outcome, fact)
        self._remember(taken)
        if isinstance(taken.outcome, Waiting):
            self._waiting.append(taken)
        if isinstance(taken.outcome, Folded):
            self._settled = self._settle(fact.customer_id)
        return taken.outcome

    def settled(self) -> list[tuple[AnyFact, Outcome]]:
        """The waiting facts that the last `fold` decided as a consequence, in order."""
        return self._settled

    def advance(self, now: Instant) -> list[tuple[AnyFact, Outcome]]:
        """What stopped waiting because its time was over, in the order of arrival, each with what waited for it."""
        stopped: list[tuple[AnyFact, Outcome]] = []
        for taken in list(self._waiting):
            if taken in self._waiting and now > taken.arrived_at + self._wait:
                self._waiting.remove(taken)
                taken.outcome = self._wait_over(taken.fact)
                self._remember(taken)
                stopped.append((taken.fact, taken.outcome))
                if isinstance(taken.outcome, Folded):
                    stopped += self._settle(taken.fact.customer_id)
        return stopped

    def _look_at(self, fact: AnyFact, arrived_at: Instant) -> Folded | Refused | Waiting:
        """Lateness, clock, what it names, rules: in this order (D22)."""
        if min(intake.earliest(fact)) < arrived_at - self._lateness:
            return _refused("too_late", "time")
        if isinstance(fact, CreditBurn) and fact.time > arrived_at + self._ahead:
            return _refused("time_in_future", "time")
        return self._try(fact, arrived_at)

    def _try(self, fact: AnyFact, arrived_at: Instant) -> Folded | Refused | Waiting:
        known = self._known(fact.customer_id)
        try:
            contract_id = intake.resolve(known, fact)
        except intake.Missing as missing:
            return Waiting(message=f"{missing} is not known yet", code=missing.code)
        if isinstance(fact, BurnVoided):
            named = self._taken.get((fact.customer_id, "credit-burn", fact.burn_id))
            named_burn = named is not None and isinstance(named.outcome, Folded)
            if named is None or not named_burn or self._forgotten(named, arrived_at):
                return Waiting(message=f"burn {fact.burn_id} is not known any more", code="unknown_burn")
            # The first instant that it can change is the burn's (L16, M7).
            burned_at = [each.fact.time for each in known.burns if each.fact.id == fact.burn_id]
            if min(burned_at) < arrived_at - self._lateness:
                return _refused("too_late", "burn_id")
        try:
            intake.look_at_the_rules(known, self._accepted.get(fact.customer_id, []), fact, contract_id)
        except intake.Against as against:
            return Refused(refusal=against.refusal)
        return self._accept(fact, contract_id)

    def _accept(self, fact: AnyFact, contract_id: str | None) -> Folded:
        self._accepted.setdefault(fact.customer_id, []).append(Accepted(fact, contract_id))
        known = self._known(fact.customer_id)
        match fact:
            case CreditBurn():
                return Folded(result=_result_of_a_burn(known, fact))
            case SeatChange():
                assert contract_id is not None
                return Folded(result=_result_of_an_edit(known.contracts[contract_id], fact))
            case _:
                return Folded(result={})

    def _wait_or_refuse(self, waiting: Waiting, fact: AnyFact) -> Refused | Waiting:
        """Waiting is bounded for a customer and for the partition (L19)."""
        if fact.on_unknown == "refuse":
            return _refused(waiting.code)
        of_the_customer = [taken for taken in self._waiting if taken.fact.customer_id == fact.customer_id]
        if len(of_the_customer) >= self._wait_customer or len(self._waiting) >= self._wait_partition:
            return _refused("waiting_full")
        return waiting

    def _settle(self, customer_id: str) -> list[tuple[AnyFact, Outcome]]:
        """Tries the customer's waiting facts again: always the first to arrive that can be decided (M15)."""
        settled: list[tuple[AnyFact, Outcome]] = []
        for taken in [taken for taken in self._waiting if taken.fact.customer_id == customer_id]:
            outcome = self._try(taken.fact, taken.arrived_at)
            if not isinstance(outcome, Waiting):
                self._waiting.remove(taken)
                taken.outcome = outcome
                self._remember(taken)
                return [(taken.fact, outcome), *self._settle(customer_id)]
        return settled

    def _wait_over(self, fact: AnyFact) -> Folded | Refused:
        if isinstance(fact, CreditBurn) and fact.contract_id is None:
            known = self._known(fact.customer_id)
            if not any(contract.holds(fact.time) for contract in known.contracts.values()):
                contract_id = intake.when_the_wait_is_over(known, fact)
                if contract_id is not None:
                    return self._accept(fact, contract_id)
        return _refused("wait_over")

    def _remember(self, taken: Taken) -> None:
        """An identity is taken by what counts, by what waits and by refusals, but for those for what was missing (L4)."""
        key = _identity(taken.fact)
        if isinstance(taken.outcome, Refused) and taken.outcome.refusal.code in FORGIVEN:
            self._taken.pop(key, None)
        else:
            self._taken[key] = taken

    def _forgotten(self, first: Taken, arrived_at: Instant) -> bool:
        """Identities of burns live as long as a repeat would not be too late; the others for ever (L4, D25, M18)."""
        if topic(first.fact) != "credit-burn" or isinstance(first.outcome, Waiting):
            return False
        return arrived_at > max(first.fact.time, first.arrived_at) + self._lateness

    # --- questions ----------------------------------------------------------------------------------------------

    def customers(self) -> list[str]:
        """Those of whom a fact counts."""
        return sorted(self._accepted)

    def balances(
        self,
        customer_id: str,
        at: Instant,
        *,
        contract_id: str | None = None,
        seat_id: str | None = None,
        credit_type: str | None = None,
    ) -> list[Balance]:
        """One for each seat and pool that was given or burned anything by then, and for each seat assigned then."""
        account = self._account(customer_id, at)
        scopes = set(account.balance)
        have_some = {(scope.contract_id, scope.seat_group_key, scope.seat_id) for scope in scopes}
        for contract in account.known.contracts.values():
            for subscription in contract.subscriptions.values():
                key = subscription.seat_group_key
                sight = seats.at(seats.sights(subscription), at)
                for assigned in sight.assigned:
                    if (contract.contract_id, key, assigned) not in have_some:
                        scopes.add(_scope(customer_id, contract.contract_id, assigned, key))
        return [
            _balance(account, scope)
            for scope in sorted(scopes, key=scope_order)
            if contract_id in (None, scope.contract_id)
            and seat_id in (None, scope.seat_id)
            and credit_type in (None, scope.credit_type)
        ]

    def entries(self, customer_id: str, until: Instant) -> list[Entry]:
        """All lines up to the state after step 5 of `until`, in the order of L13 (M14)."""
        return self._account(customer_id, until).entries

    def counts(self, customer_id: str, contract_id: str, at: Instant) -> list[Counts]:
        contract = self._known(customer_id).contracts.get(contract_id)
        found: list[Counts] = []
        for subscription_id, subscription in sorted(contract.subscriptions.items() if contract else ()):
            seen = seats.sights(subscription)
            sight, settings = seats.at(seen, at), subscription.settings(at)
            included, paid = settings.included_seats or 0, charges.bill(subscription, at, seen).paid
            found.append(
                Counts(
                    subscription_id=subscription_id,
                    total=sight.total,
                    assigned=len(sight.assigned),
                    unassigned=sight.unassigned,
                    included=included,
                    extra=max(0, sight.total - included),
                    paid=paid,
                    pending_removals=max(0, paid - sight.total),
                    version=subscription.version,
                    feature_code=settings.feature_code,
                )
            )
        return found

    def holders(self, customer_id: str, contract_id: str, subscription_id: str, at: Instant) -> list[str]:
        contract = self._known(customer_id).contracts.get(contract_id)
        if contract is None or subscription_id not in contract.subscriptions:
            return []
        return sorted(seats.at(seats.sights(contract.subscriptions[subscription_id]), at).assigned)

    def charges(self, customer_id: str, until: Instant) -> list[Charge]:
        """What fell due at or before `until`."""
        found: list[Charge] = []
        for contract in self._known(customer_id).contracts.values():
            for subscription in contract.subscriptions.values():
                found += charges.bill(subscription, until, seats.sights(subscription)).charges
        due = [charge for charge in found if charge.time <= until]
        return sorted(due, key=lambda charge: (charge.time, charge.contract_id, charge.subscription_id, charge.kind))

    def curve(self, customer_id: str, scope: Scope, times: list[Instant]) -> list[Window]:
        """The first window holds everything before it (M17)."""
        windows: list[Window] = []
        for index, at in enumerate(times):
            account = self._account(customer_id, at)
            since = times[index - 1] if index else None
            # Burns of the instant before `since` had been in the window before: they are step 6, its state is step 5.
            entries = [entry for entry in account.entries if entry.scope == scope]
            before = len([e for e in self.entries(customer_id, since) if e.scope == scope]) if since is not None else 0
            held = _balance(account, scope)
            windows.append(
                Window(
                    time=at,
                    balance=held.balance,
                    granted=held.granted,
                    burned=-sum(entry.amount for entry in entries[before:] if entry.type in ("burned", "debt_paid")),
                    overage=sum(entry.beside for entry in entries[before:] if entry.type == "overage"),
                )
            )
        return windows

    def available(self, scope: Scope, at: Instant, amount: Amount) -> tuple[bool, list[tuple[str, int | None, Amount]]]:
        """Whether the scope may spend that at `at`, and what would pay, in L5 order."""
        account = self._account(scope.customer_id, at)
        if scope.contract_id is not None and scope.contract_id not in account.known.contracts:
            return False, []
        would_pay: list[tuple[str, int | None, Amount]] = []
        for holding in account.may_draw(scope, at):
            pays = min(holding.left, amount)
            if pays:
                would_pay.append((holding.grant_id, holding.slice, pays))
                amount -= pays
        return amount == 0, would_pay

    def next_due(self, customer_id: str, after: Instant) -> Instant | None:
        """Looks ahead, 400 days at most, for the first instant at which something happens by itself (M19)."""
        for days in (3, 40, 400):
            due = [at for at in self._due(customer_id, after + days * DAY) if after < at <= after + days * DAY]
            if due:
                return min(due)
        return None

    def _due(self, customer_id: str, until: Instant) -> set[Instant]:
        """Starts, ends, rises, removals and moves of credit, recurrences, resets, seats, billing periods up to then."""
        account = self._account(customer_id, until)
        due = {reset.time for reset in account.known.resets} | account.happened
        for contract in account.known.contracts.values():
            for subscription in contract.subscriptions.values():
                seen = seats.sights(subscription)
                due |= {
                    sight.at
                    for sight in seen
                    if (sight.assigned, sight.unassigned)
                    != ((before := seats.before(seen, sight.at)).assigned, before.unassigned)
                }
                due |= set(charges.bill(subscription, until, seen).period_starts)
        return due

    def _known(self, customer_id: str) -> Known:
        """Recomputed whenever another fact counts."""
        accepted = self._accepted.get(customer_id, [])
        count, known = self._knowns.get(customer_id, (-1, None))
        if known is None or count != len(accepted):
            known = Known(customer_id, accepted)
            self._knowns[customer_id] = len(accepted), known
        return known

    def _account(self, customer_id: str, at: Instant) -> Account:
        return Account(self._known(customer_id), at)


def _identity(fact: AnyFact) -> tuple[str, str, str]:
    return fact.customer_id, topic(fact), fact.id


def _refused(code: str, field: str | None = None) -> Refused:
    return Refused(refusal=Refusal(code=code, field=field, message=code))


def _scope(customer_id: str, contract_id: str | None, seat_id: str | None, key: str = SEAT_ID) -> Scope:
    return Scope(
        customer_id=customer_id, contract_id=contract_id, seat_id=seat_id, seat_group_key=key, credit_type=CREDITS
    )


def _balance(account: Account, scope: Scope) -> Balance:
    active = account.active(scope)
    return Balance(
        scope=scope,
        balance=sum(holding.left for holding in active),
        granted=sum(holding.granted for holding in active),
        overage=account.overage(scope),
        grants=tuple(_grant_balance(holding) for holding in active),
    )


def _grant_balance(holding: Holding) -> GrantBalance:
    return GrantBalance(
        grant_id=holding.grant_id,
        slice=holding.slice,
        balance=holding.left,
        granted=holding.granted,
        amount=holding.amount,
        priority=holding.priority,
        effective_at=holding.effective_at,
        expires_at=holding.expires_at,
        subscription_id=holding.credit.definition.subscription_id if holding.credit else None,
    )


def _result_of_a_burn(known: Known, burn: CreditBurn) -> dict[str, Any]:
    """What each grant paid, as of now, and what none did."""
    paid = Account(known, burn.time, with_burns=True).paid[burn.id]
    return {
        "paid": [[holding.grant_id, holding.slice, amount, _kind(holding.scope)] for holding, amount in paid.by],
        "overage": paid.overage,
    }


def _kind(scope: Scope) -> str:
    if scope.contract_id is None:
        return "customer"
    return "contract" if scope.seat_id is None else "seat"


def _result_of_an_edit(contract: KnownContract, edit: SeatChange) -> dict[str, Any]:
    """For each subscription its counts just before the edit's first instant and at its last (M16)."""
    result: dict[str, Any] = {}
    for subscription in touched(contract, edit):
        instants = [each.starting_at for each in edit.operations if meant(contract, edit, each) is subscription]
        seen = seats.sights(subscription)
        old = seats.before(seen, min(instants, default=edit.time))
        new = seats.at(seen, max(instants, default=edit.time))
        result[subscription.definition.subscription_id] = {
            "version": subscription.version,
            "previous_quantity": old.total,
            "quantity": new.total,
            "assigned": len(new.assigned),
            "added": sorted(new.assigned - old.assigned),
            "removed": sorted(old.assigned - new.assigned),
        }
    return result
