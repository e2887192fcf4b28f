"""Questions: what was, is and will be, as far as the facts known now say it.

Every question is asked of rows that it leaves as they are. A balance at an instant is the opening of the stretch that holds
it, less the burns before it, carried on to it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from ledger import charges as seat_charges
from ledger import due, grants, seats
from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts, GrantBalance
from ledger.balances import Account
from ledger.contracts import CUSTOMER, ContractRow, CustomerRow, customer_key, load_contract
from ledger.everyone import FIRST, seats_of
from ledger.facts import CREDITS
from ledger.grants import Credit, Holder, holder_key, holder_of
from ledger.instants import DAY, FOREVER, ORIGIN, Instant
from ledger.outcome import Changed, EverySeat, Scope
from ledger.rows import Book, Scratch
from ledger.standing import Standing
from ledger.stretches import SCOPE, GroupStretch, Part, ScopeRow, Shared, Stretch, add, draws

T = TypeVar("T")


def look(book: Book, customer_id: str) -> tuple[Book, CustomerRow | None]:
    book.flush()
    scratch = Book(Scratch(book.rows), book.breathe)
    return scratch, scratch.load(CUSTOMER, customer_key(customer_id))


def scope_of(customer_id: str, who: CustomerRow, holder: Holder, credit_type: str) -> Scope:
    contract_id = next((brief.contract_id for brief in who.contracts if brief.number == holder.contract), None)
    if holder.seat_id is None:
        return Scope(customer_id=customer_id, contract_id=contract_id, credit_type=credit_type)
    assert holder.seat_group_key is not None
    return Scope(
        customer_id=customer_id,
        contract_id=contract_id,
        seat_id=holder.seat_id,
        seat_group_key=holder.seat_group_key,
        credit_type=credit_type,
    )


# --- balances --------------------------------------------------------------------------------------------------------


def balances(
    book: Book,
    customer_id: str,
    at: Instant,
    *,
    contract_id: str | None = None,
    seat_id: str | None = None,
    credit_type: str | None = None,
) -> list[Balance]:
    """A row for each pool and seat that ever was given or burned anything up to `at`, and for each seat assigned then."""
    scratch, who = look(book, customer_id)
    if who is None:
        return []
    found = []
    bare: set[Holder] = set()  # seats that are assigned and were never given anything: a row at 0, of plain credits
    seen: set[Holder] = set()
    for each in who.credit_types or [CREDITS]:
        account = account_at(scratch, who, each, at)
        shared = None  # what the pools have, once one of them is asked for
        for holder in holders_of(account, at, contract_id, seat_id):
            if credit_type in (None, each):
                if shared is None and holder.seat_id is None:
                    shared = group_standing(account, at)
                balance = balance_of(account, customer_id, holder, at, shared)
                if balance is not None:
                    found.append(balance)
                    seen.add(holder)
            elif holder not in seen and was_known(account, holder, at):
                seen.add(holder)
            if holder not in seen and holder.seat_id is not None and is_assigned(account, holder, at):
                bare.add(holder)
    if credit_type in (None, CREDITS):
        for holder in bare - seen:
            found.append(nothing(scope_of(customer_id, who, holder, CREDITS)))
    return sorted(found, key=_in_order)


def _in_order(balance: Balance) -> tuple[str, str, bool, str, str]:
    scope = balance.scope
    return (
        scope.credit_type,
        scope.contract_id or "",
        scope.seat_id is not None,
        scope.seat_group_key,
        scope.seat_id or "",
    )


def account_at(book: Book, who: CustomerRow, credit_type: str, at: Instant) -> Account:
    """An account whose group was carried to an instant, so that debts were paid on the way. Only ever on scratch rows."""
    account = Account(book, who, credit_type)
    if account.group.stretch.until <= at:
        account.advance_group(at)
    return account


def holders_of(account: Account, at: Instant, contract_id: str | None, seat_id: str | None) -> Iterator[Holder]:
    """Every holder that may have a row in the answer, once."""
    who = account.customer
    numbers = [brief.number for brief in who.contracts if contract_id is None or brief.contract_id == contract_id]
    if seat_id is not None:
        for number in numbers:
            yield from (Holder(number, seat_id, seat_group_key) for seat_group_key in who.seat_group_keys)
        return
    if contract_id is None:
        yield Holder(0)
    for number in numbers:
        yield Holder(number)
        yield from seats_of(account, number)


def changed(account: Account, customer_id: str) -> Iterator[Changed | EverySeat]:
    """Whose balances became others in an account since this was asked last."""
    who, credit_type = account.customer, account.credit_type
    for whose, since in account.changes():
        if isinstance(whose, Holder):
            yield Changed(scope=scope_of(customer_id, who, whose, credit_type), since=since)
            continue
        contract = load_contract(account.book, who.number, whose.contract)
        named = (row.subscription_id for row in contract.subscriptions if row.number == whose.subscription)
        yield EverySeat(
            contract_id=contract.contract_id, subscription_id=next(named, None), credit_type=credit_type, since=since
        )


def scopes(book: Book, customer_id: str, changed: Changed | EverySeat, behind: Scope | None = None) -> Iterator[Scope]:
    """The scopes that an outcome names, in one order; of every seat of a contract, those `behind` one that was named before.
    Nothing may be folded before the last one is taken."""
    if isinstance(changed, Changed):
        if behind is None:
            yield changed.scope
        return
    scratch, who = look(book, customer_id)
    brief = None if who is None else who.brief(changed.contract_id)
    if who is None or brief is None:
        return
    account = Account(scratch, who, changed.credit_type)
    contract = load_contract(scratch, who.number, brief.number)
    subscription = contract.subscription(changed.subscription_id, None, ORIGIN)
    last = FIRST if behind is None else (who.seat_group_keys.index(behind.seat_group_key), behind.seat_id or "")
    for holder in seats_of(account, brief.number, subscription, last):
        yield scope_of(customer_id, who, holder, changed.credit_type)


def balance(book: Book, scope: Scope, at: Instant) -> Balance:
    """What one scope has; one that never was given or burned anything has nothing."""
    scratch, who = look(book, scope.customer_id)
    if who is None:
        return nothing(scope)
    return balance_in(account_at(scratch, who, scope.credit_type, at), scope, at)


def balances_of(book: Book, scope: Scope, times: list[Instant]) -> Iterator[Balance]:
    """What one scope has at each of some instants, in order: its burns are looked at once, however many the instants are."""
    scratch, who = look(book, scope.customer_id)
    if who is None or not times:
        yield from (nothing(scope) for _ in times)
        return
    account = account_at(scratch, who, scope.credit_type, times[-1])
    along = Along()
    for at in times:
        yield balance_in(account, scope, at, along)


def balance_in(account: Account, scope: Scope, at: Instant, along: "Along | None" = None) -> Balance:
    """What one scope of an account has at an instant up to which it was carried."""
    who = account.customer
    holder = holder_in(who, scope)
    if holder is None:
        return nothing(scope)
    return balance_of(account, scope.customer_id, holder, at, along=along) or nothing(scope)


def holder_in(who: CustomerRow, scope: Scope) -> Holder | None:
    """A scope by numbers; None where its contract is not known."""
    brief = None if scope.contract_id is None else who.brief(scope.contract_id)
    if scope.contract_id is not None and brief is None:
        return None
    number = 0 if brief is None else brief.number
    if scope.seat_id is None:
        return Holder(number)
    who.group_key(scope.seat_group_key)
    return Holder(number, scope.seat_id, scope.seat_group_key)


def nothing(scope: Scope) -> Balance:
    return Balance(scope=scope, balance=0, granted=0, overage=0, grants=())


def balance_of(
    account: Account,
    customer_id: str,
    holder: Holder,
    at: Instant,
    shared: tuple[Standing, list[Credit]] | None = None,
    along: "Along | None" = None,
) -> Balance | None:
    """The answer for one scope, or None where there is nothing to say. `shared`: the `group_standing`, where it is at hand.
    `along`: for who asks of this scope for one instant after the other."""
    if holder.seat_id is None:
        standing, credits = shared or group_standing(account, at)
        credits = [credit for credit in credits if credit.contract == holder.contract]
        over = scope_standing(account, holder, at, along)[0].over if holder.contract else 0
    else:
        standing, credits = scope_standing(account, holder, at, along)
        over = standing.over
    active = [(credit, standing.left[credit.name]) for credit in credits if credit.name in standing.left]
    if not active and not over and not was_known(account, holder, at):
        return None
    return Balance(
        scope=scope_of(customer_id, account.customer, holder, account.credit_type),
        balance=sum(left.amount for _, left in active),
        granted=sum(left.granted for _, left in active),
        overage=over,
        grants=tuple(
            GrantBalance(
                grant_id=credit.grant_id,
                slice=credit.slice,
                balance=left.amount,
                granted=left.granted,
                amount=credit.amount,
                priority=credit.priority,
                effective_at=credit.effective_at,
                expires_at=credit.expires_at,
                subscription_id=credit.subscription_id,
            )
            for credit, left in active
        ),
    )


def was_known(account: Account, holder: Holder, at: Instant) -> bool:
    """Whether a scope that has nothing now ever was given or burned anything up to an instant."""
    row = account.book.load(SCOPE, account.scope_key(holder_key(account.customer, holder)))
    if row is not None and (row.burned or any(True for _ in account.burns_of(row.number, ORIGIN, at))):
        return True
    return any(True for _ in account.credits_ever(holder, at))


def is_assigned(account: Account, holder: Holder, at: Instant) -> bool:
    """Whether a seat sits in any subscription of its contract at an instant."""
    assert holder.seat_id is not None
    contract = load_contract(account.book, account.customer.number, holder.contract)
    for subscription in contract.subscriptions:
        if subscription.seat_group_key == holder.seat_group_key:
            stays = grants.stays_of(account.book, account.customer, contract, subscription, holder.seat_id)
            if any(stay.start <= at < stay.end for stay in stays):
                return True
    return False


def scope_standing(
    account: Account, holder: Holder, at: Instant, along: "Along | None" = None
) -> tuple[Standing, list[Credit]]:
    """What a seat has of its own at an instant, and its overage: burns before it counted, all but the burns of it done."""
    row = account.book.load(SCOPE, account.scope_key(holder_key(account.customer, holder)))
    stretch = None if row is None else account.stretch_at(row, at)
    if row is not None and stretch is not None:
        following = account.stretch_after(row, stretch.start)
        if following is not None or at <= account.group.last:
            parts = _parts_before if along is None else along.parts_before
            stretch = _as_of(stretch, parts(account, holder, row, stretch, at))
    standing = account.closing(holder, stretch)
    bottom = standing.at
    if standing.carry:
        _, credits = account.play_scope(holder, standing, bottom, at)
        return standing, credits
    # No debt is paid, so that whatever ended by now may be left out.
    credits = account.seat_credits(holder, at, at)
    standing.play(credits, account.resets(bottom, at, [holder.contract]), at)
    return standing, credits


def _as_of(stretch: Stretch, parts: list[Part]) -> Stretch:
    """A stretch with only some of its burns: with these parts."""
    return Stretch(
        stretch.start,
        stretch.until,
        stretch.group_start,
        stretch.revision,
        stretch.inside,
        stretch.over,
        stretch.own,
        parts,
        stretch.frozen,
    )


class Along:
    """The parts of one scope's burns before one instant after the other: each burn is added once."""

    def __init__(self) -> None:
        self._start = self._at = ORIGIN
        self._parts: list[Part] = []

    def parts_before(
        self, account: Account, holder: Holder, row: ScopeRow, stretch: Stretch, at: Instant
    ) -> list[Part]:
        """As `_parts_before`; `at` is no earlier than the one before."""
        if stretch.start != self._start:
            self._start = self._at = stretch.start
            self._parts = []
        group_stretch = account.group_at(stretch.group_start)
        key = holder_key(account.customer, holder)
        for burn in account.burns_of(row.number, self._at, at):
            account.book.breathe()
            for tail, amount in account.portions(stretch, group_stretch, holder.contract, Burn(*burn, key)):
                add(self._parts, tail, amount)
        self._at = at
        # Whoever goes on from them changes them.
        return [Part(part.tail, part.amount) for part in self._parts]


