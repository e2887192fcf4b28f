"""Who has left: what lay before a customer's floor is not kept.

A contract that ended long ago, and of which nobody said so lately, is closed: no fact changes it any more (`must_reach`). A
customer with closed contracts has a floor: their last end, or where something began that goes on, if that was earlier. Behind
the floor no fact reaches and no question is answered (`history.is_told`), so burns and stretches that lie there can go, once
every scope has begun anew at the floor with what it had.
"""

from collections.abc import Callable
from itertools import islice

from ledger.balances import Account
from ledger.contracts import CUSTOMER, ContractBrief, CustomerRow, load_contract
from ledger.due import lives_until
from ledger.facts import AnyFact, ContractCreated, CreditsGranted, CreditsVoided
from ledger.grants import ENTITY, GRANT, GrantRow, Holder, entity_key, grant_key, holder_key
from ledger.identities import earliest_change
from ledger.instants import ORIGIN, Instant
from ledger.partition import Refuse
from ledger.row import Row
from ledger.rows import Book, Kind, after, instant_key, number_key, text_of
from ledger.stretches import SCOPE

#: A scope that begins anew costs as much as so many rows that leave.
SCOPE_COSTS = 20


class LeavingRow(Row):
    """How far a partition's customers were looked at: as of `until` all of them, as of `looking` those before `customer_key`. Of
    that one, if its floor is said: which account, from which scope on, and whether what lies before may go."""

    until: Instant = ORIGIN
    looking: Instant = ORIGIN
    customer_key: bytes = b"C"
    floor: Instant = ORIGIN
    goes: bool = False
    account: int = 0
    place: bytes = b""


LEAVING = Kind("state", b"#", LeavingRow)
LEAVING_KEY = b"#leaving"


# --- the floor -------------------------------------------------------------------------------------------------------


def is_closed(book: Book, who: CustomerRow, brief: ContractBrief, before: Instant) -> bool:
    """Whether a contract had ended before an instant, and nobody said so since."""
    if brief.ending_before >= before:
        return False
    contract = load_contract(book, who.number, brief.number)
    return max((end.time, end.id) for end in contract.ends)[0] < before


def _is_over(row: GrantRow, before: Instant) -> bool:
    """Whether a grant to the customer's own pool had ended before an instant; of one that was voided, nobody said so since."""
    if row.given.expires_at < before:
        return True
    return lives_until(row) < before and all(void.time < before for void in row.voids)


def floor_of(book: Book, who: CustomerRow, before: Instant) -> Instant:
    """From when on a customer's past is kept, where contracts close that ended `before`. It never falls: nothing that would begin
    behind it is accepted any more."""
    closed = [brief for brief in who.contracts if is_closed(book, who, brief, before)]
    if not closed:
        return ORIGIN
    begun = [brief.starting_at for brief in who.contracts if brief not in closed]
    own = b"G" + number_key(who.number) + holder_key(who, Holder(0))
    for _, row in book.scan(GRANT, own + instant_key(before), after(own)):
        if not _is_over(row, before):
            begun.append(row.given.effective_at)
    # What was carried is followed back to where it came from for as long as it may be burned.
    ended = max(brief.ending_before + brief.carries for brief in closed)
    return min([ended, *begun])


def must_reach(book: Book, who: CustomerRow, fact: AnyFact, before: Instant) -> None:
    """Raises `Refuse` for a fact that would change what is closed, or begin behind the floor (L16)."""
    floor = floor_of(book, who, before)
    if floor == ORIGIN:
        return
    contract_id = getattr(fact.grant if isinstance(fact, CreditsGranted) else fact, "contract_id", None)
    brief = None if contract_id is None else who.brief(contract_id)
    if brief is not None and is_closed(book, who, brief, before):
        said = f"contract {contract_id} is closed: it ended longer ago than anything of it is kept"
        raise Refuse("too_late", "contract_id", said, "L16")
    if isinstance(fact, CreditsVoided) and contract_id is None and _is_of_over(book, who, fact.grant_id, before):
        said = f"grant {fact.grant_id} is closed: it ended longer ago than anything of it is kept"
        raise Refuse("too_late", "grant_id", said, "L16")
    since, field = (fact.starting_at, "starting_at") if isinstance(fact, ContractCreated) else earliest_change(fact)
    if since < floor:
        raise Refuse("too_late", field, "is before the end of a contract that is closed by now", "L16")


