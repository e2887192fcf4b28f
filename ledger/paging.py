"""Answers that are many, a few at a time: customers, who sits where, balances, segments, lines.

Each is an iterator over places in one order, with what there is at each place; None where there is nothing to tell, so that
whoever pages may stop after many such. A place is made of ids, never of a count: what comes and goes between two pages
neither skips a row that is there throughout nor tells it twice.
"""

from collections.abc import Collection, Iterator
from heapq import merge
from typing import NamedTuple, TypeAlias

from ledger import entries, grants, seats
from ledger.amounts import Amount
from ledger.answers import Balance, Entry, GrantBalance
from ledger.balances import Account
from ledger.contracts import CONTRACT, CUSTOMER, ContractRow, CustomerRow, SubscriptionRow, contract_key, load_contract
from ledger.everyone import seats_of
from ledger.facts import CREDITS, Value
from ledger.grants import Credit, Holder
from ledger.history import account_at, balance_of, group_standing, is_assigned, look, nothing, scope_of, was_known
from ledger.instants import FOREVER, Instant
from ledger.order import Place
from ledger.outcome import Scope
from ledger.rows import Book, Breathe, after, text_key, text_of
from ledger.seat_rows import SEAT, Keys
from ledger.standing import Standing

Span: TypeAlias = tuple[Instant, Instant]


# --- customers -------------------------------------------------------------------------------------------------------


def customers(book: Book, behind: str | None = None, search: str = "") -> Iterator[tuple[str, CustomerRow | None]]:
    """Every customer of whom a fact was folded, by id; those whose id holds `search`, in capitals or not."""
    start = b"C" if behind is None else b"C" + after(text_key(behind))
    search = search.casefold()
    for key in book.keys(CUSTOMER, start, b"D"):
        customer_id = text_of(key[1:])
        who = book.load(CUSTOMER, key) if search in customer_id.casefold() else None
        yield customer_id, who if who is not None and is_known(book, who) else None


def is_known(book: Book, who: CustomerRow) -> bool:
    """One of whom only refused facts are remembered is not."""
    return bool(who.contracts or who.credit_types or book.load(CONTRACT, contract_key(who.number, 0)) is not None)


# --- who sits where --------------------------------------------------------------------------------------------------


class SeatPlace(NamedTuple):
    contract_id: str
    subscription_id: str
    seat_id: str


class Sitting(Value, kw_only=True, frozen=True):
    """Somebody holds a seat of a subscription, since when."""

    contract_id: str
    subscription_id: str
    feature_code: str | None
    seat_group_key: str
    seat_id: str
    name: str | None
    email: str | None
    since: Instant


def sittings(
    book: Book,
    customer_id: str,
    at: Instant,
    *,
    contract_id: str | None = None,
    subscription_id: str | None = None,
    feature_code: str | None = None,
    behind: SeatPlace | None = None,
) -> Iterator[tuple[SeatPlace, Sitting | None]]:
    """Who holds a seat at an instant, and in passing who once did."""
    scratch, who = look(book, customer_id)
    for contract, row in _subscriptions(scratch, who, contract_id, subscription_id):
        assert who is not None
        settings = row.at(at)
        born, dies = contract.life(row)
        place = contract.contract_id, row.subscription_id
        if feature_code not in (None, settings.feature_code) or not born <= at < dies:
            continue
        if behind is not None and place < behind[:2]:
            continue
        keys = Keys(who.number, row.number)
        start = keys.seats + (after(text_key(behind.seat_id)) if behind is not None and place == behind[:2] else b"")
        for key, seat in scratch.scan_lazily(SEAT, start, after(keys.seats)):
            seat_id = keys.seat_of(key)
            interval = seat.at(at)
            yield (
                SeatPlace(*place, seat_id),
                None
                if interval is None
                else Sitting(
                    contract_id=contract.contract_id,
                    subscription_id=row.subscription_id,
                    feature_code=settings.feature_code,
                    seat_group_key=row.seat_group_key,
                    seat_id=seat_id,
                    name=seat.name,
                    email=seat.email,
                    since=max(interval.came_at, born),
                ),
            )


def _subscriptions(
    book: Book, who: CustomerRow | None, contract_id: str | None, subscription_id: str | None
) -> Iterator[tuple[ContractRow, SubscriptionRow]]:
    """A customer's subscriptions, by the ids of contract and subscription."""
    for brief in sorted([] if who is None else who.contracts, key=lambda brief: brief.contract_id):
        if contract_id in (None, brief.contract_id):
            assert who is not None
            contract = load_contract(book, who.number, brief.number)
            for row in sorted(contract.subscriptions, key=lambda row: row.subscription_id):
                if subscription_id in (None, row.subscription_id):
                    yield contract, row


