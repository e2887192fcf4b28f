"""What each seat and each pool of a customer has, row by row, as `paging` tells its lists."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from ledger import grants
from ledger.amounts import Amount
from ledger.answers import Balance, GrantBalance
from ledger.balances import Account
from ledger.contracts import CustomerRow, load_contract
from ledger.entries import Span
from ledger.everyone import FIRST, seats_of
from ledger.facts import CREDITS
from ledger.grants import Credit, Holder
from ledger.history import account_at, balance_of, group_standing, is_assigned, look, nothing, scope_of, was_known
from ledger.instants import FOREVER, Instant
from ledger.rows import Book, Breathe
from ledger.standing import Standing


class BalancePlace(NamedTuple):
    """The customer's pool has no contract, a pool no seat; `group` is the number of a seat's group key."""

    credit_type: str
    contract_id: str
    group: int
    seat_id: str


class Held(NamedTuple):
    """A row of `balances`. `available` is what a seat may draw on altogether (None for a pool)."""

    balance: Balance
    available: Amount | None


def balances(
    book: Book,
    customer_id: str,
    at: Instant,
    *,
    contract_id: str | None = None,
    subscription_id: str | None = None,
    seat_ids: Collection[str] = (),
    credit_type: str | None = None,
    search: str | None = None,
    active: Span | None = None,
    behind: BalancePlace | None = None,
) -> Iterator[tuple[BalancePlace, Held | None]]:
    """As `Desk.balances`, for who asks once."""
    return Desk(book, customer_id, at).balances(
        contract_id=contract_id,
        subscription_id=subscription_id,
        seat_ids=seat_ids,
        credit_type=credit_type,
        search=search,
        active=active,
        behind=behind,
    )


class Desk:
    """A customer's balances at one instant, for one question after the other about the same rows: how the accounts came to be
    as they were then, and what the pools had, is worked out for the first and holds for all. Only one may ask at a time."""

    def __init__(self, book: Book, customer_id: str, at: Instant) -> None:
        self._customer_id = customer_id
        self._at = at
        self._scratch, self._who = look(book, customer_id)
        self._told: dict[str, _Told] = {}
        #: How many rows were told: each leaves something behind here.
        self.rows = 0

    def breathe_by(self, breathe: Breathe) -> None:
        """For another who asks."""
        self._scratch.breathe = breathe

    def balances(
        self,
        *,
        contract_id: str | None = None,
        subscription_id: str | None = None,
        seat_ids: Collection[str] = (),
        credit_type: str | None = None,
        search: str | None = None,
        active: Span | None = None,
        behind: BalancePlace | None = None,
    ) -> Iterator[tuple[BalancePlace, Held | None]]:
        """A row for each pool and seat that ever was given or burned anything up to the instant, and for each seat assigned
        then; the same rows as `history.balances` answers at once. `search`: of seats alone, whose id holds it, in capitals or
        not. `active`: with the grants that live at any time of it."""
        who = self._who
        if who is None:
            return
        # A seat that was never given anything has a row of plain credits (D30), also where nobody ever gave any.
        for each in sorted({*who.credit_types, CREDITS}):
            if credit_type not in (None, each) or (behind is not None and each < behind.credit_type):
                continue
            told = self._of(who, each)
            started = behind if behind is not None and each == behind.credit_type else None
            for holder, its_id in _holders(told.account, contract_id, subscription_id, seat_ids, started):
                group = -1 if holder.seat_group_key is None else who.seat_group_keys.index(holder.seat_group_key)
                wanted = search is None or (
                    holder.seat_id is not None and search.casefold() in holder.seat_id.casefold()
                )
                self.rows += 1
                yield (
                    BalancePlace(each, its_id, group, holder.seat_id or ""),
                    told.row(holder, active) if wanted else None,
                )

    def _of(self, who: CustomerRow, credit_type: str) -> "_Told":
        told = self._told.get(credit_type)
        if told is None:
            account = account_at(self._scratch, who, credit_type, self._at)
            told = self._told[credit_type] = _Told(account, self._customer_id, self._at)
        return told


def pools(book: Book, customer_id: str, at: Instant) -> Iterator[Balance]:
    """The rows of the pools alone, which are few however many seats there are."""
    scratch, who = look(book, customer_id)
    for each in [] if who is None else sorted(who.credit_types):
        assert who is not None
        told = _Told(account_at(scratch, who, each, at), customer_id, at)
        for brief in [None, *sorted(who.contracts, key=lambda brief: brief.contract_id)]:
            row = told.row(Holder(0 if brief is None else brief.number))
            if row is not None:
                yield row.balance


def _holders(
    account: Account,
    contract_id: str | None,
    subscription_id: str | None,
    seat_ids: Collection[str],
    behind: BalancePlace | None,
) -> Iterator[tuple[Holder, str]]:
    """Whose row may come, in the order of places, with the contract's id."""
    who = account.customer
    seats_alone = bool(seat_ids) or subscription_id is not None
    if contract_id is None and not seats_alone and behind is None:
        yield Holder(0), ""
    for brief in sorted(who.contracts, key=lambda brief: brief.contract_id):
        its_id = brief.contract_id
        if contract_id not in (None, its_id) or (behind is not None and its_id < behind.contract_id):
            continue
        started = behind is not None and its_id == behind.contract_id
        # Behind the pool, if not behind one of the seats.
        last = FIRST if behind is None or not started else max(FIRST, (behind.group, behind.seat_id))
        if not seats_alone and not started:
            yield Holder(brief.number), its_id
        if seat_ids:
            named = ((group, seat_id) for group, _ in enumerate(who.seat_group_keys) for seat_id in sorted({*seat_ids}))
            yield from (
                (Holder(brief.number, seat_id, who.seat_group_keys[group]), its_id)
                for group, seat_id in named
                if (group, seat_id) > last
            )
            continue
        subscription = None
        if subscription_id is not None:
            contract = load_contract(account.book, who.number, brief.number)
            subscription = contract.subscription(subscription_id, None, FOREVER)
            if subscription is None:
                continue
        for holder in seats_of(account, brief.number, subscription, last):
            yield holder, its_id


