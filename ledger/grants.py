"""Credits: which grants a scope has, from when until when, how much, and in which order they burn (L2, L5, L8-L12).

Explicit grants are rows. The slices of recurring credits are not: which slices a seat or a pool has follows from the
credit's definition, from the seats over time and from the voids, so they are derived when somebody looks, and a period
start for 100,000 seats writes nothing. A `Credit` is either, ready to be played over time.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from heapq import heappop, heappush
from typing import NamedTuple, TypeVar

from ledger import seats
from ledger.amounts import Amount, share
from ledger.answers import EntryType
from ledger.contracts import ContractRow, CustomerRow, RecurringRow, SubscriptionRow, Void, load_contract
from ledger.facts import Grant, Recurrence, RecurringCredit, Rollover
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Book, Kind, after, instant_key, number_key, text_key
from ledger.seat_rows import BEFORE_ALL, MoveRank

#: Where a grant stands in L5's order: class, priority, expires_at, effective_at, creation, id, slice, origin, and whose
#: it is (a seat's before the contract's pool before the customer's: ids repeat between them).
Rank = tuple[int, int, Instant, Instant, Instant, str, int, str, int]

#: The kinds of scopes, in that order.
SEAT, CONTRACT, CUSTOMER = "seat", "contract", "customer"
KINDS = (SEAT, CONTRACT, CUSTOMER)


class Holder(NamedTuple):
    """Whose grants they are, by numbers: contract 0 is the customer's pool, seat_id None the pool of a contract."""

    contract: int
    seat_id: str | None = None
    seat_group_key: str | None = None


def holder_key(customer: CustomerRow, holder: Holder) -> bytes:
    """No holder's key is the beginning of another's."""
    if holder.seat_id is None:
        return number_key(holder.contract) + b"\0"
    assert holder.seat_group_key is not None
    group = customer.seat_group_keys.index(holder.seat_group_key)
    return number_key(holder.contract) + b"\1" + group.to_bytes(2, "big") + text_key(holder.seat_id)


def holder_of(customer: CustomerRow, key: bytes) -> Holder:
    """The holder whose `holder_key` this is."""
    contract = int.from_bytes(key[:4], "big")
    if key[4] == 0:
        return Holder(contract)
    return Holder(
        contract,
        key[7:-2].replace(b"\0\xff", b"\0").decode(),
        customer.seat_group_keys[int.from_bytes(key[5:7], "big")],
    )


def split_holder(customer: CustomerRow, key: bytes) -> tuple[Holder, bytes]:
    """The holder whose `holder_key` a key begins with, and the rest of it."""
    end = 5 if key[4] == 0 else key.index(b"\0\1", 7) + 2
    return holder_of(customer, key[:end]), key[end:]


class Adjustment(Row):
    """`seat_id` None: whoever holds the grant. `slice` None: the one that had started last at `time` (D17)."""

    time: Instant
    id: str
    amount: Amount
    slice: int | None = None
    seat_id: str | None = None


class GrantRow(Row):
    given: Grant
    time: Instant
    id: str
    cause_type: str
    voids: list[Void] = []
    adjustments: list[Adjustment] = []


class EditsRow(Row):
    """What was voided and adjusted of one recurring credit (or of a grant that was carried here), for one holder."""

    voids: list[Void] = []
    adjustments: list[Adjustment] = []


class EntityRow(Row):
    """Where the grant or recurring credit of this id is. `holder` is None for a recurring credit."""

    holder: bytes | None = None
    expires_at: Instant = FOREVER


GRANT = Kind("state", b"G", GrantRow)
EDITS = Kind("state", b"V", EditsRow)
ENTITY = Kind("state", b"E", EntityRow)


def grant_key(customer: int, holder: bytes, expires_at: Instant, grant_id: str) -> bytes:
    """In the order of `expires_at`, so that a look at a holder's grants begins behind those that are over."""
    return b"G" + number_key(customer) + holder + instant_key(expires_at) + text_key(grant_id)


def edits_key(customer: int, holder: bytes, grant_id: str) -> bytes:
    return b"V" + number_key(customer) + holder + text_key(grant_id)


def entity_key(customer: int, contract: int, grant_id: str) -> bytes:
    return b"E" + number_key(customer) + number_key(contract) + text_key(grant_id)


class Left:
    """What is left of a credit, and what it was given when it last started, recurred or was reset."""

    __slots__ = ("amount", "granted")

    def __init__(self, amount: Amount, granted: Amount) -> None:
        self.amount = amount
        self.granted = granted


# --- a credit, ready to be played ------------------------------------------------------------------------------------


class Gap(NamedTuple):
    """A removal that revoked the grant, and the return that gave it back as it was left (FOREVER: never) (L10)."""

    start: Instant
    end: Instant
    removed_by: str
    returned_by: str


