"""The account of one customer: one sweep over all instants, in the order of L13, with everything that is known."""

from dataclasses import dataclass, field

from ledger.amounts import Amount
from ledger.answers import Entry, EntryType
from ledger.facts import (
    SEAT_ID,
    AnyFact,
    CreditBurn,
    CreditsAdjusted,
    CreditsVoided,
    PeriodReset,
    Recurrence,
    Rollover,
    topic,
)
from ledger.instants import FOREVER, Instant
from ledger.outcome import LawBroken, Scope
from tests.ledger.model import earning, seats
from tests.ledger.model.earning import Earned
from tests.ledger.model.known import Accepted, Known, KnownContract, KnownCredit, KnownSubscription
from tests.ledger.model.seats import Carry, Sight

Named = tuple[str | None, int | None, str | None, int]


@dataclass(eq=False, slots=True, kw_only=True)
class Holding:
    """One grant, or one slice, at one place: a carried move ends it there and begins another elsewhere."""

    scope: Scope
    grant_id: str
    slice: int | None
    path: tuple[str, ...]  # the seats that it was carried from, the first one first
    placed_at: Instant  # the instant of the move that brought it here; before all instants if none did
    fact: AnyFact  # what granted it
    amount: Amount  # what it is given in full
    burn_class: str
    priority: int
    effective_at: Instant
    expires_at: Instant
    starts_at: Instant = 0  # the window, cut by the contract's and by voids
    ends_at: Instant = 0
    voided_by: CreditsVoided | None = None
    recurrence: Recurrence | None = None
    rollover: Rollover | None = None
    credit: KnownCredit | None = None
    rises: tuple[tuple[Instant, Amount], ...] = ()
    left: Amount = 0
    granted: Amount = 0
    sums: dict[str, Amount] = field(default_factory=dict)
    live: bool = False
    revoked_at: Instant | None = None
    revoked: Amount = 0

    @property
    def rank(self) -> tuple[object, ...]:
        """L5, and what makes it total: slice, then where it came from (D16), a contract's before the customer's (M9)."""
        return (
            self.burn_class != "rolled_over",
            self.priority,
            self.expires_at,
            self.effective_at,
            self.fact.time,
            self.grant_id,
            -1 if self.slice is None else self.slice,
            self.path,
            self.scope.contract_id is None,
        )

    @property
    def named(self) -> "Named":
        """What a line of it says: its id and slice, who had been given it before all moves, and how many those were."""
        return self.grant_id, self.slice, next(iter(self.path), None), len(self.path)

    @property
    def order(self) -> tuple[object, ...]:
        """The order in which what happens to several at one instant is written down."""
        return (*scope_order(self.scope), self.grant_id, -1 if self.slice is None else self.slice, self.path)


@dataclass
class Paid:
    """What became of a burn: what each grant paid, in L5 order, and what none covered."""

    by: list[tuple[Holding, Amount]]
    overage: Amount


def scope_order(scope: Scope) -> tuple[object, ...]:
    pool_first = scope.seat_id is not None
    return (scope.credit_type, scope.contract_id or "", pool_first, scope.seat_group_key, scope.seat_id or "")


