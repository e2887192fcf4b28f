"""The ledger's answers about one customer at one instant, for who decides what is said."""

from collections.abc import Iterator

from ledger import charges as seat_charges
from ledger import history, seats
from ledger.account_rows import newest_burn
from ledger.answers import Balance, Charge, Counts
from ledger.balances import Account
from ledger.contracts import CUSTOMER, ContractRow, SubscriptionRow, customer_key, load_contract
from ledger.grants import holder_key
from ledger.instants import ORIGIN, Instant
from ledger.outcome import Scope
from ledger.rows import Book, Breathe, Rows, Scratch, nobody_waits
from ledger.stretches import SCOPE

Found = tuple[ContractRow, SubscriptionRow]


class Asked:
    """The ledger's answers about one customer at one instant, over rows that they leave as they are."""

    def __init__(self, rows: Rows, customer_id: str, at: Instant, breathe: Breathe = nobody_waits) -> None:
        self._book = Book(Scratch(rows), breathe)
        self._customer_id = customer_id
        self._at = at
        who = self._book.load(CUSTOMER, customer_key(customer_id))
        assert who is not None, "only customers of whom a fact was folded are asked about"
        self.who = who
        self._accounts: dict[str, Account] = {}
        self._answers: dict[Scope, Balance] = {}

    def balance(self, scope: Scope) -> Balance:
        answer = self._answers.get(scope)
        if answer is None:
            answer = self._answers[scope] = history.balance_in(self._account(scope.credit_type), scope, self._at)
        return answer

    def _account(self, credit_type: str) -> Account:
        account = self._accounts.get(credit_type)
        if account is None:
            account = self._accounts[credit_type] = history.account_at(self._book, self.who, credit_type, self._at)
        return account

    def newest_burn(self, scope: Scope) -> Instant:
        """The time of a seat's newest burn; of a pool's, that of anybody's, who may have drawn on it."""
        if scope.seat_id is None:
            return self.newest()
        account = self._account(scope.credit_type)
        holder = history.holder_in(self.who, scope)
        row = None if holder is None else account.book.load(SCOPE, account.scope_key(holder_key(self.who, holder)))
        if row is None:
            return ORIGIN
        return row.recent[-1][0] if row.recent else self.newest()

    def newest(self) -> Instant:
        """The time of the customer's newest burn."""
        return newest_burn(self._book, self.who)

    def subscriptions(self) -> list[tuple[str, str]]:
        return [
            (brief.contract_id, row.subscription_id)
            for brief in self.who.contracts
            for row in load_contract(self._book, self.who.number, brief.number).subscriptions
        ]

    def subscription(self, contract_id: str, subscription_id: str) -> Found | None:
        brief = self.who.brief(contract_id)
        if brief is None:
            return None
        contract = load_contract(self._book, self.who.number, brief.number)
        row = contract.subscription(subscription_id, None, self._at)
        return None if row is None else (contract, row)

    def counts(self, found: Found, at: Instant) -> Counts:
        return seats.counts(self._book, self.who.number, *found, at)

    def charges(self, found: Found, from_at: Instant, to_at: Instant) -> list[Charge]:
        return seat_charges.charges(self._book, self.who.number, *found, from_at, to_at)

    def changes(
        self, found: Found, after_at: Instant, until: Instant
    ) -> Iterator[tuple[Instant, tuple[str, ...], tuple[str, ...], str]]:
        """The instants in `(after_at, until]` at which the counts or the holders change: who came, who left, by which edit."""
        contract, row = found
        born, dies = contract.life(row)
        # From a change on, since what holds before the first one would list everybody.
        first = born if after_at < born else seats.next_step_after(self._book, self.who.number, row, after_at)
        if first is not None:
            for segment in seats.history(self._book, self.who.number, contract, row, first, until + 1):
                steps = seats.steps(self._book, self.who.number, row, segment.from_at, segment.from_at)
                edit_id = steps[-1].edit_id if segment.from_at > born and steps[-1].at == segment.from_at else ""
                yield segment.from_at, segment.added, segment.removed, edit_id
        if born < dies and after_at < dies <= until:
            yield dies, (), (), ""