def _parts_before(account: Account, holder: Holder, row: ScopeRow, stretch: Stretch, at: Instant) -> list[Part]:
    """The parts of a stretch's burns before an instant: added up, or all less those after it, whichever are fewer."""
    key = holder_key(account.customer, holder)
    group_stretch = account.group_at(stretch.group_start)
    following = account.stretch_after(row, stretch.start)
    parts: list[Part] = []
    fewer, sign = _fewer(
        account.burns_of(row.number, stretch.start, at),
        account.burns_of(row.number, at, FOREVER if following is None else following.start),
    )
    if sign < 0:
        parts = [Part(part.tail, part.amount) for part in stretch.parts]
    for burn in fewer:
        for tail, amount in account.portions(stretch, group_stretch, holder.contract, Burn(*burn, key)):
            add(parts, tail, sign * amount)
    return parts


def _fewer(earlier: Iterator[T], later: Iterator[T]) -> tuple[list[T], int]:
    """The shorter of two, reading no more of the longer one; 1 if it is the first."""
    first: list[T] = []
    second: list[T] = []
    while True:
        for each, found, sign in ((earlier, first, 1), (later, second, -1)):
            one = next(each, None)
            if one is None:
                return found, sign
            found.append(one)


def group_standing(account: Account, at: Instant, as_of: GroupStretch | None = None) -> tuple[Standing, list[Credit]]:
    """What every shared grant of an account has at an instant. `as_of`: the stretch with the draws before it, for who has it."""
    stretch = account.group_at(at) if as_of is None else as_of
    if as_of is None and at <= account.group.last:
        stretch = group_as_of(account, stretch, at)
    standing = account.group_closing(stretch)
    credits = account.pool_credits(at, at)
    standing.play(credits, account.resets(stretch.start, at, (0, *account.briefs)), at)
    return standing, credits