class Credit:
    """A grant or a slice of one holder: its window `[start, end)`, and all that happens to it within."""

    __slots__ = (
        "adjustments",
        "amount",
        "came_by",
        "cause_id",
        "cause_type",
        "contract",
        "effective_at",
        "end",
        "end_cause",
        "end_type",
        "expires_at",
        "gaps",
        "grant_id",
        "granted",
        "kind",
        "left_by",
        "name",
        "natural_end",
        "origin",
        "priority",
        "rank",
        "recurrence",
        "resettable",
        "rises",
        "rollover",
        "set_amount",
        "slice",
        "start",
        "start_cause",
        "start_type",
        "subscription_id",
    )

    def __init__(
        self,
        *,
        kind: str,
        contract: int,
        grant_id: str,
        slice: int | None,
        origin: str,
        rank: Rank,
        start: Instant,
        end: Instant,
        amount: Amount,
        cause_type: str,
        cause_id: str,
    ) -> None:
        self.kind = kind
        self.contract = contract
        self.grant_id = grant_id
        self.slice = slice
        self.origin = origin
        self.name = name_of(kind, contract, grant_id, slice, origin)
        self.rank = rank
        self.priority, self.expires_at, self.effective_at = rank[1], rank[2], rank[3]
        self.start = start
        self.end = end
        self.amount = amount
        self.granted = amount
        self.set_amount = amount
        self.cause_type = cause_type
        self.cause_id = cause_id
        self.start_type: EntryType = "granted"
        self.natural_end = end
        self.end_type: EntryType = "expired"
        self.start_cause = self.end_cause = cause_type, cause_id
        self.recurrence: Recurrence | None = None
        self.rollover: Rollover | None = None
        self.resettable = False
        self.came_by = BEFORE_ALL  # of the move that brought it
        self.left_by = BEFORE_ALL  # of the move that took it away
        self.rises: list[tuple[Instant, Amount, str]] = []
        self.adjustments: list[Adjustment] = []
        self.gaps: list[Gap] = []
        self.subscription_id: str | None = None

    def cut(self, at: Instant, type: EntryType, cause: tuple[str, str]) -> None:
        """The window ends at `at` if it has not ended before."""
        if at < self.end:
            self.end, self.end_type, self.end_cause = at, type, cause

    def active(self, at: Instant) -> bool:
        return self.start <= at < self.end and not any(gap.start <= at < gap.end for gap in self.gaps)

    def next_event(self, after: Instant) -> Instant:
        """The first instant strictly after `after` at which something happens to it, but for resets."""
        if self.start >= self.end:
            return FOREVER
        if after < self.start:
            return self.start
        if after >= self.end:
            return FOREVER
        due = self.end
        if self.recurrence is not None:
            every, anchor = self.recurrence.every, self.recurrence.anchor
            due = min(due, every.point(anchor, every.index(anchor, after) + 1))
        for at, _, _ in self.rises:
            if after < at < due:
                due = at
        for adjustment in self.adjustments:
            if after < adjustment.time < due:
                due = adjustment.time
        for gap in self.gaps:
            for at in (gap.start, gap.end):
                if after < at < due:
                    due = at
        return due


def name_of(kind: str, contract: int, grant_id: str, slice: int | None, origin: str) -> str:
    """What a credit is called within an account: unique there, once the seat is known."""
    return f"{kind}/{contract}/{'' if slice is None else slice}/{len(origin)}/{origin}{grant_id}"


@lru_cache(maxsize=65_536)
def parts_of(name: str) -> tuple[str, int, str, int | None, str]:
    """kind, contract, grant_id, slice and origin of a credit's name."""
    kind, contract, slice, length, rest = name.split("/", 4)
    return kind, int(contract), rest[int(length) :], int(slice) if slice else None, rest[: int(length)]


def kind_of(holder: Holder) -> str:
    return SEAT if holder.seat_id is not None else CONTRACT if holder.contract else CUSTOMER


def _rank(
    given: Grant | RecurringCredit,
    expires_at: Instant,
    effective_at: Instant,
    created: Instant,
    id: str,
    slice: int | None,
    kind: str,
) -> Rank:
    standard = not isinstance(given, Grant) or given.burn_class == "standard"
    return (
        1 if standard else 0,
        given.priority,
        expires_at,
        effective_at,
        created,
        id,
        -1 if slice is None else slice,
        "",
        KINDS.index(kind),
    )


# --- explicit grants -------------------------------------------------------------------------------------------------


