"""Answers that are many, a few at a time: customers, who sits where, segments, lines; balances are on a desk (`desks`).

Each is an iterator over places in one order, with what there is at each place; None where there is nothing to tell, so that
whoever pages may stop after many such. A place is made of ids, never of a count: what comes and goes between two pages
neither skips a row that is there throughout nor tells it twice.
"""

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from ledger import entries, seats
from ledger.answers import Entry
from ledger.contracts import CONTRACT, CUSTOMER, ContractRow, CustomerRow, SubscriptionRow, contract_key, load_contract
from ledger.entries import Span
from ledger.facts import Value
from ledger.grants import Holder
from ledger.history import look, scope_of
from ledger.instants import Instant
from ledger.order import Place
from ledger.outcome import Scope
from ledger.rows import Book, after, text_key, text_of
from ledger.seat_rows import SEAT, Keys

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


class SegmentPlace(NamedTuple):
    contract_id: str
    subscription_id: str
    from_at: Instant


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
    for contract, row in _subscriptions(scratch, who, contract_id, subscription_id, behind):
        assert who is not None
        settings = row.at(at)
        born, dies = contract.life(row)
        place = contract.contract_id, row.subscription_id
        if feature_code not in (None, settings.feature_code) or not born <= at < dies:
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
    book: Book,
    who: CustomerRow | None,
    contract_id: str | None,
    subscription_id: str | None,
    behind: SeatPlace | SegmentPlace | None,
) -> Iterator[tuple[ContractRow, SubscriptionRow]]:
    """A customer's subscriptions, by the ids of contract and subscription, from the one of a place on."""
    for brief in sorted([] if who is None else who.contracts, key=lambda brief: brief.contract_id):
        if contract_id in (None, brief.contract_id):
            assert who is not None
            contract = load_contract(book, who.number, brief.number)
            for row in sorted(contract.subscriptions, key=lambda row: row.subscription_id):
                started = behind is None or (contract.contract_id, row.subscription_id) >= behind[:2]
                if started and subscription_id in (None, row.subscription_id):
                    yield contract, row


# --- how many sat there ----------------------------------------------------------------------------------------------


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
    for contract, row in _subscriptions(scratch, who, contract_id, subscription_id, behind):
        assert who is not None
        place = contract.contract_id, row.subscription_id
        since, until = within
        if behind is not None and place == behind[:2]:
            since = max(since, behind.from_at)
        for segment in seats.history(scratch, who.number, contract, row, since, until):
            at = SegmentPlace(*place, segment.from_at)
            if behind is not None and at <= behind:
                continue
            yield at, segment if seat_id is None or seat_id in segment.added or seat_id in segment.removed else None


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
