"""Whom a question is about, at which instant, and how a list becomes a page.

Lists page before they ask: only the rows of a page are computed, and a page ends after `MOST_LOOKS` places, however few of
them had a row, so that no question takes long because much lies beside its way.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from ledger import history, instants
from ledger.account_rows import newest_burn
from ledger.contracts import (
    CUSTOMER,
    ContractBrief,
    ContractRow,
    CustomerRow,
    SubscriptionRow,
    customer_key,
    load_contract,
)
from ledger.facts import SEAT_ID
from ledger.instants import DAY, Instant
from ledger.outcome import Scope
from ledger.paging import is_known
from ledger.seats import seat
from web import cursors
from web.cluster import Plain, View
from web.problems import Problem, unfit
from wire import answers

P = TypeVar("P")
R = TypeVar("R")

#: So far ahead of the clock a question may look.
AHEAD: Final = 400 * DAY
#: So many places are looked at for one page.
MOST_LOOKS: Final = 2_000


class Subject:
    """A customer that is known, and the rows to ask about it."""

    def __init__(self, view: View, customer_id: str) -> None:
        self.view = view
        self.customer_id = customer_id
        self.book = view.book()
        who = self.book.load(CUSTOMER, customer_key(customer_id))
        if who is None or not is_known(self.book, who):
            raise Problem(404, "unknown_customer", f"customer {customer_id!r} is not known", field="customer_id")
        self.who: CustomerRow = who

    def newest(self) -> Instant:
        return max(self.view.clock, newest_burn(self.book, self.who))

    def at(self, at: Instant | None = None, field: str = "at") -> Instant:
        """The instant that is asked about; unless said, just after the later of the clock and the newest burn, so that a read
        after a write sees it."""
        if at is None:
            return self.newest() + 1
        if at > self.newest() + AHEAD:
            raise unfit(field, "is more than 400 days ahead of the clock")
        return at

    def told(
        self, at: Instant, field: str = "at", scope: Scope | None = None, credit_type: str | None = None
    ) -> Instant:
        """The same instant, unless what was left then cannot be told any more (ledger.ageing, ledger.leaving): of any credits, of
        one type, or of one scope."""
        # Nothing ages before the clock has passed it by far.
        if at < self.view.clock and not history.is_told(self.book, self.customer_id, at, scope, credit_type):
            if at < (floor := self.who.floor):
                raise Problem(
                    410, "too_long_ago",
                    f"a contract of this customer ended long ago, and what was there before is not kept any more: ask for "
                    f"{instants.text(floor)} or later",
                    field=field,
                )  # fmt: skip
            day = at // DAY * DAY
            raise Problem(
                410, "too_long_ago",
                f"of {instants.text(day)[:10]} only the burns of the whole day are kept by now: ask for "
                f"{instants.text(day)} or {instants.text(day + DAY)}",
                field=field,
            )  # fmt: skip
        # A plain one, which a cursor can be made of.
        return int(at)

    # --- contracts ---

    def contracts(self) -> list[ContractBrief]:
        return sorted(self.who.contracts, key=lambda brief: brief.contract_id)

    def contract(self, brief: ContractBrief) -> ContractRow:
        return load_contract(self.book, self.who.number, brief.number)

    def contract_of(self, seat_id: str | None, at: Instant) -> ContractBrief:
        """The contract whose window holds an instant, and of several the one where the seat is assigned then (D24); where no
        window holds it, the only one."""
        found = [brief for brief in self.contracts() if brief.starting_at <= at < brief.ending_before]
        if len(found) > 1 and seat_id is not None:
            found = [brief for brief in found if self._sits(brief, seat_id, at)] or found
        found = found or self.contracts()
        if not found:
            raise Problem(404, "unknown_contract", "this customer has no contract", field="contract_id")
        if len(found) > 1:
            raise unfit("contract_id", "is needed: several contracts may be meant", "contract_ambiguous")
        return found[0]

    def named(self, contract_id: str) -> ContractBrief:
        brief = self.who.brief(contract_id)
        if brief is None:
            raise Problem(404, "unknown_contract", f"contract {contract_id!r} is not known", field="contract_id")
        return brief

    # --- scopes ---

    def scope(self, contract_id: str | None, seat_id: str | None, credit_type: str, at: Instant) -> Scope:
        """The one scope that is meant: without a contract the seat's, as for a burn, or the customer's pool."""
        brief = None
        if contract_id is not None:
            brief = self.named(contract_id)
        elif seat_id is not None:
            brief = self.contract_of(seat_id, at)
        return Scope(
            customer_id=self.customer_id,
            contract_id=None if brief is None else brief.contract_id,
            seat_id=seat_id,
            seat_group_key=SEAT_ID if brief is None or seat_id is None else self._group_key(brief, seat_id),
            credit_type=credit_type,
        )

    def _group_key(self, brief: ContractBrief, seat_id: str) -> str:
        """What kind of thing the seat's id is: that of a subscription where it ever sat, else the usual one."""
        return next((row.seat_group_key for row in self._where_it_sat(brief, seat_id)), SEAT_ID)

    def _where_it_sat(self, brief: ContractBrief, seat_id: str) -> Iterator[SubscriptionRow]:
        for row in self.contract(brief).subscriptions:
            if seat(self.book, self.who.number, row, seat_id) is not None:
                yield row

    def _sits(self, brief: ContractBrief, seat_id: str, at: Instant) -> bool:
        for row in self._where_it_sat(brief, seat_id):
            born, dies = self.contract(brief).life(row)
            held = seat(self.book, self.who.number, row, seat_id)
            if born <= at < dies and held is not None and held.at(at) is not None:
                return True
        return False


def page(
    kind: str,
    found: Iterator[tuple[P, R | None]],
    limit: int,
    plain: Callable[[P, R], Plain | None],
    most_looks: int = MOST_LOOKS,
) -> Plain:
    """The first rows of a list, and the cursor of the next ones."""
    rows: list[Plain] = []
    cursor = None
    for looks, (place, row) in enumerate(found, 1):
        told = None if row is None else plain(place, row)
        if told is not None:
            rows.append(told)
        if len(rows) == limit or looks == most_looks:
            # Whether anything comes after it is known only by a look.
            cursor = None if next(found, None) is None else cursors.write(kind, place)
            break
    return {"data": rows, "next_cursor": cursor}


def at_once(at: Instant, held: Plain) -> Plain:
    """An answer as of one instant says which."""
    return held | {"at": answers.instant(at)}