def explicit(
    book: Book,
    customer: CustomerRow,
    holder: Holder,
    credit_type: str,
    window: tuple[Instant, Instant],
    low: Instant,
    high: Instant,
) -> Iterator[Credit]:
    """The grants of a holder whose windows meet `[low, high]`, with their next instants known. `window` is the contract's."""
    key = holder_key(customer, holder)
    prefix = b"G" + number_key(customer.number) + key
    for _, row in book.scan(GRANT, prefix + instant_key(low), after(prefix)):
        given = row.given
        if given.credit_type != credit_type:
            continue
        start, end = max(given.effective_at, window[0]), min(given.expires_at, window[1])
        if start > high or end <= low or start >= end:
            continue
        credit = Credit(
            kind=kind_of(holder),
            contract=holder.contract,
            grant_id=given.grant_id,
            slice=None,
            origin="",
            rank=_rank(given, given.expires_at, given.effective_at, row.time, given.grant_id, None, kind_of(holder)),
            start=start,
            end=end,
            amount=given.amount,
            cause_type=row.cause_type,
            cause_id=row.id,
        )
        credit.recurrence = given.recurrence
        credit.rollover = given.rollover
        credit.resettable = True
        credit.adjustments = _meant(row.adjustments, holder)
        void = max(_meant(row.voids, holder), key=_by_time, default=None)
        if void is not None:
            credit.cut(void.voided_at, "voided", ("contract-change", void.id))
        if credit.start < credit.end and credit.end > low:
            yield credit


def next_explicit_start(
    book: Book, customer: CustomerRow, holder: Holder, credit_type: str, window: tuple[Instant, Instant], at: Instant
) -> Instant:
    """When the next explicit grant of a holder starts, strictly after `at`."""
    prefix = b"G" + number_key(customer.number) + holder_key(customer, holder)
    due = FOREVER
    for _, row in book.scan(GRANT, prefix + instant_key(at), after(prefix)):
        start = max(row.given.effective_at, window[0])
        if row.given.credit_type == credit_type and at < start < window[1]:
            due = min(due, start)
    return due


E = TypeVar("E", Adjustment, Void)


def _meant(edits: list[E], holder: Holder) -> list[E]:
    """The edits of an explicit grant that mean it where it is: they name this seat, or none; and no slice, it has none."""
    return sorted(
        (edit for edit in edits if edit.seat_id in (None, holder.seat_id) and edit.slice is None), key=_by_time
    )


def _by_time(edit: Adjustment | Void) -> tuple[Instant, str]:
    return edit.time, edit.id


# --- slices of recurring credits -------------------------------------------------------------------------------------


class Period(NamedTuple):
    """Period n of a recurring credit's grid. It earns from `earns_from` until before `earns_until` (D10)."""

    n: int
    slice: int
    starts: Instant
    ends: Instant
    earns_from: Instant
    earns_until: Instant
    settings: RecurringCredit
    expires_at: Instant


def periods(recurring: RecurringRow, low: Instant, high: Instant) -> Iterator[Period]:
    """The periods of a recurring credit whose slices may be alive within `[low, high]`, in order."""
    given = recurring.given
    every, anchor = given.every, given.anchor
    first = every.index(anchor, given.starting_at)
    n = max(first, every.index(anchor, max(low, given.starting_at)) - _longest(recurring))
    end = recurring.ending_before()
    while (period := _period(recurring, n, first, end)).earns_from <= high and period.earns_from < end:
        yield period
        n += 1


def _period(recurring: RecurringRow, n: int, first: int, end: Instant) -> Period:
    every, anchor = recurring.given.every, recurring.given.anchor
    starts, ends = every.point(anchor, n), every.point(anchor, n + 1)
    settings = recurring.for_period(starts)
    expires_at = min(every.point(anchor, n + settings.duration_periods), end)
    earns_from = max(starts, recurring.given.starting_at)
    return Period(n, n - first, starts, ends, earns_from, min(ends, end), settings, expires_at)


def _period_of(recurring: RecurringRow, slice: int) -> Period:
    first = recurring.given.every.index(recurring.given.anchor, recurring.given.starting_at)
    return _period(recurring, first + slice, first, recurring.ending_before())


def _longest(recurring: RecurringRow) -> int:
    """For how many periods a slice lives at most."""
    return max(
        [recurring.given.duration_periods, *(update.changes.duration_periods or 1 for update in recurring.updates)]
    )


def slice_amount(recurring: RecurringRow, period: Period, units: int, starts: Instant, since: Instant) -> Amount:
    """`amount x units x covered / period`, rounded once (L10). `starts` is the slice's start; `since` the assignment or
    rise that earned it."""
    settings = period.settings
    front = period.starts
    if period.earns_from > front and settings.proration in ("first", "first_and_last"):
        front = period.earns_from
    if since > period.earns_from and settings.prorate_increases:
        front = since
    back = period.ends
    if settings.proration in ("last", "first_and_last"):
        back = min(back, recurring.ending_before_as_said_by(starts))
    covered = max(0, back - front)
    return share(
        settings.amount * units,
        covered,
        period.ends - period.starts,
        settings.rounding.method,
        settings.rounding.decimals,
    )


