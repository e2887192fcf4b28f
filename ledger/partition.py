"""What all that fold facts stand on: a partition's rows at hand, its accounts, and how a fact is refused or has to wait."""

from typing import NamedTuple

from ledger.ageing import aged_until
from ledger.balances import Account
from ledger.contracts import (
    CONTRACT,
    CUSTOMER,
    ContractRow,
    CustomerRow,
    contract_key,
    customer,
    customer_key,
    load_contract,
)
from ledger.facts import AnyFact
from ledger.history import changed
from ledger.instants import DAY, HOUR, MINUTE, ORIGIN, Instant, Span
from ledger.outcome import Changed, EverySeat, Outcome, Refusal
from ledger.rows import Book, Breathe, Rows, nobody_waits, number_key

#: What waits until one of several contracts can be told from the others; for a burn of a seat, `ambiguous` of that seat.
AMBIGUOUS = "ambiguous"


def ambiguous(seat_group_key: str, seat_id: str) -> str:
    """The name under which a burn waits to be told in which of several contracts its seat sits. Begins with `AMBIGUOUS`."""
    return f"{AMBIGUOUS}:{len(seat_group_key)}:{seat_group_key}:{seat_id}"


class Missing(Exception):
    """Internal: a fact names something that is not known yet. `wakes` is the name under which it waits."""

    def __init__(self, code: str, field: str, message: str, wakes: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, field=field, message=message, law="L19")
        self.wakes = wakes


class Refuse(Exception):
    """Internal: a fact breaks a rule."""

    def __init__(
        self, code: str, field: str | None, message: str, law: str | None = None, details: dict[str, int] | None = None
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, field=field, message=message, law=law, details=details)


class AtHand:
    """A customer of whom a burn came. `known`: with what the identities of its burns go on."""

    __slots__ = ("accounts", "key", "known", "row")

    def __init__(self, row: CustomerRow, key: bytes, accounts: dict[str, Account]) -> None:
        self.row = row
        self.key = key
        self.accounts = accounts
        self.known = number_key(row.number) + b"b"


class Generations(NamedTuple):
    """With what the keys of identities of burns begin that may be known to one that arrives from `since` until before `until`.
    `this` generation takes what happens before it `ends`."""

    since: Instant
    until: Instant
    ends: Instant
    this: bytes
    before: bytes
    following: bytes | None


class Partition:
    """The rows of one partition for one batch, and some that stay at hand for the next one: of customers to whom nothing came
    but usual burns. So they are what was written, and reading them anew would find the same; up to `most` of them."""

    def __init__(
        self,
        rows: Rows,
        breathe: Breathe = nobody_waits,
        /,
        *,
        lateness: Span = 34 * DAY,
        ahead: Span = 24 * HOUR,
        wait: Span = 10 * MINUTE,
        wait_customer: int = 10_000,
        wait_partition: int = 100_000,
        most: int = 0,
    ) -> None:
        self.book = Book(rows, breathe)
        self._get = rows.get
        self.most = most
        self.lateness = lateness
        self.ahead = ahead
        self.wait = wait
        self.wait_customer = wait_customer
        self.wait_partition = wait_partition
        #: Before when burns have aged, or are taken to have (ledger.ageing).
        self.horizon: Instant = ORIGIN
        #: Contracts that ended before then, and of which nobody said so since, are closed (ledger.leaving).
        self.closed_before: Instant = ORIGIN
        self._settled: list[tuple[AnyFact, Outcome]] = []
        self._accounts: dict[int, dict[str, Account]] = {}
        self._at_hand: dict[str, AtHand] = {}
        #: Of whom more than usual burns came in this batch.
        self._unusual: set[str] = set()
        self._known = Generations(ORIGIN, ORIGIN, ORIGIN, b"", b"", None)
        self._aged_until = aged_until(self.book)

    def turn_to(self, rows: Rows, breathe: Breathe = nobody_waits) -> None:
        """Another batch begins, over rows that are what `flush` left."""
        self.book.turn_to(rows, breathe)
        self._get = rows.get

    def flush(self) -> None:
        """Writes what was folded, and forgets what does not stay: the end of a batch."""
        for customer_id in self._unusual:
            self._let_go(customer_id)
        self._unusual.clear()
        if len(self.book.staying) > self.most:
            # Half of them, those that came first: each that comes next would find no room otherwise.
            for customer_id in list(self._at_hand):
                self._let_go(customer_id)
                if len(self.book.staying) <= self.most // 2:
                    break
        self.book.close()

    def _let_go(self, customer_id: str) -> None:
        self._at_hand.pop(customer_id, None)
        self.book.staying.pop(customer_key(customer_id), None)
        for account in self._accounts.pop(customer(self.book, customer_id).number, {}).values():
            account.let_go()

    def _account(self, who: CustomerRow, credit_type: str) -> Account:
        accounts = self._accounts.setdefault(who.number, {})
        account = accounts.get(credit_type)
        if account is None:
            who.credit_type(credit_type)
            account = accounts[credit_type] = Account(self.book, who, credit_type)
        elif len(account.briefs) != len(who.contracts):
            account.look_again()
        account.horizon = self.horizon
        account.turn += 1
        return account

    def _changed(self, customer_id: str, who: CustomerRow) -> tuple[Changed | EverySeat, ...]:
        """Whose balances the last fact changed, and from when on."""
        accounts = sorted(self._accounts.get(who.number, {}).items())
        return tuple(one for _, account in accounts for one in changed(account, customer_id))

    def _rebuild(self, who: CustomerRow, since: Instant, credit_type: str | None = None) -> None:
        for each in who.credit_types if credit_type is None else [credit_type]:
            self._account(who, each).rebuild(since)

    def _contract(self, who: CustomerRow, contract_id: str) -> ContractRow:
        brief = who.brief(contract_id)
        if brief is None:
            raise Missing(
                "unknown_contract", "contract_id", f"contract {contract_id} is not known yet", f"contract:{contract_id}"
            )
        return load_contract(self.book, who.number, brief.number)

    def _save_contract(self, who: CustomerRow, contract: ContractRow, *, revised: bool) -> None:
        self.book.save(CONTRACT, contract_key(who.number, contract.number), contract)
        for brief in who.contracts:
            if brief.number == contract.number:
                brief.ending_before = contract.ending_before()
                brief.revision += revised

    def _save_customer(self, who: CustomerRow, customer_id: str) -> None:
        self.book.save(CUSTOMER, customer_key(customer_id), who)
