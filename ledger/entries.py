"""The lines of an account: what happened, why, and what each scope had after it (L14). As a whole, of a time, or in pages."""

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

import msgspec

from ledger import due
from ledger.amounts import Amount
from ledger.answers import Entry, Window
from ledger.balances import Account
from ledger.contracts import CustomerRow
from ledger.grants import Holder
from ledger.history import account_at, balance_in, balances_of, burns_of, holder_in, look
from ledger.instants import ORIGIN, Instant
from ledger.outcome import Scope
from ledger.rows import Book
from ledger.telling import Teller, Wanted, everybody, tell_account


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
    scratch, who = look(book, customer_id)
    if who is None:
        return []
    since = max(since, who.floor)
    if behind is not None:
        since = max(since, behind.time)
    whose = None
    if scope is not None:
        whose = holder_in(who, scope)
        if whose is None or scope.credit_type not in who.credit_types:
            return []
    wanted = Wanted(customer_id, who.credit_types if scope is None else [scope.credit_type], whose, limit, payers)
    lines = _lines(scratch, who, wanted, since, until, behind)
    return list(islice(lines if behind is None else _behind(lines, behind), limit))


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
    book: Book, who: CustomerRow, wanted: Wanted, since: Instant, until: Instant, behind: Entry | None
) -> Iterator[Entry]:
    """Window by window, as few as are taken; not those before the place of one that was told before."""
    place = None if behind is None else entry_order(behind)
    running: dict[Scope, Amount] = {}
    while True:
        end = until if wanted.limit is None else _window(book, who, wanted, since, until, wanted.limit)
        told: list[Entry] = []
        accounts = {each: account_at(book, who, each, end) for each in wanted.credit_types}
        for account in accounts.values():
            teller = Teller(account, wanted, since, end + 1 if end == until else end, end)
            tell_account(account, teller)
            told += teller.told
        told.sort(key=entry_order)
        #: What the lines before the place came to, and all of the first instant but its burns, with which a scope has what it has
        #: at that instant.
        passed: dict[Scope, Amount] = {}
        at_once: dict[Scope, Amount] = {}
        for entry in told:
            if entry.time == since and entry.type not in ("burned", "overage"):
                at_once[entry.scope] = at_once.get(entry.scope, 0) + entry.amount
        for entry in told:
            scope = entry.scope
            if place is not None and entry_order(entry) < place:
                passed[scope] = passed.get(scope, 0) + entry.amount
                continue
            if _is_payer(wanted, entry):
                yield entry
                continue
            if scope not in running:
                # Of scopes that nobody takes a line of, nobody has to know what they have.
                has = 0 if since == ORIGIN else balance_in(accounts[scope.credit_type], scope, since).balance
                running[scope] = has - (0 if since == ORIGIN else at_once.get(scope, 0)) + passed.get(scope, 0)
            running[scope] += entry.amount
            yield msgspec.structs.replace(entry, balance_after=running[scope])
        if end == until:
            return
        since = end


def _is_payer(wanted: Wanted, entry: Entry) -> bool:
    """Whether it is a line of a pool that paid for the seat that is asked for."""
    return wanted.whose is not None and wanted.whose.seat_id is not None and entry.scope.seat_id is None


def _window(book: Book, who: CustomerRow, wanted: Wanted, since: Instant, until: Instant, limit: int) -> Instant:
    """An instant before which enough happens for a page, but not much more."""
    end = until
    for credit_type in wanted.credit_types:
        last = next(islice(burns_of(Account(book, who, credit_type), wanted.whose, since, end), limit, None), None)
        if last is not None:
            end = max(since + 1, last.time)
    at, lines = since - 1, 0
    while (next_at := due.next_due(book, who, at)) is not None and next_at < end:
        if lines >= limit:
            return next_at
        at = next_at
        lines += 1 if wanted.whose is not None else _stirs(book, who, wanted, at, limit)
    return end


def _stirs(book: Book, who: CustomerRow, wanted: Wanted, at: Instant, most: int) -> int:
    """To how many scopes something happens by itself at an instant; no more than `most` of them are counted."""
    count = 1
    for credit_type in wanted.credit_types:
        account = Account(book, who, credit_type)
        due.touch_due(account, at)
        for whose, _ in account.changes():
            if isinstance(whose, Holder):
                count += 1
            else:
                count += sum(1 for _ in islice(everybody(account, whose), max(0, most - count)))
    return count


def _behind(lines: Iterator[Entry], behind: Entry) -> Iterator[Entry]:
    """Those after one that was told before; if that one is gone since, none is left out."""
    place = entry_order(behind)
    alike: list[Entry] = []
    for line in lines:
        if entry_order(line) > place:
            lines = chain([line], lines)
            break
        if entry_order(line) == place:
            alike.append(line)
            if line.entry_id == behind.entry_id:
                alike.clear()
    return chain(alike, lines)


def entry_order(entry: Entry) -> tuple[Instant, int, str, str, str, str, str, str, str, int, str, int]:
    """The place of a line among others: one total order, that of L13 within an instant."""
    scope = entry.scope
    return (
        entry.time,
        _STEP[entry.type],
        entry.cause_id if entry.type in ("burned", "overage") else "",
        scope.credit_type,
        scope.contract_id or "",
        scope.seat_group_key,
        scope.seat_id or "",
        entry.grant_id or "",
        # Several sets of one grant at one instant were told in their order: resets, then what recurs.
        "" if entry.type in ("lifted", "forfeited") else entry.cause_id,
        -1 if entry.slice is None else entry.slice,
        entry.origin or "",
        entry.moves,
    )


_STEP = {
    "expired": 1,
    "voided": 1,
    "debt_forgiven": 2,
    "forfeited": 2,
    "lifted": 2,
    "moved_out": 4,
    "moved_in": 5,
    "granted": 6,
    "restored": 6,
    "adjusted": 7,
    "lapsed": 8,
    "debt_paid": 9,
    "burned": 10,
    "overage": 11,
}


def curve(book: Book, customer_id: str, scope: Scope, times: list[Instant], since: Instant = ORIGIN) -> list[Window]:
    """The balance of a scope at each of some instants, in order, and what was burned and went over between them; before the
    first one, from `since` on."""
    windows: list[Window] = []
    if look(book, customer_id)[1] is None:
        return windows
    lines = iter(entries(book, customer_id, max(times, default=ORIGIN), scope=scope, since=since))
    line = next(lines, None)
    for at, held in zip(times, balances_of(book, scope, times), strict=True):
        burned = overage = 0
        while line is not None and line.time < at:
            if line.type == "burned":
                burned -= line.amount
            elif line.type == "overage":
                overage += line.beside
            line = next(lines, None)
        windows.append(Window(time=at, balance=held.balance, granted=held.granted, burned=burned, overage=overage))
    return windows