def group_as_of(account: Account, stretch: GroupStretch, at: Instant) -> GroupStretch:
    """A stretch of the group with only the draws of burns before an instant: those before it, or all less those after it,
    whichever are fewer."""
    if not any(one.drawn for one in stretch.shared):
        # Where all that they drew is nothing, so is any part of it: no burn has to be looked at.
        return GroupStretch(stretch.start, stretch.until, stretch.shared)
    following = account.group_after(stretch.start)
    end = FOREVER if following is None else following.start
    fewer, sign = _fewer(account.burns(stretch.start, at), account.burns(at, end))
    shared = [
        Shared(one.name, one.contract, one.left, one.granted, one.drawn if sign < 0 else 0, one.rank, one.dry)
        for one in stretch.shared
    ]
    by_name = {one.name: one for one in shared}
    burns = list(of_drawers(account, fewer))
    for _, paid in attributions(account, stretch, burns, _parts_without(account, stretch, burns, sign)):
        for name, amount in paid:
            if name in by_name:
                by_name[name].drawn += sign * amount
    return GroupStretch(stretch.start, stretch.until, shared)


def _parts_without(
    account: Account, group_stretch: GroupStretch, burns: Iterable[Burn], sign: int
) -> dict[tuple[bytes, Instant], list[Part]]:
    """By scope and stretch, the parts of the burns before the first of these, which are all up to some instant (`sign` 1), or
    all from it on: so nothing has to be read."""
    parts: dict[tuple[bytes, Instant], list[Part]] = {}
    for burn in burns:
        row = account.book.load(SCOPE, account.scope_key(burn.holder))
        assert row is not None
        stretch = account.stretch_at(row, burn.time)
        assert stretch is not None
        place = burn.holder, stretch.start
        if place not in parts:
            parts[place] = [] if sign > 0 else [Part(part.tail, part.amount) for part in stretch.parts]
        if sign < 0:
            contract = holder_of(account.customer, burn.holder).contract
            for tail, amount in account.portions(stretch, group_stretch, contract, burn):
                add(parts[place], tail, -amount)
    return parts


