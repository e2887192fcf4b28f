"""Questions about what was agreed and who sits where: customers, contracts, seats, and how many there were."""

from collections.abc import Callable

from ledger import desks, paging
from ledger import seats as seat_rows
from ledger.contracts import ContractBrief, ContractRow, SubscriptionRow
from ledger.facts import SEAT_ID
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.paging import SeatPlace, SegmentPlace
from ledger.seat_rows import Keys, step_at
from web import cursors
from web.asked import Customer, Customers, SeatHistory, Seats
from web.cluster import Plain, View
from web.subject import Subject, at_once, page
from wire import answers


def customers(view: View, asked: Customers, behind: str | None, allowed: Callable[[str], bool]) -> list[Plain]:
    """The customers of one partition, in the order of their ids; at most one more than a page holds."""
    rows: list[Plain] = []
    for customer_id, who in paging.customers(view.book(), behind, asked.search):
        view.breathe()
        if who is not None and allowed(customer_id):
            rows.append({"customer_id": customer_id, "contracts": len(who.contracts)})
            if len(rows) > asked.limit:
                break
    return rows


def customer(view: View, customer_id: str, asked: Customer) -> Plain:
    subject = Subject(view, customer_id)
    at = subject.told(subject.at(asked.at))
    data = {
        "customer_id": customer_id,
        "contracts": [contract(subject, brief, at) for brief in subject.contracts()],
        "balances": [_brief(answers.balance(held)) for held in desks.pools(subject.book, customer_id, at)],
    }
    return at_once(at, {"data": data})


def _brief(balance: Plain) -> Plain:
    """A row of `balances` without its grants."""
    del balance["grants"]
    return balance


def contract(subject: Subject, brief: ContractBrief, at: Instant) -> Plain:
    row = subject.contract(brief)
    return {
        "contract_id": row.contract_id,
        "name": row.name,
        "overage": row.overage,
        "starting_at": answers.instant(row.starting_at),
        "ending_before": answers.instant(row.ending_before()),
        "subscriptions": [
            _subscription(subject, row, each, at)
            for each in sorted(row.subscriptions, key=lambda each: each.subscription_id)
        ],
    }


def _subscription(subject: Subject, contract: ContractRow, row: SubscriptionRow, at: Instant) -> Plain:
    settings = row.at(at)
    born, dies = contract.life(row)
    changed_at = max(born, step_at(subject.book, Keys(subject.who.number, row.number), at)[0])
    counts = seat_rows.counts(subject.book, subject.who.number, contract, row, at)
    return answers.counts(counts) | {
        "name": settings.name,
        "mode": settings.mode,
        **({} if row.seat_group_key == SEAT_ID else {"seat_group_key": row.seat_group_key}),
        "starting_at": answers.instant(born),
        "ending_before": answers.instant(dies),
        "changed_at": answers.instant(dies if dies <= at else changed_at) if born <= at else None,
    }


def seats(view: View, customer_id: str, asked: Seats) -> Plain:
    subject = Subject(view, customer_id)
    at = subject.at(asked.at)
    found = paging.sittings(
        subject.book,
        customer_id,
        at,
        contract_id=asked.contract_id,
        subscription_id=asked.subscription_id,
        feature_code=asked.feature_code,
        behind=None if asked.cursor is None else cursors.read("seats", asked.cursor, SeatPlace),
    )
    return at_once(at, page("seats", found, asked.limit, lambda _, row: _sitting(row)))


def _sitting(row: paging.Sitting) -> Plain:
    return {
        "seat_id": row.seat_id,
        "name": row.name,
        "email": row.email,
        "since": answers.instant(row.since),
        "contract_id": row.contract_id,
        "subscription_id": row.subscription_id,
        "feature_code": row.feature_code,
        **({} if row.seat_group_key == SEAT_ID else {"seat_group_key": row.seat_group_key}),
    }


def seat_history(view: View, customer_id: str, asked: SeatHistory) -> Plain:
    subject = Subject(view, customer_id)
    found = paging.segments(
        subject.book,
        customer_id,
        (_or(asked.from_, ORIGIN), _or(asked.to, FOREVER)),
        contract_id=asked.contract_id,
        subscription_id=asked.subscription_id,
        seat_id=asked.seat_id,
        behind=None if asked.cursor is None else cursors.read("history/seats", asked.cursor, SegmentPlace),
    )
    return page("history/seats", found, asked.limit, _segment)


def _segment(place: SegmentPlace, row: seat_rows.Segment) -> Plain:
    return {
        "contract_id": place.contract_id,
        "subscription_id": place.subscription_id,
        "from": answers.instant(row.from_at),
        "to": answers.instant(row.to_at),
        "quantity": row.quantity,
        "assigned": row.assigned,
        "unassigned": row.unassigned,
        "added": list(row.added),
        "removed": list(row.removed),
    }


def _or(at: Instant | None, otherwise: Instant) -> Instant:
    return otherwise if at is None else at