def _is_of_over(book: Book, who: CustomerRow, grant_id: str, before: Instant) -> bool:
    entity = book.load(ENTITY, entity_key(who.number, 0, grant_id))
    if entity is None or entity.holder is None:
        return False
    row = book.load(GRANT, grant_key(who.number, entity.holder, entity.expires_at, grant_id))
    return row is not None and _is_over(row, before)


# --- what leaves -----------------------------------------------------------------------------------------------------


def leave(book: Book, before: Instant, most: int, let_go: Callable[[str], None]) -> bool:
    """Deletes up to about `most` rows that lie behind floors. Whether there is more to do. `let_go` is told of each customer
    whose rows change, before they do: nothing of them may stay at hand."""
    row = book.load(LEAVING, LEAVING_KEY) or LeavingRow()
    if row.looking == ORIGIN:
        if before <= row.until:
            return False
        row.looking, row.customer_key = before, b"C"
    while most > 0:
        found = next(book.scan_lazily(CUSTOMER, row.customer_key, b"D"), None)
        if found is None:
            row.until, row.looking = row.looking, ORIGIN
            break
        key, who = found
        if row.floor == ORIGIN:
            # Whoever comes before it from here on has its turn the next time.
            row.customer_key = key
            row.floor = _begin(book, key, who, row.looking)
        if row.floor > ORIGIN:
            let_go(text_of(key[1:]))
            most = _go_on(book, who, row, most)
        if row.floor == ORIGIN:
            row.customer_key = key + b"\0"
        most -= 1
        book.breathe()
    book.save(LEAVING, LEAVING_KEY, row)
    return row.looking > ORIGIN


def _begin(book: Book, key: bytes, who: CustomerRow, before: Instant) -> Instant:
    """A customer's floor, where it rises; from here on the customer knows it."""
    floor = floor_of(book, who, before)
    if floor <= who.floor:
        return ORIGIN
    who.floor = floor
    book.save(CUSTOMER, key, who)
    return floor


def _go_on(book: Book, who: CustomerRow, row: LeavingRow, most: int) -> int:
    """Goes on with the customer at hand, account by account: first all scopes begin anew, then what lies before goes. Answers how
    much of `most` is left; the row has no floor any more when all is done."""
    # A fact may change the first instant that is kept, which begins with what was there just before.
    at = row.floor - 1
    while row.account < len(who.credit_types):
        account = Account(book, who, who.credit_types[row.account])
        if not row.goes:
            most = _begin_all_anew(account, row, at, most)
            book.flush()
        if row.goes:
            most = _delete_behind(account, row, at, most)
        account.let_go()
        if most <= 0:
            return most
        row.account, row.goes, row.place = row.account + 1, False, b""
    row.floor, row.account = ORIGIN, 0
    return most


def _begin_all_anew(account: Account, row: LeavingRow, at: Instant, most: int) -> int:
    """As far as `most` allows. Then what lies before may go, unless something hangs together with it."""
    if not row.place and not account.begin_group_anew(at):
        return most
    prefix = account.scope_key(b"")
    place = row.place or prefix
    while most > 0:
        found = next(account.book.scan_lazily(SCOPE, place, after(prefix)), None)
        if found is None:
            row.goes, row.place = True, b""
            account.begin_at(at)
            return most
        key, scope = found
        if not account.begin_anew(key[len(prefix) :], scope, at):
            return most
        most -= SCOPE_COSTS
        row.place = place = key + b"\0"
    return most


def _delete_behind(account: Account, row: LeavingRow, at: Instant, most: int) -> int:
    """Deletes up to about `most` rows from which nothing at an instant or later follows."""
    rows = account.book.rows
    for low, high in account.behind(at, row.place):
        if most <= 0:
            break
        keys = [key for key, _ in islice(rows.scan("state", low, high), most)]
        for key in keys:
            rows.delete("state", key)
        most -= 1 + len(keys)
        row.place = high if most >= 0 else keys[-1]
    return most