def pooled_slices(
    book: Book, customer: CustomerRow, contract: ContractRow, credit_type: str, low: Instant, high: Instant
) -> Iterator[Credit]:
    """The slices of a contract's pooled recurring credits whose windows meet `[low, high]` (D12)."""
    window = (contract.starting_at, contract.ending_before())
    holder = holder_key(customer, Holder(contract.number))
    for recurring in contract.recurring:
        if recurring.given.allocation != "pooled" or recurring.given.credit_type != credit_type:
            continue
        subscription = contract.subscription(recurring.given.subscription_id, None, 0)
        edits = book.load(EDITS, edits_key(customer.number, holder, recurring.recurring_credit_id)) or EditsRow()
        asked = list(periods(recurring, low, high))
        meant = _meant_slices(
            recurring, edits, asked, _last_of(book, customer, contract, recurring, Holder(contract.number))
        )
        for period in asked:
            start, end = max(period.earns_from, window[0]), min(period.expires_at, window[1])
            if start >= end or end <= low or start > high:
                continue
            credit = _slice(CONTRACT, contract.number, recurring, period, period.earns_from, start, end)
            if subscription is None:
                credit.amount = credit.granted = slice_amount(
                    recurring, period, 1, period.earns_from, period.earns_from
                )
            else:
                credit.subscription_id = subscription.subscription_id
                _quantities(book, customer, contract, subscription, recurring, period, credit)
            _edit(credit, meant)
            if credit.start < credit.end and credit.end > low:
                yield credit


def _quantities(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    subscription: SubscriptionRow,
    recurring: RecurringRow,
    period: Period,
    credit: Credit,
) -> None:
    """The slice's first amount by the quantity at its start, and its rises (D12)."""
    highest: int | None = None
    for at, total, edit_id in masked_steps(
        book, customer, contract, subscription, period.earns_from, period.earns_until
    ):
        if highest is None:
            highest = total
            credit.amount = credit.granted = slice_amount(
                recurring, period, total, period.earns_from, period.earns_from
            )
        elif total > highest:
            rise = slice_amount(recurring, period, total - highest, period.earns_from, at)
            credit.rises.append((max(at, credit.start), rise, edit_id))
            highest = total


def masked_steps(
    book: Book, customer: CustomerRow, contract: ContractRow, subscription: SubscriptionRow, low: Instant, high: Instant
) -> Iterator[tuple[Instant, int, str]]:
    """`(instant, total, edit id)`: the total at `low`, then at each instant before `high` at which it may change (D5)."""
    born, dies = contract.life(subscription)
    steps = seats.steps(book, customer.number, subscription, low, high)
    instants = sorted(
        {low, *(at for at in (born, dies) if low < at < high), *(step.at for step in steps if step.at > low)}
    )
    current, i = 0, 0
    edit_id = ""
    for at in instants:
        while i < len(steps) and steps[i].at <= at:
            current, edit_id = steps[i].total, steps[i].edit_id
            i += 1
        yield at, current if born <= at < dies else 0, edit_id


#: The slice that had started last at an instant. What was carried at that very instant is there for an adjustment, and
#: not yet for a void (D18, D27).
LastStarted = Callable[[Instant, bool], int | None]


def _last_of(
    book: Book, customer: CustomerRow, contract: ContractRow, recurring: RecurringRow, holder: Holder
) -> LastStarted:
    if holder.seat_id is None:
        return partial(_last_pooled, contract, recurring)
    subscription = contract.subscription(recurring.given.subscription_id, None, 0)
    assert subscription is not None
    return partial(_last_of_seat, book, customer, contract, subscription, recurring, holder.seat_id)


def _last_pooled(contract: ContractRow, recurring: RecurringRow, at: Instant, with_carried: bool) -> int | None:
    """Of a pooled credit: of the slices that the contract's window leaves anything of."""
    last = None
    until = min(at, contract.ending_before() - 1, recurring.ending_before() - 1)
    for period in periods(recurring, until, until):
        start = max(period.earns_from, contract.starting_at)
        if start <= until and start < period.expires_at:
            last = period.slice
    return last


def _slice(
    kind: str, contract: int, recurring: RecurringRow, period: Period, earned: Instant, start: Instant, end: Instant
) -> Credit:
    credit = Credit(
        kind=kind,
        contract=contract,
        grant_id=recurring.recurring_credit_id,
        slice=period.slice,
        origin="",
        rank=_rank(
            period.settings,
            period.expires_at,
            earned,
            recurring.time,
            recurring.recurring_credit_id,
            period.slice,
            kind,
        ),
        start=start,
        end=end,
        amount=0,
        cause_type=recurring.cause_type,
        cause_id=recurring.id,
    )
    credit.rollover = period.settings.rollover
    credit.resettable = period.settings.rollover is not None
    return credit


class Meant(NamedTuple):
    """What was voided and adjusted of a recurring credit, for one holder, by the slices that are meant."""

    voids: dict[int | None, list[Void]]
    adjustments: dict[int | None, list[Adjustment]]