def of_drawers(account: Account, burns: Iterable[Burn]) -> Iterator[Burn]:
    """Without the burns of those whose own grants paid for their whole stretch: no shared grant paid for any part of it."""
    known: dict[bytes, tuple[ScopeRow, Stretch, bool]] = {}
    for burn in burns:
        found = known.get(burn.holder)
        if found is None or _is_over(account, found[0], found[1], burn.time):
            row = account.book.load(SCOPE, account.scope_key(burn.holder))
            assert row is not None
            stretch = account.stretch_at(row, burn.time)
            assert stretch is not None
            found = known[burn.holder] = row, stretch, any(draws(stretch.own, stretch.parts)[1])
        if found[2]:
            yield burn


def _is_over(account: Account, row: ScopeRow, stretch: Stretch, at: Instant) -> bool:
    following = account.stretch_after(row, stretch.start)
    return following is not None and following.start <= at


def attributions(
    account: Account,
    group_stretch: GroupStretch,
    burns: Iterable[Burn],
    parts: dict[tuple[bytes, Instant], list[Part]] | None = None,
) -> Iterator[tuple[Burn, list[tuple[str, Amount]]]]:
    """Who paid each of some burns of a stretch of the group, in order, with nothing left out between them. `parts`: those of the
    burns before the first of them, where they are at hand; they are changed."""
    if parts is None:
        parts = {}
    for burn in burns:
        holder = holder_of(account.customer, burn.holder)
        row = account.book.load(SCOPE, account.scope_key(burn.holder))
        assert row is not None
        stretch = account.stretch_at(row, burn.time)
        assert stretch is not None
        before = parts.get((burn.holder, stretch.start))
        if before is None:
            before = parts[burn.holder, stretch.start] = _parts_before(account, holder, row, stretch, burn.time)
        yield burn, account.attribute(stretch, group_stretch, holder, burn, before)


