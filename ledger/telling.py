"""An account told aloud: who paid each burn, and what happened to every grant, as entries of a time."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from ledger import due, grants
from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.answers import Entry, EntryType
from ledger.balances import Account
from ledger.changing import Seats
from ledger.contracts import load_contract
from ledger.everyone import seats_of
from ledger.facts import SEAT_ID
from ledger.grants import CONTRACT, SEAT, Adjustment, Credit, Holder, holder_key, holder_of, parts_of
from ledger.history import attributions, burns_of, holders_of, scope_of
from ledger.instants import ORIGIN, Instant
from ledger.rows import after, number_key, text_of
from ledger.standing import Emit
from ledger.stretches import SCOPE, GroupStretch, Shared


class Wanted(NamedTuple):
    """Whose entries are asked for; `whose` None: everybody's. `payers`: also those of the pools that paid for whom it is.
    `contract_id`: of a crowd, those of other contracts may be left out."""

    customer_id: str
    credit_types: list[str]
    whose: Holder | None
    limit: int | None
    payers: bool = False
    contract_id: str | None = None


class Teller:
    """Collects the entries of one account, from `since` on and before `before`. What is played is played to `until`."""

    def __init__(self, account: Account, wanted: Wanted, since: Instant, before: Instant, until: Instant) -> None:
        self.account = account
        self.wanted = wanted
        self.since = since
        self.before = before
        self.until = until
        self.told: list[Entry] = []
        self.adjusted: set[str] = set()
        self._debts_moved: Counter[tuple[Instant, EntryType, Holder, str]] = Counter()

    def emit_for(self, holder: Holder | None) -> Emit:
        """Where the entries of a scope go; None: of whichever pool a shared credit belongs to."""

        def emit(
            time: Instant,
            type: EntryType,
            amount: Amount,
            beside: Amount,
            credit: Credit | None,
            cause_type: str,
            cause_id: str,
        ) -> None:
            of = holder if holder is not None else Holder(credit.contract if credit is not None else 0)
            self.tell(time, type, amount, beside, of, None if credit is None else credit.name, cause_type, cause_id)

        return emit

    def tell(
        self,
        time: Instant,
        type: EntryType,
        amount: Amount,
        beside: Amount,
        holder: Holder,
        name: str | None,
        cause_type: str,
        cause_id: str,
        paid_for: Holder | None = None,
    ) -> None:
        """`paid_for`: who burned or owed what the holder's grant paid."""
        if not self.asks_for(time, holder) and not (self.wanted.payers and self.asks_for(time, paid_for)):
            return
        if not amount and not beside:
            return  # a slice of nothing is no line of the account
        grant_id, slice, origin, moves = None, None, None, 0
        if name is not None:
            _, _, grant_id, slice, path = parts_of(name)
            origin, moves = brought_from(path)
        elif type in ("moved_in", "moved_out"):
            debt = (time, type, holder, cause_id)
            moves = self._debts_moved[debt]
            self._debts_moved[debt] += 1
        scope = scope_of(self.wanted.customer_id, self.account.customer, holder, self.account.credit_type)
        if type in ("adjusted", "lapsed"):
            self.adjusted.add(cause_id)
        self.told.append(
            Entry(
                time=time,
                type=type,
                amount=amount,
                beside=beside,
                scope=scope,
                grant_id=grant_id,
                slice=slice,
                origin=origin,
                moves=moves,
                cause_type=cause_type,
                cause_id=cause_id,
            )
        )

    def asks_for(self, time: Instant, holder: Holder | None) -> bool:
        """Whether what happens to a scope at an instant is to be told."""
        return self.since <= time < self.before and self.wanted.whose in (None, holder)


_STEP = re.compile(r">((?:[^\\>]|\\.)*)@-?[0-9]+")


@lru_cache(maxsize=65_536)
def brought_from(path: str) -> tuple[str | None, int]:
    """The first seat of a credit's origin (`grants.brought_by`), and of how many moves that speaks."""
    steps = _STEP.findall(path)
    return (re.sub(r"\\(.)", r"\1", steps[0]) if steps else None), len(steps)


def tell_account(account: Account, teller: Teller) -> None:
    """All that a teller asks for."""
    since, until, whose = teller.since, teller.until, teller.wanted.whose
    tell_group(account, teller)
    if whose is not None:
        holders, keys = [whose], _keys_of(account, whose)
    elif since == ORIGIN and teller.wanted.limit is None:
        holders, keys = list(holders_of(account, until, None, None)), [b""]
    else:
        holders = _stirred(account, since, teller.before - 1)
        keys = [holder_key(account.customer, holder) for holder in holders]
    tell_scopes(account, teller, holders, keys)