def _meant_slices(recurring: RecurringRow, edits: EditsRow, asked: list[Period], last_started: LastStarted) -> Meant:
    """What means the slices of these periods; of all others, only what it takes no look at the seats to tell."""
    meant = Meant({}, {})
    if not asked or not (recurring.voids or edits.voids or edits.adjustments):
        return meant
    every, anchor = recurring.given.every, recurring.given.anchor
    began: dict[int, tuple[Instant, bool]] = {}

    def last(at: Instant, with_carried: bool) -> int | None:
        if at < asked[0].earns_from:
            return None  # what had started by then is none of these
        own = every.index(anchor, at) - asked[0].n + asked[0].slice
        if own in began and began[own] <= (at, with_carried):
            return own  # no later slice starts before the period is over
        found = last_started(at, with_carried)
        if found == own:
            began[own] = at, with_carried
        return found

    for void in (*recurring.voids, *edits.voids):
        if void.seat_id is None:
            slice = void.slice if void.slice is not None else last(void.voided_at, False)
            meant.voids.setdefault(slice, []).append(void)
    for adjustment in edits.adjustments:
        if adjustment.seat_id is None:
            slice = adjustment.slice if adjustment.slice is not None else last(adjustment.time, True)
            meant.adjustments.setdefault(slice, []).append(adjustment)
    return meant


def _edit(credit: Credit, meant: Meant, handed_at: Instant = ORIGIN) -> None:
    """The void that counts and the adjustments of one slice (D17, D18)."""
    # A void speaks of what sits there, not of what comes there only later (D27).
    voids = [void for void in meant.voids.get(credit.slice, ()) if void.voided_at > handed_at]
    void = max(voids, key=_by_time, default=None)
    if void is not None:
        credit.cut(void.voided_at, "voided", ("contract-change", void.id))
    credit.adjustments = sorted(meant.adjustments.get(credit.slice, ()), key=_by_time)


def void_changes(void: Void, others: Iterable[Void]) -> Instant:
    """From when on a new void changes anything, given the others that mean the same: also from where it takes the place of the
    one that counts so far."""
    counting = {other.seat_id: other for other in sorted(others, key=_by_time)}
    return min([void.voided_at, *(other.voided_at for other in counting.values())])


def voids_like(
    book: Book, customer: CustomerRow, contract: ContractRow, recurring: RecurringRow, holder: Holder, void: Void
) -> list[Void]:
    """What was voided before of the slice of a holder that a void means."""
    last_started = _last_of(book, customer, contract, recurring, holder)
    slice = void.slice if void.slice is not None else last_started(void.voided_at, False)
    if slice is None or void.seat_id is not None:
        return []
    key = edits_key(customer.number, holder_key(customer, holder), recurring.recurring_credit_id)
    edits = book.load(EDITS, key) or EditsRow()
    return _meant_slices(recurring, edits, [_period_of(recurring, slice)], last_started).voids.get(slice, [])


def earns_anew(book: Book, customer: CustomerRow, contract: ContractRow, holder: Holder, since: Instant) -> Instant:
    """From when on a seat may have other slices if who sits where is another matter from `since` on: where a void that names
    none means another slice now, those whose place it took may count again."""
    key = holder_key(customer, holder)
    for recurring in contract.recurring:
        edits = book.load(EDITS, edits_key(customer.number, key, recurring.recurring_credit_id)) or EditsRow()
        voids = sorted((*recurring.voids, *edits.voids), key=_by_time)
        turned = [n for n, void in enumerate(voids) if void.slice is None and void.voided_at >= since]
        if turned:
            since = min([since, *(void.voided_at for void in voids[: turned[-1]])])
    return since


def end_anew(book: Book, customer: CustomerRow, contract: ContractRow, since: Instant) -> Instant:
    """From when on anybody of a contract may have other slices if some of those from `since` on come or go (`earns_anew`)."""
    holders = {Holder(contract.number)}
    for recurring in contract.recurring:
        holders.update(seats_edited(book, customer, contract.number, recurring.recurring_credit_id))
    return min(earns_anew(book, customer, contract, holder, since) for holder in holders)


def seats_edited(book: Book, customer: CustomerRow, contract: int, grant_id: str) -> list[Holder]:
    """The seats of a contract for which a recurring credit was voided or adjusted by name."""
    prefix = b"V" + number_key(customer.number)
    of = prefix + number_key(contract) + b"\1"
    found = [split_holder(customer, key[len(prefix) :]) for key in book.keys(EDITS, of, after(of))]
    return [holder for holder, rest in found if rest == text_key(grant_id)]