class Account:
    """Everything that happened to a customer's credits up to an instant (L13's step 5 of it; or step 6 too)."""

    def __init__(self, known: Known, until: Instant, *, with_burns: bool = False) -> None:
        self.known = known
        self.entries: list[Entry] = []
        self.written: dict[Holding, None] = {}  # what L14 has to be looked at for
        self.holdings: list[Holding] = []  # those that have started
        self.balance: dict[Scope, Amount] = {}  # the sums of the entries; its keys: who was given or burned anything
        self.debt: dict[Scope, Amount] = {}
        self.over_since_reset: dict[Scope, Amount] = {}
        self.paid: dict[str, Paid] = {}
        self.happened: set[Instant] = set()  # when something started, ended, recurred, was raised or came back
        self.burned_at_most = until if with_burns else until - 1

        self.seen: dict[tuple[str, str], list[Sight]] = {}
        for contract in known.contracts.values():
            for subscription in contract.subscriptions.values():
                self.seen[contract.contract_id, subscription.definition.subscription_id] = seats.sights(subscription)
        self.carries = {contract_id: self._carries_of(contract) for contract_id, contract in known.contracts.items()}
        # "The slice that started last" is asked about instants of voids and adjustments, which may lie ahead.
        asked = [void.voided_at for void in known.voids] + [fact.time for fact in known.adjustments]
        self.earned = self._all_earned(max([until, *asked]))
        self.coming = self._granted() + self._sliced()
        for holding in self.coming:
            self._set_window(holding)
        self.coming = sorted(
            (each for each in self.coming if each.starts_at < each.ends_at), key=lambda each: each.order
        )
        self.burns = [
            each
            for each in sorted(known.burns, key=lambda each: (each.fact.time, each.fact.id))
            if each.fact.id not in known.voided_burns and each.fact.time <= self.burned_at_most
        ]
        #: When each of them starts or is raised, for who asks at every instant.
        self.rising: dict[Instant, list[Holding]] = {}
        for holding in self.coming:
            for at in {holding.starts_at, *(at for at, _ in holding.rises)}:
                self.rising.setdefault(at, []).append(holding)
        self.instants = sorted(at for at in self._instants(until) if at <= until)
        for at in self.instants:
            self._pass(at)
        if any(total != self._held(scope) for scope, total in self.balance.items()):
            raise LawBroken("L14", f"{known.customer_id}: entries do not sum to the balance")

    # --- what will happen ---------------------------------------------------------------------------------------

    def _carries_of(self, contract: KnownContract) -> list[tuple[Instant, Carry]]:
        found = [
            (sight.at, carry)
            for subscription_id in contract.subscriptions
            for sight in self.seen[contract.contract_id, subscription_id]
            for carry in sight.carries
        ]
        return sorted(found, key=lambda each: each[1].sequence)

    def _all_earned(self, until: Instant) -> dict[tuple[str | None, str], Earned]:
        result: dict[tuple[str | None, str], Earned] = {}
        for contract_id, contract in self.known.contracts.items():
            for credit_id, credit in contract.credits.items():
                linked = credit.definition.subscription_id
                seen = [] if linked is None else self.seen[contract_id, linked]
                result[contract_id, credit_id] = earning.earned(credit, until, seen, self.carries[contract_id])
        return result

    def _granted(self) -> list[Holding]:
        known_grants = [*self.known.grants.values()]
        for contract in self.known.contracts.values():
            known_grants += contract.grants.values()
        holdings: list[Holding] = []
        for each in known_grants:
            grant, contract_id = each.grant, None if each.contract is None else each.contract.contract_id
            holdings.append(
                Holding(
                    scope=self._scope(contract_id, grant.seat_id, grant.seat_group_key, grant.credit_type),
                    grant_id=grant.grant_id,
                    slice=None,
                    path=(),
                    placed_at=-FOREVER,
                    fact=each.fact,
                    amount=grant.amount,
                    burn_class=grant.burn_class,
                    priority=grant.priority,
                    effective_at=grant.effective_at,
                    expires_at=grant.expires_at,
                    recurrence=grant.recurrence,
                    rollover=grant.rollover,
                )
            )
        return holdings

    def _sliced(self) -> list[Holding]:
        return [
            Holding(
                scope=self._scope(
                    contract_id, slice.seat_id, slice.seat_group_key, slice.credit.definition.credit_type
                ),
                grant_id=credit_id,
                slice=slice.period.slice,
                path=(),
                placed_at=-FOREVER,
                fact=slice.credit.fact,
                amount=slice.amount,
                burn_class="standard",
                priority=slice.period.settings.priority,
                effective_at=slice.starts_at,
                expires_at=slice.period.expires_at,
                rollover=slice.period.settings.rollover,
                credit=slice.credit,
                rises=tuple(slice.rises),
            )
            for (contract_id, credit_id), earned in self.earned.items()
            for slice in earned.slices
        ]

    def _scope(self, contract_id: str | None, seat_id: str | None, key: str, credit_type: str) -> Scope:
        return Scope(
            customer_id=self.known.customer_id,
            contract_id=contract_id,
            seat_id=seat_id,
            seat_group_key=SEAT_ID if seat_id is None else key,
            credit_type=credit_type,
        )

    def _set_window(self, holding: Holding) -> None:
        """[effective_at, the earliest end), cut by the contract's window (L2, L12)."""
        holding.starts_at, holding.ends_at = holding.effective_at, holding.expires_at
        if holding.scope.contract_id is not None:
            contract = self.known.contracts[holding.scope.contract_id]
            holding.starts_at = max(holding.starts_at, contract.starting_at)
            holding.ends_at = min(holding.ends_at, contract.ending_before)
        void = self._void_of(holding)
        if void is not None and void.voided_at < holding.ends_at:
            holding.ends_at, holding.voided_by = void.voided_at, void

    def _void_of(self, holding: Holding) -> CreditsVoided | None:
        """Of all voids that address it the one with the latest (time, id) (D18)."""
        voids = [void for void in self.known.voids if self._addresses(void, holding)]
        return max(voids, key=lambda void: (void.time, void.id), default=None)

    def _addresses(self, void: CreditsVoided, holding: Holding) -> bool:
        """A void speaks of what sits at the seat that it names, or at any; not of what comes there only later (M10)."""
        if (void.contract_id, void.grant_id) != (holding.scope.contract_id, holding.grant_id):
            return False
        if void.seat_id not in (None, holding.scope.seat_id) or void.voided_at <= holding.placed_at:
            return False
        if holding.slice is None or void.slice is not None:
            return void.slice == holding.slice
        earned = self.earned[holding.scope.contract_id, holding.grant_id]
        return holding.slice == earned.started_last(holding.scope.seat_id, void.voided_at, carried_before=True)

    def _instants(self, until: Instant) -> set[Instant]:
        """Every instant at which something may happen; one at which nothing does is harmless."""
        instants: set[Instant] = {until} if until < FOREVER else set()
        for contract in self.known.contracts.values():
            instants |= {contract.starting_at, contract.ending_before}
        for holding in self.coming:
            instants |= {holding.starts_at, holding.ends_at, holding.expires_at, *(at for at, _ in holding.rises)}
            # To where it expires: a void may end it here, and not where it is carried to.
            instants |= _recurs_at(holding, until, holding.expires_at)
        for history in self.seen.values():
            instants |= {sight.at for sight in history}
        instants |= {void.voided_at for void in self.known.voids}
        instants |= {fact.time for fact in (*self.known.resets, *self.known.adjustments)}
        return instants | {each.fact.time for each in self.burns}

    # --- one instant (L13) --------------------------------------------------------------------------------------

    def _pass(self, at: Instant) -> None:
        self._end(at)
        self._remove_seats(at)
        for reset in sorted(self.known.resets, key=lambda fact: fact.id):
            if reset.time == at:
                self._reset(reset)
        self._recur(at)
        self._move(at)
        self._restore(at)
        self._start(at)
        for adjustment in sorted(self.known.adjustments, key=lambda fact: fact.id):
            if adjustment.time == at:
                self._adjust(adjustment)
        self._pay_debts(at)
        for burn in self.burns:
            if burn.fact.time == at:
                self._burn(burn)
        self._check(at)

    def _end(self, at: Instant) -> None:
        """Step 1: what is left at a grant's end is lost (L12)."""
        for holding in self._live():
            if holding.ends_at <= at:
                self.happened.add(at)
                by = holding.voided_by
                self._write(at, holding, "voided" if by else "expired", -holding.left, by or holding.fact)
                holding.live = False

    def _remove_seats(self, at: Instant) -> None:
        """Step 1: where the subscription says so a removal ends what the seat was given under it (L10, D6)."""
        for subscription, sight in self._sights_at(at):
            settings = subscription.settings(at)
            if not settings.revoke_on_removal:
                continue
            for seat_id, edit in sorted(sight.removed.items()):
                for holding in self._at_seat(subscription, seat_id, subscription.seat_group_key):
                    if holding.live:
                        self.happened.add(at)
                        holding.revoked_at, holding.revoked = at, holding.left
                        self._write(at, holding, "voided", -holding.left, edit)
                        holding.live = False

    def _reset(self, reset: PeriodReset) -> None:
        """Step 2: what was active before keeps what its rollover lets it; a carried debt is forgiven (L9, D19)."""
        for holding in self._live():
            touched = holding.slice is None or holding.rollover is not None
            if holding.scope.contract_id != reset.contract_id or holding.starts_at >= reset.time or not touched:
                continue
            kept = 0
            if holding.rollover is not None:
                at_most = holding.left if holding.rollover.max is None else holding.rollover.max
                kept = max(min(holding.left, at_most), holding.rollover.min)
            change = kept - holding.left
            self._write(reset.time, holding, "lifted" if change > 0 else "forfeited", change, reset)
            holding.granted = kept
        if reset.contract_id is None:
            return
        for scope in sorted(self.debt, key=scope_order):
            if scope.contract_id == reset.contract_id and self.debt[scope] and not reset.preserve_overage:
                self._beside(reset.time, scope, "debt_forgiven", -self.debt[scope], reset)
                self.debt[scope] = 0
        for scope in self.over_since_reset:
            if scope.contract_id == reset.contract_id:
                self.over_since_reset[scope] = 0

    def _recur(self, at: Instant) -> None:
        """Step 3: at the grid points strictly inside its window a grant is set to its amount (L8)."""
        for holding in self._live():
            if holding.starts_at < at and at in _recurs_at(holding, at, holding.ends_at):
                self.happened.add(at)
                change = holding.amount - holding.left
                self._write(at, holding, "lifted" if change > 0 else "forfeited", change, holding.fact)
                holding.granted = holding.amount

    def _move(self, at: Instant) -> None:
        """Step 4: a carried move takes what is active at `from`, and its debts, along to `to` (L11, D20)."""
        for contract_id, carries in self.carries.items():
            for carry in (carry for when, carry in carries if when == at):
                whose = (contract_id, carry.seat_group_key, carry.from_seat_id)
                for holding in self._live():
                    if (holding.scope.contract_id, holding.scope.seat_group_key, holding.scope.seat_id) == whose:
                        self._carry(at, holding, carry)
                for scope in sorted(self.debt, key=scope_order):
                    debt = self.debt[scope]
                    if (scope.contract_id, scope.seat_group_key, scope.seat_id) == whose and debt:
                        to = self._scope(contract_id, carry.to_seat_id, carry.seat_group_key, scope.credit_type)
                        self._beside(at, scope, "moved_out", -debt, carry.edit)
                        self._beside(at, to, "moved_in", debt, carry.edit)
                        self.debt[scope], self.debt[to] = 0, self.debt.get(to, 0) + debt

    def _carry(self, at: Instant, holding: Holding, carry: Carry) -> None:
        old = holding.scope
        arrived = Holding(
            scope=self._scope(old.contract_id, carry.to_seat_id, carry.seat_group_key, old.credit_type),
            grant_id=holding.grant_id,
            slice=holding.slice,
            path=(*holding.path, carry.from_seat_id),
            placed_at=at,
            fact=holding.fact,
            amount=holding.amount,
            burn_class=holding.burn_class,
            priority=holding.priority,
            effective_at=holding.effective_at,
            expires_at=holding.expires_at,
            recurrence=holding.recurrence,
            rollover=holding.rollover,
            credit=holding.credit,
        )
        self._set_window(arrived)
        left = holding.left
        self._write(at, holding, "moved_out", -left, carry.edit)
        holding.live = False
        self._open(arrived)
        self._write(at, arrived, "moved_in", left, carry.edit)
        arrived.granted = holding.granted

    def _restore(self, at: Instant) -> None:
        """Step 4: a seat that returns within the period gets back what its removal revoked, as it was left (L10, D7)."""
        for subscription, sight in self._sights_at(at):
            key = subscription.seat_group_key
            for seat_id, edit in sorted(sight.came.items()):
                for holding in self._at_seat(subscription, seat_id, key):
                    if holding.revoked_at is None or holding.revoked_at == at or holding.credit is None:
                        continue
                    definition = holding.credit.definition
                    n = definition.every.index(definition.anchor, holding.revoked_at)
                    if at < holding.ends_at and at < definition.every.point(definition.anchor, n + 1):
                        holding.live = True
                        self.happened.add(at)
                        self._write(at, holding, "restored", holding.revoked, edit)
                    holding.revoked_at = None

    def _start(self, at: Instant) -> None:
        """Step 4: grants and slices that start are given their amount, slices of the pool are raised."""
        for holding in self.rising.get(at, []):
            given = 0
            if holding.starts_at == at:
                self._open(holding)
                given = holding.amount
                self.happened.add(at)
            raised = [amount for when, amount in holding.rises if when == at]
            if holding.live and raised:
                holding.amount += sum(raised)
                given += sum(raised)
                self.happened.add(at)
            if given:
                self._write(at, holding, "granted", given, holding.fact)
                holding.granted += given

    def _adjust(self, adjustment: CreditsAdjusted) -> None:
        """Step 4: takes at most what is left; the rest, or all where no grant is active, lapses (L14, D17)."""
        holding, taken = self._adjusted_by(adjustment), 0
        if holding is not None:
            taken = max(adjustment.amount, -holding.left)
            self._write(adjustment.time, holding, "adjusted", taken, adjustment)
            holding.granted += taken
        if taken != adjustment.amount:
            scope = holding.scope if holding else self._lapses_in(adjustment)
            grant = holding.named if holding else (adjustment.grant_id, adjustment.slice, None, 0)
            self._beside(adjustment.time, scope, "lapsed", adjustment.amount - taken, adjustment, grant)

    def _adjusted_by(self, adjustment: CreditsAdjusted) -> Holding | None:
        """The active holding that is meant; of several at one seat the one that ranks first (M11)."""
        earned = self.earned.get((adjustment.contract_id, adjustment.grant_id))
        slice = adjustment.slice
        if earned is not None and slice is None:
            slice = earned.started_last(adjustment.seat_id, adjustment.time, carried_before=False)
            if slice is None:
                return None
        meant = [
            holding
            for holding in self._live()
            if (holding.scope.contract_id, holding.grant_id) == (adjustment.contract_id, adjustment.grant_id)
            and holding.slice == slice
            and (adjustment.seat_id == holding.scope.seat_id or (adjustment.seat_id is None and earned is None))
        ]
        return min(meant, key=lambda holding: holding.rank, default=None)

    def _lapses_in(self, adjustment: CreditsAdjusted) -> Scope:
        contract_id = adjustment.contract_id
        contract = None if contract_id is None else self.known.contracts[contract_id]
        grants = self.known.grants if contract is None else contract.grants
        if adjustment.grant_id in grants:
            grant = grants[adjustment.grant_id].grant
            seat_id = adjustment.seat_id or grant.seat_id
            return self._scope(contract_id, seat_id, grant.seat_group_key, grant.credit_type)
        assert contract is not None
        credit = contract.credits[adjustment.grant_id]
        key = SEAT_ID if credit.subscription is None else credit.subscription.seat_group_key
        return self._scope(contract_id, adjustment.seat_id, key, credit.definition.credit_type)

    def _pay_debts(self, at: Instant) -> None:
        """Step 5: the contract's pool first, then the seats by id; contracts by id (L7, M12)."""
        for debtor in sorted(
            self.debt, key=lambda s: (s.contract_id, s.seat_id is not None, s.seat_id, s.seat_group_key)
        ):
            for holding in self.may_draw(debtor, at):
                pays = min(holding.left, self.debt[debtor])
                if pays:
                    self.debt[debtor] -= pays
                    self._write(at, holding, "debt_paid", -pays, holding.fact, beside=-pays)

    def _burn(self, accepted: Accepted) -> None:
        """Step 6: what finds no balance is overage, and under `carry` a debt (L6, L7, L12)."""
        burn, contract_id = accepted.fact, accepted.contract_id
        assert isinstance(burn, CreditBurn) and contract_id is not None
        contract = self.known.contracts[contract_id]
        burner = self._scope(contract_id, burn.seat_id, burn.seat_group_key, burn.credit_type)
        self.balance.setdefault(burner, 0)
        paid = Paid([], burn.amount)
        for holding in self.may_draw(burner, burn.time):
            pays = min(holding.left, paid.overage)
            if pays:
                paid.by.append((holding, pays))
                paid.overage -= pays
                self._write(burn.time, holding, "burned", -pays, burn)
        if paid.overage:
            self._beside(burn.time, burner, "overage", paid.overage, burn)
            self.over_since_reset[burner] = self.over_since_reset.get(burner, 0) + paid.overage
            if contract.carries and contract.holds(burn.time):
                self.debt[burner] = self.debt.get(burner, 0) + paid.overage
        if sum(amount for _, amount in paid.by) + paid.overage != burn.amount:
            raise LawBroken("L14", f"burn {burn.id}: asked for {burn.amount}, accounted for another sum")
        self.paid[burn.id] = paid

    # --- what is asked in between -------------------------------------------------------------------------------

    def may_draw(self, scope: Scope, at: Instant) -> list[Holding]:
        """The live grants that a seat or pool may draw from, in L5 order (L6); outside the contract's window none."""
        if scope.contract_id is not None and not self.known.contracts[scope.contract_id].holds(at):
            return []
        pools = [scope, self._scope(scope.contract_id, None, SEAT_ID, scope.credit_type)]
        pools.append(self._scope(None, None, SEAT_ID, scope.credit_type))
        return sorted((each for each in self.holdings if each.live and each.scope in pools), key=lambda each: each.rank)

    def overage(self, scope: Scope) -> Amount:
        """Under `carry` the debt still open, under `charge` the sum since the last reset (D21)."""
        if scope.contract_id is not None and self.known.contracts[scope.contract_id].carries:
            return self.debt.get(scope, 0)
        return self.over_since_reset.get(scope, 0)

    def active(self, scope: Scope) -> list[Holding]:
        return sorted((each for each in self.holdings if each.live and each.scope == scope), key=lambda each: each.rank)

    def _live(self) -> list[Holding]:
        return sorted((each for each in self.holdings if each.live), key=lambda each: each.order)

    def _held(self, scope: Scope) -> Amount:
        return sum(each.left for each in self.holdings if each.live and each.scope == scope)

    def _sights_at(self, at: Instant) -> list[tuple[KnownSubscription, Sight]]:
        return [
            (self.known.contracts[contract_id].subscriptions[subscription_id], sight)
            for (contract_id, subscription_id), history in sorted(self.seen.items())
            for sight in history
            if sight.at == at
        ]

    def _at_seat(self, subscription: KnownSubscription, seat_id: str, key: str) -> list[Holding]:
        """What recurring credits of this subscription gave to a seat, in writing order."""
        whose = (subscription.contract.contract_id, key, seat_id)
        found = [
            holding
            for holding in self.holdings
            if holding.credit is not None
            and holding.credit.subscription is subscription
            and (holding.scope.contract_id, holding.scope.seat_group_key, holding.scope.seat_id) == whose
        ]
        return sorted(found, key=lambda holding: holding.order)

    # --- what is written down -----------------------------------------------------------------------------------

    def _open(self, holding: Holding) -> None:
        holding.live = True
        self.holdings.append(holding)
        self.balance.setdefault(holding.scope, 0)

    def _write(
        self, at: Instant, holding: Holding, kind: EntryType, amount: Amount, cause: AnyFact, beside: Amount = 0
    ) -> None:
        self.written[holding] = None
        holding.left += amount
        holding.sums[kind] = holding.sums.get(kind, 0) + amount
        self._enter(at, holding.scope, kind, amount, beside, cause, holding.named)

    def _beside(
        self,
        at: Instant,
        scope: Scope,
        kind: EntryType,
        beside: Amount,
        cause: AnyFact,
        grant: Named | None = None,
    ) -> None:
        if kind != "lapsed":
            self.balance.setdefault(scope, 0)
        self._enter(at, scope, kind, 0, beside, cause, grant or (None, None, None, self._moved(at, scope, kind, cause)))

    def _moved(self, at: Instant, scope: Scope, kind: EntryType, edit: AnyFact) -> int:
        """How many debts this edit has moved in or out of a scope at this instant so far."""
        if kind not in ("moved_in", "moved_out"):
            return 0
        alike = (at, scope, kind, None, edit.id)
        return [(each.time, each.scope, each.type, each.grant_id, each.cause_id) for each in self.entries].count(alike)

    def _enter(
        self,
        at: Instant,
        scope: Scope,
        kind: EntryType,
        amount: Amount,
        beside: Amount,
        cause: AnyFact,
        grant: Named,
    ) -> None:
        """What changes nothing is not written (M13)."""
        if not amount and not beside:
            return
        after = self.balance.get(scope, 0) + amount
        if amount:
            self.balance[scope] = after
        self.entries.append(
            Entry(
                time=at,
                type=kind,
                amount=amount,
                beside=beside,
                scope=scope,
                grant_id=grant[0],
                slice=grant[1],
                origin=grant[2],
                moves=grant[3],
                cause_type=topic(cause),
                cause_id=cause.id,
                balance_after=after,
            )
        )

    def _check(self, at: Instant) -> None:
        """L14, for every grant that anything was written of; what a removal voided and a return gave back stands on one side."""
        for holding in self.written:
            sums = holding.sums
            came = sum(sums.get(kind, 0) for kind in ("granted", "adjusted", "lifted", "moved_in"))
            gone = -sum(
                sums.get(kind, 0)
                for kind in ("burned", "debt_paid", "expired", "voided", "restored", "forfeited", "moved_out")
            )
            left = holding.left
            if came != gone + left or left < 0 or (left and not holding.live):
                raise LawBroken(
                    "L14", f"{holding.scope} {holding.grant_id}: {came} came, {gone} gone, {left} left at {at}"
                )
        self.written.clear()


def _recurs_at(holding: Holding, until: Instant, ends_at: Instant) -> set[Instant]:
    """The grid points strictly between its start and an end, up to `until` (L8)."""
    if holding.recurrence is None:
        return set()
    every, anchor = holding.recurrence.every, holding.recurrence.anchor
    points: set[Instant] = set()
    n = every.index(anchor, holding.starts_at) + 1
    while (point := every.point(anchor, n)) < ends_at and point <= until:
        points.add(point)
        n += 1
    return points