# --- how many sat there ----------------------------------------------------------------------------------------------


class SegmentPlace(NamedTuple):
    contract_id: str
    subscription_id: str
    from_at: Instant


def segments(
    book: Book,
    customer_id: str,
    within: Span,
    *,
    contract_id: str | None = None,
    subscription_id: str | None = None,
    seat_id: str | None = None,
    behind: SegmentPlace | None = None,
) -> Iterator[tuple[SegmentPlace, seats.Segment | None]]:
    """The segments of each subscription that meet a span of time, whole; of one seat, those at whose start it came or left."""
    scratch, who = look(book, customer_id)
    for contract, row in _subscriptions(scratch, who, contract_id, subscription_id):
        assert who is not None
        place = contract.contract_id, row.subscription_id
        since, until = within
        if behind is not None:
            if place < behind[:2]:
                continue
            if place == behind[:2]:
                since = max(since, behind.from_at)
        for segment in seats.history(scratch, who.number, contract, row, since, until):
            at = SegmentPlace(*place, segment.from_at)
            if behind is not None and at <= behind:
                continue
            yield at, segment if seat_id is None or seat_id in segment.added or seat_id in segment.removed else None


# --- balances --------------------------------------------------------------------------------------------------------


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
    if contract_id is None and subscription_id is None and not seat_ids and behind is None:
        yield Holder(0), ""
    for brief in sorted(who.contracts, key=lambda brief: brief.contract_id):
        its_id = brief.contract_id
        if contract_id not in (None, its_id) or (behind is not None and its_id < behind.contract_id):
            continue
        here = behind if behind is not None and its_id == behind.contract_id else None
        if seat_ids:
            for group, key in enumerate(who.seat_group_keys):
                for seat_id in sorted(set(seat_ids)):
                    if here is None or (group, seat_id) > here[2:]:
                        yield Holder(brief.number, seat_id, key), its_id
            continue
        subscription = None
        if subscription_id is not None:
            contract = load_contract(account.book, who.number, brief.number)
            subscription = contract.subscription(subscription_id, None, FOREVER)
            if subscription is None:
                continue
        elif here is None:
            yield Holder(brief.number), its_id
        last = None
        if here is not None and here.group >= len(who.seat_group_keys):
            continue  # the place of another customer, who has more kinds of seats
        if here is not None and here.group >= 0:
            last = Holder(brief.number, here.seat_id, who.seat_group_keys[here.group])
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


# --- lines of the account --------------------------------------------------------------------------------------------


def lines(
    book: Book,
    customer_id: str,
    within: Span,
    *,
    contract_id: str | None = None,
    seat_id: str | None = None,
    grant_id: str | None = None,
    credit_type: str | None = None,
    behind: Place | None = None,
    wanted: int = 100,
    payers: bool = False,
) -> Iterator[tuple[Place, Entry | None]]:
    """The lines of a customer's accounts in a span of time, in their one order. `wanted`: so many are likely to be taken.
    `payers`: where a seat is named, also the lines of the pools that paid for it (`entries.entries`)."""
    _, who = look(book, customer_id)
    if who is None:
        return
    scopes: list[Scope | None] = [None]
    if seat_id is not None:
        # A seat's lines are found by its scopes; of its contract or its grant there may be any number of others.
        scopes = [
            scope_of(customer_id, who, Holder(brief.number, seat_id, key), each)
            for brief in who.contracts
            if contract_id in (None, brief.contract_id)
            for key in who.seat_group_keys
            for each in who.credit_types
            if credit_type in (None, each)
        ]
    told = (
        entries.lines(
            book, customer_id, within, scope=scope, credit_type=credit_type, contract_id=contract_id, behind=behind,
            limit=wanted, payers=payers,
        )
        for scope in scopes
    )  # fmt: skip
    for place, entry in merge(*told, key=lambda look: look[0]):
        fits = (
            entry is not None
            # Whoever paid for a seat, it is the seat's contract that was asked for.
            and (seat_id is not None or contract_id in (None, entry.scope.contract_id))
            and grant_id in (None, entry.grant_id)
        )
        yield place, entry if fits else None