def tell_group(account: Account, teller: Teller) -> None:
    """Who paid each burn, what happened to the shared grants, and all that happened to who paid debts from them."""
    since, until, whose = teller.since, teller.until, teller.wanted.whose
    group_stretch = account.group_before(since) or account.group_at(ORIGIN)
    while True:
        following = account.group_after(group_stretch.start)
        end = until if following is None else min(until, following.start)
        burns = list(burns_of(account, whose, max(group_stretch.start, since), end))
        for burn, paid in attributions(account, group_stretch, burns):
            _tell_burn(account, teller, burn, paid)
        standing = account.group_closing(group_stretch)
        start = group_stretch.start
        if group_stretch.until < since <= end:
            # Its burns are over; what happened since, up to here, was told before.
            account.play_group(standing, start, since - 1)
            start = since - 1
        if following is None or following.start > until:
            account.play_group(standing, start, until, teller.emit_for(None))
            break
        opened = account.play_group(standing, start, following.start, teller.emit_for(None))
        for key in group_stretch.debtors if following.start >= since else []:
            _tell_debtor(account, teller, key, opened)
        group_stretch = following


def tell_scopes(account: Account, teller: Teller, holders: Iterable[Holder], keys: Iterable[bytes]) -> None:
    """What happened to the grants of some scopes; `keys`: of whose grants the adjustments are looked at that found nothing."""
    for holder in holders:
        if holder.contract:
            _tell_scope(account, teller, holder)
    _tell_lapses(account, teller, keys)


def tell_seat_at(account: Account, teller: Teller, holder: Holder) -> Amount:
    """What happened to a seat's own grants at the one instant that a teller asks for, lapses apart, where nobody owes anything.
    Answers what it had before, if anything happened."""
    at = teller.since
    row = account.book.load(SCOPE, account.scope_key(holder_key(account.customer, holder)))
    standing = account.closing(holder, None if row is None else account.stretch_before(row, at))
    # No debt is paid, so that whatever ended before may be left out.
    credits = account.seat_credits(holder, at - 1, at)
    if not credits:
        return 0
    resets = account.resets(standing.at, at, [holder.contract])
    standing.play(credits, resets, at - 1)
    before = sum(left.amount for left in standing.left.values())
    standing.play(credits, resets, at, emit=teller.emit_for(holder))
    return before


def _keys_of(account: Account, whose: Holder) -> list[bytes]:
    """Whose grants may be adjusted in vain in a scope: its own, its contract's pool's, and those of which it was named."""
    if whose.seat_id is None:
        return [holder_key(account.customer, whose)]
    return [holder_key(account.customer, Holder(whose.contract)), *keys_of_seat(account, whose)]


def keys_of_seat(account: Account, seat: Holder) -> list[bytes]:
    """Those of them that are seats'."""
    key = holder_key(account.customer, seat)
    return [key, *due.named(account.book, account.customer, key)]


def _stirred(account: Account, since: Instant, until: Instant) -> list[Holder]:
    """Every pool, and each seat to which anything but a burn happens within a time."""
    book, who = account.book, account.customer
    at = due.next_due(book, who, since - 1)
    while at is not None and at <= until:
        due.touch_due(account, at)
        at = due.next_due(book, who, at)
    found = dict.fromkeys(Holder(number) for number in (0, *account.briefs))
    for whose, _ in account.changes():
        if isinstance(whose, Holder):
            found[whose] = None
        else:
            found.update(dict.fromkeys(everybody(account, whose)))
    return list(found)


def everybody(account: Account, of: Seats) -> Iterator[Holder]:
    """The seats of a contract, or of one of its subscriptions."""
    contract = load_contract(account.book, account.customer.number, of.contract)
    named = (row for row in contract.subscriptions if row.number == of.subscription)
    return seats_of(account, of.contract, next(named, None))