def burns_of(account: Account, whose: Holder | None, low: Instant, high: Instant) -> Iterator[Burn]:
    """The burns of a time, or those of one seat; a pool pays those of all."""
    if whose is None or whose.seat_id is None:
        yield from account.burns(low, high)
        return
    key = holder_key(account.customer, whose)
    row = account.book.load(SCOPE, account.scope_key(key))
    if row is not None:
        for time, id, amount in account.burns_of(row.number, low, high):
            yield Burn(time, id, amount, key)


def is_told(
    book: Book, customer_id: str, at: Instant, scope: Scope | None = None, credit_type: str | None = None
) -> bool:
    """Whether what a customer had at an instant can still be told, of all or of one credit type, or of one scope: not behind its
    floor (ledger.leaving), and not within a day whose burns have aged (ledger.ageing), where it lies between two that became
    one."""
    scratch, who = look(book, customer_id)
    if who is not None and at < who.floor:
        return False
    if at % DAY == 0:
        return True
    if scope is not None:
        credit_type = scope.credit_type
    for each in [] if who is None else who.credit_types:
        assert who is not None
        account = Account(scratch, who, each)
        if credit_type in (None, each) and at < account.single_from:
            whose = None if scope is None else holder_in(who, scope)
            burns = burns_of(account, whose, at, (at // DAY + 1) * DAY)
            if any((first := account.first_of(burn)) is not None and first < at for burn in burns):
                return False
    return True


# --- counts, charges, what is due ------------------------------------------------------------------------------------


def _contract(book: Book, who: CustomerRow | None, contract_id: str) -> ContractRow | None:
    brief = None if who is None else who.brief(contract_id)
    return None if who is None or brief is None else load_contract(book, who.number, brief.number)


def counts(book: Book, customer_id: str, contract_id: str, at: Instant) -> list[Counts]:
    """Each subscription of a contract at an instant (L11, L20)."""
    scratch, who = look(book, customer_id)
    contract = _contract(scratch, who, contract_id)
    if who is None or contract is None:
        return []
    found = [seats.counts(scratch, who.number, contract, row, at) for row in contract.subscriptions]
    return sorted(found, key=lambda one: one.subscription_id)


def holders(book: Book, customer_id: str, contract_id: str, subscription_id: str, at: Instant) -> list[str]:
    """Who sits in a subscription at an instant, by id."""
    scratch, who = look(book, customer_id)
    contract = _contract(scratch, who, contract_id)
    row = None if contract is None else contract.subscription(subscription_id, None, at)
    if who is None or contract is None or row is None:
        return []
    born, dies = contract.life(row)
    if not born <= at < dies:
        return []
    return [seat_id for seat_id, _ in seats.members(scratch, who.number, row, at)]


def charges(book: Book, customer_id: str, until: Instant) -> list[Charge]:
    """What is due for seats up to `until` (L20)."""
    scratch, who = look(book, customer_id)
    found: list[Charge] = []
    for brief in [] if who is None else who.contracts:
        assert who is not None
        contract = load_contract(scratch, who.number, brief.number)
        for row in contract.subscriptions:
            found += seat_charges.charges(scratch, who.number, contract, row, ORIGIN, until + 1)
    return sorted(found, key=lambda charge: (charge.time, charge.contract_id, charge.subscription_id, charge.kind))


def available(
    book: Book, scope: Scope, at: Instant, amount: Amount
) -> tuple[bool, list[tuple[str, int | None, Amount]]]:
    """Whether a burn of this scope at an instant would be covered whole, and what would pay, in L5's order."""
    scratch, who = look(book, scope.customer_id)
    brief = None if who is None or scope.contract_id is None else who.brief(scope.contract_id)
    if who is None or brief is None or not brief.starting_at <= at < brief.ending_before:
        return False, []
    who.group_key(scope.seat_group_key)
    account = account_at(scratch, who, scope.credit_type, at)
    standing, credits = group_standing(account, at)
    payers = [
        (credit.rank, credit, standing.left[credit.name])
        for credit in credits
        if credit.contract in (0, brief.number) and credit.name in standing.left
    ]
    if scope.seat_id is not None:
        own, own_credits = scope_standing(account, Holder(brief.number, scope.seat_id, scope.seat_group_key), at)
        payers += [(credit.rank, credit, own.left[credit.name]) for credit in own_credits if credit.name in own.left]
    paid: list[tuple[str, int | None, Amount]] = []
    rest = amount
    for _, credit, left in sorted(payers, key=lambda payer: payer[0]):
        take = min(rest, left.amount)
        if take:
            paid.append((credit.grant_id, credit.slice, take))
            rest -= take
    return rest == 0, paid


def next_due(book: Book, customer_id: str, after_at: Instant) -> Instant | None:
    """The first instant strictly after `after_at` at which anything of a customer may start, end, recur, be reset or raised,
    seats change, or a billing period start (L17). Costs the same however many seats there are, but for those with recurring
    grants of their own."""
    scratch, who = look(book, customer_id)
    return None if who is None else due.next_due(scratch, who, after_at)


def whose_due(book: Book, customer_id: str, at: Instant) -> list[Changed | EverySeat]:
    """Whose balances may be others from an instant on by themselves (L17), said as an outcome says what it changed."""
    scratch, who = look(book, customer_id)
    found: list[Changed | EverySeat] = []
    for credit_type in [] if who is None else who.credit_types:
        assert who is not None
        account = Account(scratch, who, credit_type)
        due.touch_due(account, at)
        found += (msgspec.structs.replace(one, since=at) for one in changed(account, customer_id))
    return found
