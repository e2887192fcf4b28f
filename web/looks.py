"""What a page of the view shows, gathered in one look at a customer's rows, so that all of it is of one moment."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import orjson

from ledger import amounts, desks, entries, history
from ledger.answers import Entry
from ledger.desks import BalancePlace
from ledger.grants import stays_of
from ledger.instants import DAY, HOUR, MINUTE, Every, Instant
from ledger.outcome import Scope
from web import cursors, watched
from web.agreed import customer
from web.asked import Customer, CustomerPage, SeatPage, picked
from web.charts import Point, balance_chart, events
from web.cluster import Plain, View
from web.subject import Subject, page
from wire import answers

#: Seats a page, and lines.
SEATS: Final = 50
LINES: Final = 50
#: So many seats are put in the order of what they have left.
MOST_SORTED: Final = 10_000
#: So many seats are looked through for a part of an id.
MOST_SEARCHED: Final = 100_000
#: How far a seat's page looks back and ahead.
BACK: Final = 30 * DAY
AHEAD: Final = 60 * DAY
POINTS_HOURS: Final = 12
#: Lines are looked for further and further back, until there are enough: all of a time, since the newest come last.
_BACK: Final = (MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY, 400 * DAY)
MOST_COMING: Final = 20


def of_customer(view: View, customer_id: str, asked: CustomerPage) -> Plain:
    subject = Subject(view, customer_id)
    at = subject.told(subject.at(picked(asked.at)))
    held = customer(view, customer_id, Customer(at=picked(asked.at)))["data"]
    seats = _least_first(subject, asked, at) if asked.sort == "left" else _by_id(subject, asked, at)
    shown = {"contracts": held["contracts"], "pools": held["balances"], "at": at}
    return shown | seats | watched.alarms(view, customer_id, at)


def _rows(
    subject: Subject, asked: CustomerPage, at: Instant, behind: BalancePlace | None = None
) -> Iterator[tuple[BalancePlace, desks.Held | None]]:
    for found in desks.balances(subject.book, subject.customer_id, at, search=asked.search, behind=behind):
        subject.view.breathe()
        yield found


def _by_id(subject: Subject, asked: CustomerPage, at: Instant) -> Plain:
    behind = None if asked.cursor is None else cursors.read("seats of a page", asked.cursor, BalancePlace)
    rows = _rows(subject, asked, at, behind)
    found = page("seats of a page", rows, SEATS, lambda _, row: _seat(row), MOST_SEARCHED)
    return {"seats": found["data"], "cursor": found["next_cursor"], "too_many": 0}


def _least_first(subject: Subject, asked: CustomerPage, at: Instant) -> Plain:
    """All that there are, so that the one with the least is found. A page is a place in that order."""
    found, too_many = [], 0
    for looks, (_, row) in enumerate(_rows(subject, asked, at)):
        if looks == MOST_SORTED:
            too_many = MOST_SORTED
            break
        if row is not None:
            scope = row.balance.scope
            order = (row.balance.balance, scope.contract_id or "", scope.seat_id or "", scope.credit_type)
            found.append((order, row))
    found.sort(key=lambda one: one[0])
    if asked.cursor is not None:
        behind = cursors.read("least first", asked.cursor, tuple[int, str, str, str])
        found = [one for one in found if one[0] > behind]
    cursor = cursors.write("least first", found[SEATS - 1][0]) if len(found) > SEATS else None
    return {"seats": [_seat(row) for _, row in found[:SEATS]], "cursor": cursor, "too_many": too_many}


def _seat(row: desks.Held) -> Plain:
    return answers.balance(row.balance, row.available)


def of_seat(view: View, customer_id: str, seat_id: str, asked: SeatPage, drawn: bool = True) -> Plain:
    """`drawn`: with the chart, which is most of the work."""
    subject = Subject(view, customer_id)
    at = subject.told(subject.at(picked(asked.at)), credit_type=asked.credit_type)
    brief = subject.contract_of(seat_id, at) if asked.contract_id is None else subject.named(asked.contract_id)
    named: dict[str, Any] = {
        "contract_id": brief.contract_id, "seat_ids": [seat_id], "credit_type": asked.credit_type,
    }  # fmt: skip
    rows = desks.balances(subject.book, customer_id, at, **named)
    held = next((row for _, row in rows if row is not None), None)
    if held is None:
        return {"row": None, "contract_id": brief.contract_id, "at": at}
    scope = held.balance.scope
    return {
        "row": _seat(held),
        "contract_id": brief.contract_id,
        "chart": _chart(subject, scope, at, named) if drawn else "",
        "coming": _coming(subject, scope, at),
        "lines": [
            answers.entry(line) | {"beside": amounts.text(line.beside), "is_of_pool": line.scope.seat_id is None}
            for line in _last_lines(subject, scope, at)
        ],
        "at": at,
    } | watched.alarms(view, customer_id, at, watched.seat_watched(scope))


def _chart(subject: Subject, scope: Scope, at: Instant, named: dict[str, Any]) -> str:
    since, until = at - BACK, at + DAY
    around = desks.balances(subject.book, subject.customer_id, at, active=(since, until), **named)
    grants = next((row.balance.grants for _, row in around if row is not None), ())
    times = {Every(POINTS_HOURS, "hour").point(since, n) for n in range(2 * (BACK + DAY) // DAY + 1)}
    # Where a grant begins or ends the curve has its step, not half a day later.
    times |= {instant for instant, _ in events(grants, since, until)}
    told = sorted(at for at in times if history.is_told(subject.book, subject.customer_id, at, scope))
    balances = history.balances_of(subject.book, scope, told)
    points = [Point(at, held.balance, held.granted) for at, held in zip(told, balances, strict=True)]
    return balance_chart(points, grants, at, list(watched.lines(subject.view, subject.customer_id, scope)))


def _coming(subject: Subject, scope: Scope, at: Instant) -> list[Plain]:
    """What is known of the time to come: what begins, ends and recurs, and where the seat comes and goes."""
    until = at + AHEAD
    lines = entries.entries(subject.book, subject.customer_id, until, scope=scope, since=at + 1, limit=MOST_COMING)
    found: list[tuple[Instant, Plain]] = [
        (line.time, {"type": line.type, "amount": amounts.text(line.amount), "what": line.grant_id}) for line in lines
    ]
    for time, type, subscription_id in _comes_and_goes(subject, scope):
        if at < time < until:
            found.append((time, {"type": type, "amount": "", "what": subscription_id}))
    found.sort(key=lambda one: one[0])
    return [{"time": answers.instant(time)} | said for time, said in found[:MOST_COMING]]


def _comes_and_goes(subject: Subject, scope: Scope) -> Iterator[tuple[Instant, str, str]]:
    """When a seat is assigned and when it no longer is, in which subscription; what its own row says, whoever else sits there."""
    assert scope.contract_id is not None and scope.seat_id is not None
    contract = subject.contract(subject.named(scope.contract_id))
    for row in contract.subscriptions:
        if row.seat_group_key == scope.seat_group_key:
            for stay in stays_of(subject.book, subject.who, contract, row, scope.seat_id):
                yield stay.start, "comes", row.subscription_id
                yield stay.end, "leaves", row.subscription_id


def _last_lines(subject: Subject, scope: Scope, at: Instant) -> list[Entry]:
    """The newest lines, the last one first; those of the pools, too, that paid for this seat."""
    told: list[Entry] = []
    for back in _BACK:
        told = entries.last_entries(subject.book, at, LINES, scope, at - back)
        if len(told) == LINES:
            break
    return told[::-1]


def mark(held: Plain) -> str:
    """What becomes another where a page shows something else. The chart has nothing that is not among the lines, the grants
    and the balance, but for the time that passes."""
    lasting = {name: shown for name, shown in held.items() if name not in ("at", "chart", "as_of")}
    return blake2b(orjson.dumps(lasting), digest_size=8).hexdigest()