def _tell_lapses(account: Account, teller: Teller, holders: Iterable[bytes]) -> None:
    """The adjustments that found no active grant: the whole of each lapses (D17). Of these holders; b"" is all of them."""
    book, who = account.book, account.customer
    found = []
    for of in holders:
        prefix = b"G" + number_key(who.number) + of
        for key, row in book.scan(grants.GRANT, prefix, after(prefix)):
            if row.given.credit_type == account.credit_type:
                found += [(key, row.given.grant_id, SEAT_ID, adjustment) for adjustment in row.adjustments]
        prefix = b"V" + number_key(who.number) + of
        for key, edits in book.scan(grants.EDITS, prefix, after(prefix)):
            holder, rest = grants.split_holder(who, key[5:])
            grant_id = text_of(rest)
            contract = load_contract(book, who.number, holder.contract)
            recurring = contract.recurring_credit(grant_id)
            if recurring is not None and recurring.given.credit_type == account.credit_type:
                subscription = contract.subscription(recurring.given.subscription_id, None, 0)
                group = SEAT_ID if subscription is None else subscription.seat_group_key
                found += [(key, grant_id, group, adjustment) for adjustment in edits.adjustments]
    for key, grant_id, group, adjustment in found:
        holder, _ = grants.split_holder(who, key[5:])
        if adjustment.seat_id is not None:
            holder = Holder(holder.contract, adjustment.seat_id, holder.seat_group_key or group)
        if adjustment.id in teller.adjusted or not teller.asks_for(adjustment.time, holder):
            continue
        if teller.wanted.whose is not None and _taken_by_an_heir(account, holder, adjustment):
            continue  # told in the scope of the heir, for which nobody asked
        name = grants.name_of(grants.kind_of(holder), holder.contract, grant_id, adjustment.slice, "")
        teller.tell(adjustment.time, "lapsed", 0, adjustment.amount, holder, name, "contract-change", adjustment.id)


def _taken_by_an_heir(account: Account, holder: Holder, adjustment: Adjustment) -> bool:
    """Whether a seat to which a grant was carried took an adjustment of it. What names a seat, no other one takes (D27)."""
    at = adjustment.time
    if holder.seat_id is None or adjustment.seat_id is not None:
        return False
    _, *heirs = account.with_heirs([holder_key(account.customer, holder)], ORIGIN, at)
    return any(
        credit.active(at) and any(each.id == adjustment.id for each in credit.adjustments)
        for heir in heirs
        for credit in account.seat_credits(holder_of(account.customer, heir), at, at)
    )


def _tell_burn(account: Account, teller: Teller, burn: Burn, paid: list[tuple[str, Amount]]) -> None:
    holder = holder_of(account.customer, burn.holder)
    # Of several burns that have become one, the last one's id.
    cause_type = "credit-burn" if account.first_of(burn) is None else "credit-burns"
    for name, amount in paid:
        if not name:
            teller.tell(burn.time, "overage", 0, amount, holder, None, cause_type, burn.id)
            continue
        kind, contract, _, _, _ = parts_of(name)
        whose = holder if kind == SEAT else Holder(contract if kind == CONTRACT else 0)
        teller.tell(burn.time, "burned", -amount, 0, whose, name, cause_type, burn.id, holder)


def _tell_debtor(account: Account, teller: Teller, key: bytes, opened: GroupStretch) -> None:
    """What a debtor paid where a stretch of the group opened."""
    holder = holder_of(account.customer, key)
    row = account.book.load(SCOPE, account.scope_key(key))
    stretch = None if row is None else account.stretch_at(row, opened.start)
    if row is None or stretch is None or stretch.start != opened.start:
        return  # it paid of no shared grant
    previous = account.stretch_before(row, opened.start)
    emit = teller.emit_for(holder)
    # The debtor, so that no two lines of one grant and instant have one id (L18).
    scope = scope_of(teller.wanted.customer_id, account.customer, holder, account.credit_type)
    debtor = f"{scope.contract_id}:{scope.seat_id or ''}:{scope.seat_group_key}"

    def pay(payer: Credit | Shared, paid: Amount) -> None:
        whose = holder
        if isinstance(payer, Shared):
            kind, contract, _, _, _ = parts_of(payer.name)
            whose = Holder(contract if kind == CONTRACT else 0)
        teller.tell(opened.start, "debt_paid", -paid, -paid, whose, payer.name, "debt", debtor, holder)

    account.open_paying(holder, previous, opened, emit=emit, pay=pay)


def _tell_scope(account: Account, teller: Teller, holder: Holder) -> None:
    since, until = teller.since, teller.until
    key = holder_key(account.customer, holder)
    row = account.book.load(SCOPE, account.scope_key(key))
    emit = teller.emit_for(holder)
    stretch = None if row is None else account.stretch_before(row, since)
    standing = account.closing(holder, stretch)
    start = standing.at
    if since > ORIGIN and (stretch is None or stretch.until < since):
        # Its burns are over; what happened since, up to here, was told before.
        account.play_scope(holder, standing, start, since - 1)
        start = since - 1
    stretch = None if row is None else account.stretch_after(row, since - 1)
    while stretch is not None and stretch.start <= until:
        assert row is not None
        if not account.opened_owing(key, stretch):
            account.play_scope(holder, standing, start, stretch.start, emit)
        standing = account.closing(holder, stretch)
        start = stretch.start
        stretch = account.stretch_after(row, stretch.start)
    account.play_scope(holder, standing, start, until, emit)