def seat_slices(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    holder: Holder,
    credit_type: str,
    low: Instant,
    high: Instant,
) -> Iterator[Credit]:
    """The slices that a seat earned itself, whose windows meet `[low, high]` (D11), with what revoked and restored them (D7)."""
    assert holder.seat_id is not None
    window = (contract.starting_at, contract.ending_before())
    key = holder_key(customer, holder)
    for recurring in contract.recurring:
        given = recurring.given
        if given.allocation != "individual" or given.credit_type != credit_type:
            continue
        subscription = contract.subscription(given.subscription_id, None, 0)
        if subscription is None or subscription.seat_group_key != holder.seat_group_key:
            continue
        stays = stays_of(book, customer, contract, subscription, holder.seat_id)
        if not stays:
            continue
        edits = book.load(EDITS, edits_key(customer.number, key, recurring.recurring_credit_id)) or EditsRow()
        asked = list(periods(recurring, low, high))
        meant = _meant_slices(recurring, edits, asked, _last_of(book, customer, contract, recurring, holder))
        for period in asked:
            earned = first_assigned(stays, period)
            if earned is None:
                continue
            start, end = max(earned, window[0]), min(period.expires_at, window[1])
            if start >= end or end <= low or start > high:
                continue
            if carried_in(book, customer, contract, subscription, holder.seat_id, period, earned):
                continue
            credit = _slice(SEAT, contract.number, recurring, period, earned, start, end)
            credit.subscription_id = subscription.subscription_id
            credit.amount = credit.granted = slice_amount(recurring, period, 1, earned, earned)
            credit.gaps = gaps_of(subscription, recurring, stays, credit.start, credit.end)
            _edit(credit, meant)
            if credit.start < credit.end and credit.end > low:
                yield credit


class Stay(NamedTuple):
    """One time in which a seat was assigned, within the life of its subscription."""

    start: Instant
    end: Instant
    came_by: str
    removed_by: str | None


def stays_of(
    book: Book, customer: CustomerRow, contract: ContractRow, subscription: SubscriptionRow, seat_id: str
) -> list[Stay]:
    """When a seat was assigned, cut by the subscription's life (D5)."""
    born, dies = contract.life(subscription)
    stays = []
    for interval in seats.intervals(book, customer.number, subscription, seat_id):
        start, end = max(interval.came_at, born), min(interval.left_at, dies)
        if start < end:
            removed = interval.left == "removed" and interval.left_at < dies
            stays.append(Stay(start, end, interval.came_by, interval.left_by if removed else None))
    return stays


def first_assigned(stays: list[Stay], period: Period) -> Instant | None:
    """The first instant of what a period earns at which the seat was assigned."""
    for stay in stays:
        if stay.start < period.earns_until and stay.end > period.earns_from:
            return max(stay.start, period.earns_from)
    return None


def carried_in(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    subscription: SubscriptionRow,
    seat_id: str,
    period: Period,
    earned: Instant,
) -> bool:
    """Whether a carried move had handed a period's slice to a seat by the time when the seat would earn its own (L11, D20)."""
    if earned <= period.earns_from:
        return False
    born, dies = contract.life(subscription)
    # Newest first: whoever gave it to one that hands it on later is looked at once, however many moves an instant has.
    givers: list[tuple[int, int, str]] = []
    looked_at: set[str] = set()
    to, before = seat_id, (earned + 1, 0)
    while True:
        if to not in looked_at:
            looked_at.add(to)
            for move in seats.moves(book, customer.number, subscription, to, period.earns_from + 1, before[0] + 1):
                place = move.at, move.order
                if move.to_seat_id == to and move.carry_balance and place < before and born <= move.at < dies:
                    heappush(givers, (-move.at, -move.order, move.from_seat_id))
        if not givers:
            return False
        at, order, to = heappop(givers)
        before = -at, -order
        first = first_assigned(stays_of(book, customer, contract, subscription, to), period)
        if first is not None and first < before[0]:
            return True


def gaps_of(
    subscription: SubscriptionRow, recurring: RecurringRow, stays: list[Stay], start: Instant, end: Instant
) -> list[Gap]:
    """When a seat's slice was revoked by its removal, and when its return gave it back (D6, D7)."""
    gaps: list[Gap] = []
    for i, stay in enumerate(stays):
        if stay.removed_by is None or not start < stay.end < end or not subscription.at(stay.end).revoke_on_removal:
            continue
        if gaps and gaps[-1].end == FOREVER:
            break
        every, anchor = recurring.given.every, recurring.given.anchor
        period_end = every.point(anchor, every.index(anchor, stay.end) + 1)
        back = next(iter(stays[i + 1 :]), None)
        if back is not None and back.start < period_end and back.start < end:
            gaps.append(Gap(stay.end, back.start, stay.removed_by, back.came_by))
        else:
            gaps.append(Gap(stay.end, FOREVER, stay.removed_by, ""))
    return gaps