class _Told:
    """One account's rows, one by one."""

    def __init__(self, account: Account, customer_id: str, at: Instant) -> None:
        self.account = account
        self._customer_id = customer_id
        self._at = at
        self._shared: tuple[Standing, list[Credit]] | None = None
        #: For each contract asked about.
        self._pooled: dict[int, Amount] = {}

    def row(self, holder: Holder, active: Span | None = None) -> Held | None:
        account, at = self.account, self._at
        if holder.seat_id is None:
            balance = balance_of(account, self._customer_id, holder, at, self._pools())
        else:
            balance = balance_of(account, self._customer_id, holder, at)
            if balance is None and self._is_bare(holder):
                balance = nothing(scope_of(self._customer_id, account.customer, holder, CREDITS))
        extra = () if active is None else tuple(self._others(holder, active))
        if balance is None:
            if not extra:
                return None
            balance = nothing(scope_of(self._customer_id, account.customer, holder, account.credit_type))
        if extra:
            balance = _with_grants(balance, extra)
        return Held(balance, None if holder.seat_id is None else balance.balance + self._of_pools(holder.contract))

    def _pools(self) -> tuple[Standing, list[Credit]]:
        if self._shared is None:
            self._shared = group_standing(self.account, self._at)
        return self._shared

    def _of_pools(self, contract: int) -> Amount:
        """What the two pools have for a seat of this contract; outside the contract's window, nothing (L12)."""
        pooled = self._pooled.get(contract)
        if pooled is None:
            pooled = 0
            brief = self.account.briefs[contract]
            if brief.starting_at <= self._at < brief.ending_before:
                standing, credits = self._pools()
                pooled = sum(
                    standing.left[credit.name].amount
                    for credit in credits
                    if credit.contract in (0, contract) and credit.name in standing.left
                )
            self._pooled[contract] = pooled
        return pooled

    def _is_bare(self, holder: Holder) -> bool:
        """A seat that is assigned and was never given or burned anything: a row at 0, of plain credits (D30)."""
        account, at = self.account, self._at
        if account.credit_type != CREDITS or not is_assigned(account, holder, at):
            return False
        others = (each for each in account.customer.credit_types if each != CREDITS)
        return not any(was_known(account_at(account.book, account.customer, each, at), holder, at) for each in others)

    def _others(self, holder: Holder, active: Span) -> Iterator[GrantBalance]:
        """The grants that live at any time of a span but not now: of those that are over nothing is left, the coming are
        whole."""
        since, until = active
        for credit in self.account.credits_ever(holder, until):
            lives = credit.start < min(until, credit.end) and since < credit.end
            if lives and not credit.start <= self._at < credit.end:
                left = 0 if credit.end <= self._at else credit.amount
                yield GrantBalance(
                    grant_id=credit.grant_id,
                    slice=credit.slice,
                    balance=left,
                    granted=credit.granted,
                    amount=credit.amount,
                    priority=credit.priority,
                    effective_at=credit.effective_at,
                    expires_at=credit.expires_at,
                    subscription_id=credit.subscription_id,
                )


def _with_grants(balance: Balance, extra: tuple[GrantBalance, ...]) -> Balance:
    held = sorted((*balance.grants, *extra), key=lambda grant: (grant.effective_at, grant.grant_id, grant.slice or 0))
    return Balance(
        scope=balance.scope,
        balance=balance.balance,
        granted=balance.granted,
        overage=balance.overage,
        grants=tuple(held),
    )


def kind_of(book: Book, customer_id: str, contract_id: str | None, grant: GrantBalance) -> str:
    """What the grant was said to be when it was given: a credit or a commit."""
    scratch, who = look(book, customer_id)
    brief = None if who is None or contract_id is None else who.brief(contract_id)
    number = 0 if brief is None else brief.number
    if who is None:
        return "credit"
    if grant.slice is not None:
        recurring = load_contract(scratch, who.number, number).recurring_credit(grant.grant_id)
        return (None if recurring is None else recurring.for_period(grant.effective_at).kind) or "credit"
    entity = scratch.load(grants.ENTITY, grants.entity_key(who.number, number, grant.grant_id))
    if entity is None or entity.holder is None:
        return "credit"
    key = grants.grant_key(who.number, entity.holder, entity.expires_at, grant.grant_id)
    row = scratch.load(grants.GRANT, key)
    return "credit" if row is None or row.given.kind is None else row.given.kind
