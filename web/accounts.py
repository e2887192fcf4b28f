"""Questions about credits: what is left, what happened, how it went, and what may be spent."""

from typing import Final, NamedTuple

import msgspec

from ledger import amounts, curves, desks, history, instants, paging
from ledger.answers import Balance, Entry
from ledger.desks import BalancePlace
from ledger.instants import DAY, FOREVER, ORIGIN, Every, Instant, InstantError
from ledger.order import Place
from web import cursors
from web.asked import Available, BalanceHistory, Balances, Ledger
from web.asked import every as every_of
from web.cluster import Plain, View
from web.problems import unfit
from web.subject import AHEAD, Subject, at_once, page
from wire import answers

MOST_POINTS: Final = 1_000
#: What more rows than these have left behind is not kept for the next question.
MOST_ROWS: Final = 1_000
#: So many burns and grants are looked at for one answer about a curve, and then those up to the next point.
MOST_LOOKED_AT: Final = 20_000
#: How far back a curve reaches unless somebody says.
CURVE: Final = 30 * DAY


def balances(view: View, customer_id: str, asked: Balances) -> Plain:
    subject = Subject(view, customer_id)
    at = subject.told(subject.at(asked.at), credit_type=asked.credit_type)
    shared, name = view.shared, ("balances", customer_id, at)
    desk = shared.take(name) or desks.Desk(subject.book, customer_id, at)
    desk.breathe_by(view.breathe)
    found = desk.balances(
        contract_id=asked.contract_id,
        subscription_id=asked.subscription_id,
        seat_ids=asked.seat_id,
        credit_type=asked.credit_type,
        active=_active(subject, asked),
        behind=None if asked.cursor is None else cursors.read("balances", asked.cursor, BalancePlace),
    )

    def plain(_: BalancePlace, row: desks.Held) -> Plain | None:
        if asked.kind is None:
            return answers.balance(row.balance, row.available)
        held = _of_kind(subject, row.balance, asked.kind, at)
        return answers.balance(held) if held.grants else None

    held = page("balances", found, asked.limit, plain)
    if desk.rows <= MOST_ROWS:
        shared.put(name, desk)
    return at_once(at, held)


def _active(subject: Subject, asked: Balances) -> tuple[Instant, Instant] | None:
    """The span whose grants are told too, also those that are over or still to come; from the floor on."""
    if asked.active_from is None and asked.active_to is None:
        return None
    if asked.at is not None:
        raise unfit("at", "is given beside active_from or active_to; give the one or the other")
    since = ORIGIN if asked.active_from is None else asked.active_from
    until = subject.newest() + AHEAD if asked.active_to is None else subject.at(asked.active_to, "active_to")
    if until <= since:
        raise unfit("active_to", "is not after active_from")
    return max(since, subject.who.floor), until


def _of_kind(subject: Subject, balance: Balance, kind: str, at: Instant) -> Balance:
    """A row with its grants of one kind only. What went over is of no kind."""
    contract_id = balance.scope.contract_id
    grants = tuple(
        grant
        for grant in balance.grants
        if desks.kind_of(subject.book, subject.customer_id, contract_id, grant) == kind
    )
    now = [grant for grant in grants if grant.effective_at <= at < grant.expires_at]
    left, granted = sum(grant.balance for grant in now), sum(grant.granted for grant in now)
    return msgspec.structs.replace(balance, grants=grants, balance=left, granted=granted, overage=0)


def ledger(view: View, customer_id: str, asked: Ledger) -> Plain:
    subject = Subject(view, customer_id)
    since = (
        subject.who.floor if asked.from_ is None else subject.told(asked.from_, "from", credit_type=asked.credit_type)
    )
    until = subject.told(subject.at(asked.to, "to"), "to", credit_type=asked.credit_type)
    found = paging.lines(
        subject.book,
        customer_id,
        (since, until),
        contract_id=asked.contract_id,
        seat_id=asked.seat_id,
        grant_id=asked.grant_id,
        credit_type=asked.credit_type,
        behind=None if asked.cursor is None else cursors.read("ledger", asked.cursor, Place),
        wanted=asked.limit + 1,
        payers=True,
    )
    return page("ledger", found, asked.limit, lambda _, row: line(row, asked.seat_id), looks_for(asked.limit))