def _last_of_seat(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    subscription: SubscriptionRow,
    recurring: RecurringRow,
    seat_id: str,
    at: Instant,
    with_carried: bool,
) -> int | None:
    """Of an individual credit: of the slices that a seat earned, or was handed by carried moves, also on their way through
    other seats. Looked for from `at` backwards, and no further than to the first that is found."""
    every, anchor = recurring.given.every, recurring.given.anchor
    earned = partial(_earned_before, book, customer, contract, subscription, recurring)
    last = next(earned(seat_id, at + 1), None)
    # Newest first, so that each seat is looked at once. A slice that is handed on has to live until the last move of its
    # way, of several ways the one that ends first.
    moves: list[tuple[Instant, MoveRank, str, str]] = []
    handed_on_until: dict[str, Instant] = {}
    looked_at: set[str] = set()
    to, before = seat_id, (at + 1 if with_carried else at, BEFORE_ALL)
    while True:
        if to not in looked_at:
            looked_at.add(to)
            low = ORIGIN if last is None else last.ends
            for place, giver in _carried_to(book, customer, contract, subscription.seat_group_key, to, low, before):
                insort(moves, (*place, giver, to))
        if not moves:
            return None if last is None else last.slice
        moved_at, rank, giver, taker = moves.pop()
        before = moved_at, rank
        if last is not None and before[0] <= last.ends:
            return last.slice  # nobody had earned a later one by then
        until = before[0] if taker == seat_id else handed_on_until[taker]
        handed_on_until[giver] = min(until, handed_on_until.get(giver, FOREVER))
        gone = every.index(anchor, until) - _longest(recurring)
        for period in earned(giver, before[0]):
            if period.n <= gone or (last is not None and period.n <= last.n):
                break
            if until < period.expires_at:
                last = period
                break
        to = giver


def _earned_before(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    subscription: SubscriptionRow,
    recurring: RecurringRow,
    seat_id: str,
    until: Instant,
) -> Iterator[Period]:
    """The periods whose slices a seat earned itself before an instant, the last one first."""
    every, anchor = recurring.given.every, recurring.given.anchor
    first, end = every.index(anchor, recurring.given.starting_at), recurring.ending_before()
    stays = stays_of(book, customer, contract, subscription, seat_id)
    seen: int | None = None
    for stay in reversed(stays):
        began, last = max(stay.start, recurring.given.starting_at), min(stay.end, end, until) - 1
        if began > last:
            continue
        newest = every.index(anchor, last)
        for n in range(newest if seen is None else min(newest, seen - 1), every.index(anchor, began) - 1, -1):
            seen = n
            period = _period(recurring, n, first, end)
            since = first_assigned(stays, period)
            assert since is not None
            if not carried_in(book, customer, contract, subscription, seat_id, period, since):
                yield period


def _carried_to(
    book: Book,
    customer: CustomerRow,
    contract: ContractRow,
    seat_group_key: str,
    seat_id: str,
    low: Instant,
    before: tuple[Instant, MoveRank],
) -> Iterator[tuple[tuple[Instant, MoveRank], str]]:
    """The carried moves to a seat after an instant and before one's place among all moves, and who gave."""
    for subscription in contract.subscriptions:
        if subscription.seat_group_key == seat_group_key:
            born, dies = contract.life(subscription)
            for move in seats.moves(book, customer.number, subscription, seat_id, low, before[0] + 1):
                place = move.at, move.rank
                if move.carry_balance and move.to_seat_id == seat_id and place < before and born <= move.at < dies:
                    yield place, move.from_seat_id


def next_slice_start(
    book: Book, customer: CustomerRow, contract: ContractRow, holder: Holder, credit_type: str, at: Instant
) -> Instant:
    """A lower bound, strictly after `at`, of when a holder's next slice may start."""
    due = FOREVER
    for recurring in contract.recurring:
        given = recurring.given
        if given.credit_type != credit_type or (given.allocation == "individual") != (holder.seat_id is not None):
            continue
        end = min(recurring.ending_before(), contract.ending_before())
        reached = max(at, given.starting_at)
        instants = [
            given.starting_at,
            contract.starting_at,
            given.every.point(given.anchor, given.every.index(given.anchor, reached) + 1),
        ]
        if holder.seat_id is not None:
            subscription = contract.subscription(given.subscription_id, None, 0)
            if subscription is None or subscription.seat_group_key != holder.seat_group_key:
                continue
            stays = stays_of(book, customer, contract, subscription, holder.seat_id)
            if not any(stay.end > at for stay in stays):
                continue
            instants = [point for point in instants if any(stay.start <= point < stay.end for stay in stays)]
            instants += [stay.start for stay in stays]
        due = min([due, *(point for point in instants if at < point < end and point >= given.starting_at)])
    return due


