"""The lines of an account: what happened, why, and what each scope had after it (L14). As a whole, of a time, or in pages."""

from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from ledger import due
from ledger.amounts import Amount
from ledger.answers import Entry, Window
from ledger.balances import Account
from ledger.contracts import CustomerRow
from ledger.crowds import Crowd, Look
from ledger.curves import windows
from ledger.history import account_at, balance_in, burns_of, holder_in, look
from ledger.instants import ORIGIN, Instant
from ledger.order import STEP, Place, count_before, entry_order, place_of
from ledger.outcome import Scope
from ledger.rows import Book
from ledger.telling import Teller, Wanted, tell_account, tell_group

Span: TypeAlias = tuple[Instant, Instant]

#: So many lines are worked out together at most, but for those of one instant's burns.
MOST_AT_ONCE: Final = 1_000


def entries(
    book: Book,
    customer_id: str,
    until: Instant,
    *,
    scope: Scope | None = None,
    since: Instant = ORIGIN,
    behind: Entry | None = None,
    limit: int | None = None,
    payers: bool = False,
) -> list[Entry]:
    """The entries from `since` on and before `until`, and those of `until` itself but its burns, in a total order; each
    scope's amounts sum to its balance (L14). Of one scope, if it is named. Or at most `limit` of them, the first ones
    `behind` one that was told before. With `payers` also the lines of the pools that paid for that scope: in whose order all
    draw on a pool is not looked at, so that what it had after them is not said.

    With a limit, a question costs what happened in the time of its answer, whatever came before and comes after it."""
    place = None if behind is None else place_of(behind)
    found = lines(
        book, customer_id, (since, until), scope=scope, behind=place, limit=limit, payers=payers, at_last=True
    )
    return list(islice((entry for _, entry in found if entry is not None), limit))


def lines(
    book: Book,
    customer_id: str,
    within: Span,
    *,
    scope: Scope | None = None,
    credit_type: str | None = None,
    contract_id: str | None = None,
    behind: Place | None = None,
    limit: int | None = None,
    payers: bool = False,
    at_last: bool = False,
) -> Iterator[Look]:
    """The same lines one by one, those before the end of a span, each with its place; None where nothing was found at a place.
    `limit`: so many are likely to be taken, so that what is worked out together is not much more. `contract_id`: those
    of other contracts may be left out. `at_last`: with those of the end itself but its burns."""
    scratch, who = look(book, customer_id)
    if who is None:
        return
    since, until = max(within[0], who.floor), within[1]
    if behind is not None:
        since = max(since, behind.time)
    if since > until:
        return
    whose = None
    if scope is not None:
        whose = holder_in(who, scope)
        credit_type = scope.credit_type
        if whose is None:
            return
    credit_types = [each for each in sorted(who.credit_types) if credit_type in (None, each)]
    if credit_types:
        wanted = Wanted(customer_id, credit_types, whose, limit, payers, contract_id)
        yield from _lines(scratch, who, wanted, (since, until), behind, at_last=at_last)


def last_entries(book: Book, until: Instant, count: int, scope: Scope, since: Instant = ORIGIN) -> list[Entry]:
    """The last `count` of the `entries` of a seat, with those of the pools that paid for it. The burns before them are passed
    over, and nobody looks who paid them."""
    scratch, who = look(book, scope.customer_id)
    whose = None if who is None else holder_in(who, scope)
    if who is not None and whose is not None and whose.seat_id is not None and scope.credit_type in who.credit_types:
        # Somebody paid for each of them, so that there are as many lines.
        burns = burns_of(Account(scratch, who, scope.credit_type), whose, since, until)
        newest = deque((burn.time for burn in burns), maxlen=count)
        if len(newest) == count:
            since = newest[0]
    return entries(book, scope.customer_id, until, scope=scope, since=since, payers=True)[-count:]


def _lines(
    book: Book, who: CustomerRow, wanted: Wanted, within: Span, behind: Place | None, *, at_last: bool
) -> Iterator[Look]:
    """Window by window, as few as are taken; not those before a place."""
    since, until = within
    running: dict[Scope, Amount] = {}
    likely = wanted.limit
    while True:
        end = until
        if likely is not None:
            end = _window(book, who, wanted, since, until, likely)
            # Who takes so many seeks among them, and each window is worked out anew.
            likely = min(2 * likely, MOST_AT_ONCE)
        crowded = end == since < until
        if crowded:
            end = since + 1
        accounts = {each: account_at(book, who, each, end) for each in wanted.credit_types}
        if crowded:
            yield from Crowd(list(accounts.values()), wanted, since).lines(behind)
            running.clear()
        told: list[Entry] = []
        for account in accounts.values():
            teller = Teller(account, wanted, since, end + 1 if at_last and end == until else end, end)
            if crowded:
                tell_group(account, teller)
            else:
                tell_account(account, teller)
            told += teller.told
        told.sort(key=entry_order)
        if crowded:
            told = [entry for entry in told if STEP[entry.type] >= STEP["burned"]]
        first = 0 if behind is None else count_before(told, behind)
        #: What the lines before the place came to, and all of the first instant but its burns, with which a scope has what it has
        #: at that instant.
        passed: Counter[Scope] = Counter()
        at_once: Counter[Scope] = Counter()
        for number, entry in enumerate(told):
            if number < first:
                passed[entry.scope] += entry.amount
            if entry.time == since and STEP[entry.type] < STEP["burned"]:
                at_once[entry.scope] += entry.amount
        for entry in told[first:]:
            scope = entry.scope
            if _is_payer(wanted, entry):
                yield place_of(entry), entry
                continue
            if scope not in running:
                # Of scopes that nobody takes a line of, nobody has to know what they have.
                has = 0 if since == ORIGIN else balance_in(accounts[scope.credit_type], scope, since).balance
                running[scope] = has - (0 if since == ORIGIN else at_once[scope]) + passed[scope]
            running[scope] += entry.amount
            yield place_of(entry), msgspec.structs.replace(entry, balance_after=running[scope])
        if end == until:
            return
        since = end


def _is_payer(wanted: Wanted, entry: Entry) -> bool:
    """Whether it is a line of a pool that paid for the seat that is asked for."""
    return wanted.whose is not None and wanted.whose.seat_id is not None and entry.scope.seat_id is None


def _window(book: Book, who: CustomerRow, wanted: Wanted, since: Instant, until: Instant, limit: int) -> Instant:
    """An instant before which enough happens for a page, but not much more; the first one itself, if too much happens then."""
    end = until
    for credit_type in wanted.credit_types:
        last = next(islice(burns_of(Account(book, who, credit_type), wanted.whose, since, end), limit, None), None)
        if last is not None:
            end = max(since + 1, last.time)
    at, count = since - 1, 0
    while (next_at := due.next_due(book, who, at)) is not None and next_at < end:
        if count >= limit:
            return next_at
        at = next_at
        count += 1
        if wanted.whose is None:
            seats = Crowd([Account(book, who, each) for each in wanted.credit_types], wanted, at).size(limit + 1)
            if seats > limit:
                return at
            count += seats
    return end


def curve(book: Book, customer_id: str, scope: Scope, times: list[Instant], since: Instant = ORIGIN) -> list[Window]:
    """The balance of a scope at each of some instants, in order, and what was burned and went over between them; before the
    first one, from `since` on."""
    return [window for window, _ in windows(book, customer_id, scope, times, since)]