def looks_for(limit: int) -> int:
    """At how many places a page of a ledger looks: where something may have happened to many at once, each costs as much as a
    line, whether there is one or not."""
    return 100 + 5 * limit


def line(entry: Entry, seat_id: str | None) -> Plain:
    """A row of the ledger. Among those of a seat are lines of the pools that paid for it, which do not say what the pool had
    left: that follows from everybody's burns."""
    plain = answers.entry(entry)
    if seat_id is not None and entry.scope.seat_id is None:
        plain["balance_after"] = None
    return plain


class CurvePlace(NamedTuple):
    """A curve, and the last point of it that was told."""

    since: str
    until: str
    last: str


def balance_history(view: View, customer_id: str, asked: BalanceHistory) -> Plain:
    """As many points as can be told without much more than `MOST_LOOKED_AT` burns; one at least."""
    subject = Subject(view, customer_id)
    begun, until, last = _span(subject, asked)
    times = [at for at in points(begun, until, every_of(asked.every)) if last is None or at > last]
    since = begun if last is None else last
    scope = subject.scope(asked.contract_id, asked.seat_id, asked.credit_type, until)
    for at in [since, *times]:
        subject.told(at, "from", scope)
    told: list[Plain] = []
    cursor = None
    for window, looks in curves.windows(subject.book, customer_id, scope, times, since):
        told.append(answers.window(window))
        if looks > MOST_LOOKED_AT and len(told) < len(times):
            place = CurvePlace(*map(instants.text, (begun, until, window.time)))
            cursor = cursors.write("history/balance", place)
            break
    return {"data": told, "next_cursor": cursor}


def _span(subject: Subject, asked: BalanceHistory) -> tuple[Instant, Instant, Instant | None]:
    """From when until when a curve goes, and behind which point. A cursor says all three: meanwhile the clock goes on."""
    if asked.cursor is None:
        until = subject.at(asked.to, "to")
        return until - CURVE if asked.from_ is None else asked.from_, until, None
    place = cursors.read("history/balance", asked.cursor, CurvePlace)
    try:
        since, until, last = map(instants.instant, place)
    except InstantError:
        raise unfit("cursor", "is none of ours; give `next_cursor` as it was answered") from None
    if not since <= last <= until or until > subject.newest() + AHEAD:
        raise unfit("cursor", "is none of ours; give `next_cursor` as it was answered")
    return since, until, last


def points(since: Instant, until: Instant, every: Every) -> list[Instant]:
    """From `since` on, `every` apart, as far as `until`."""
    if since > until:
        raise unfit("from", "is after to")
    times: list[Instant] = []
    while (at := every.point(since, len(times))) <= until and at < FOREVER:
        if len(times) == MOST_POINTS:
            raise unfit("every", f"comes to more than {MOST_POINTS:,} points; give a longer one, or less time")
        times.append(at)
    return times


def available(view: View, customer_id: str, asked: Available) -> Plain:
    """May a seat (or, where none is named, whoever draws on the pools) spend so much now, and what would pay."""
    subject = Subject(view, customer_id)
    if asked.amount <= 0:
        raise unfit("amount", "is not above 0", "amount_out_of_range")
    at = subject.at()
    contract = subject.contract_of(asked.seat_id, at) if asked.contract_id is None else subject.named(asked.contract_id)
    scope = subject.scope(contract.contract_id, asked.seat_id, asked.credit_type, at)
    enough, payers = history.available(subject.book, scope, at, asked.amount)
    data = {
        "available": enough,
        "contract_id": contract.contract_id,
        "amount": amounts.text(asked.amount),
        "covered": amounts.text(sum(paid for _, _, paid in payers)),
        "payers": [
            {"grant_id": grant_id, "slice": slice, "amount": amounts.text(paid)} for grant_id, slice, paid in payers
        ],
    }
    return at_once(at, {"data": data})