def of_pool(
    book: Book, customer: CustomerRow, contract: int, credit_type: str, low: Instant, high: Instant
) -> list[Credit]:
    """All credits of a contract's pool, or of the customer's (0), whose windows meet `[low, high]`."""
    holder = Holder(contract)
    if contract == 0:
        return list(explicit(book, customer, holder, credit_type, (-FOREVER, FOREVER), low, high))
    row = load_contract(book, customer.number, contract)
    window = (row.starting_at, row.ending_before())
    if window[0] > high or window[1] <= low:
        return []
    credits = list(explicit(book, customer, holder, credit_type, window, low, high))
    credits += pooled_slices(book, customer, row, credit_type, low, high)
    return credits


def next_pool_start(book: Book, customer: CustomerRow, contract: int, credit_type: str, at: Instant) -> Instant:
    """A lower bound, strictly after `at`, of when a pool's next credit may start."""
    if contract == 0:
        return next_explicit_start(book, customer, Holder(0), credit_type, (-FOREVER, FOREVER), at)
    row = load_contract(book, customer.number, contract)
    window = (row.starting_at, row.ending_before())
    if window[1] <= at:
        return FOREVER
    return min(
        next_explicit_start(book, customer, Holder(contract), credit_type, window, at),
        next_slice_start(book, customer, row, Holder(contract), credit_type, at),
    )


def brought_by(giver: str, at: Instant) -> str:
    """The last step of the origin of what a carried move brought. No two paths of them read alike, whatever seats are called."""
    path = giver.replace("\\", "\\\\").replace(">", "\\>")
    return f">{path}@{at}"


def brought_at(origin: str) -> Instant:
    """When the last step of an origin was."""
    return int(origin.rsplit("@", 1)[1])


def handed_on(credit: Credit, giver: str, at: Instant, rank: MoveRank, edit_id: str, left: Left) -> Credit:
    """A credit as a carried move brings it to another seat: the same window, rank and name (L11, D20)."""
    origin = credit.origin + brought_by(giver, at)
    brought = Credit(
        kind=SEAT,
        contract=credit.contract,
        grant_id=credit.grant_id,
        slice=credit.slice,
        origin=origin,
        rank=(*credit.rank[:7], origin, credit.rank[8]),
        start=at,
        end=credit.natural_end,
        amount=left.amount,
        cause_type=credit.cause_type,
        cause_id=credit.cause_id,
    )
    brought.granted = left.granted
    brought.set_amount = credit.set_amount
    brought.start_type = "moved_in"
    brought.came_by = rank
    brought.recurrence, brought.rollover, brought.resettable = credit.recurrence, credit.rollover, credit.resettable
    brought.subscription_id = credit.subscription_id
    brought.start_cause = "seat-change", edit_id
    return brought


def adjust_once(credits: list[Credit]) -> None:
    """An adjustment of a slice that a seat has both of its own and by a carried move is taken by the one that burns first."""
    takers: dict[str, list[Credit]] = {}
    for credit in credits:
        for adjustment in credit.adjustments:
            takers.setdefault(adjustment.id, []).append(credit)
    for id, candidates in takers.items():
        if len(candidates) > 1:
            time = next(adjustment.time for adjustment in candidates[0].adjustments if adjustment.id == id)
            taker = next((credit for credit in candidates if credit.active(time)), candidates[0])
            for credit in candidates:
                if credit is not taker:
                    credit.adjustments = [adjustment for adjustment in credit.adjustments if adjustment.id != id]


def edit_handed_on(book: Book, customer: CustomerRow, credit: Credit, holder: Holder) -> None:
    """What is voided, adjusted and revoked of a credit after it was carried to `holder`."""
    if credit.slice is None:
        entity = book.load(ENTITY, entity_key(customer.number, credit.contract, credit.grant_id))
        assert entity is not None and entity.holder is not None
        row = book.load(GRANT, grant_key(customer.number, entity.holder, entity.expires_at, credit.grant_id))
        assert row is not None
        void = max(
            (void for void in _meant(row.voids, holder) if void.voided_at > credit.start), key=_by_time, default=None
        )
        if void is not None:
            credit.cut(void.voided_at, "voided", ("contract-change", void.id))
        credit.adjustments = [edit for edit in _meant(row.adjustments, holder) if edit.time >= credit.start]
        return
    contract = load_contract(book, customer.number, holder.contract)
    recurring = contract.recurring_credit(credit.grant_id)
    assert recurring is not None and holder.seat_id is not None
    edits = book.load(EDITS, edits_key(customer.number, holder_key(customer, holder), credit.grant_id)) or EditsRow()
    subscription = contract.subscription(recurring.given.subscription_id, None, 0)
    assert subscription is not None
    asked = [_period_of(recurring, credit.slice)]
    meant = _meant_slices(recurring, edits, asked, _last_of(book, customer, contract, recurring, holder))
    _edit(credit, meant, handed_at=credit.start)
    stays = stays_of(book, customer, contract, subscription, holder.seat_id)
    credit.gaps = gaps_of(subscription, recurring, stays, credit.start, credit.end)
