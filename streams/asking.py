"""The ledger's answers about one customer at one instant, for who decides what is said."""

from collections.abc import Iterator

from ledger import charges as seat_charges
from ledger import history, seats
from ledger.answers import Balance, Charge, Counts
from ledger.balances import Account
from ledger.contracts import CUSTOMER, ContractRow, SubscriptionRow, customer_key, load_contract
from ledger.grants import Holder
from ledger.instants import Instant
from ledger.outcome import Scope
from ledger.rows import Book, Rows, Scratch

Found = tuple[ContractRow, SubscriptionRow]


class Asked:
    """The ledger's answers about one customer at one instant, over rows that they leave as they are."""

    def __init__(self, rows: Rows, customer_id: str, at: Instant) -> None:
        self._book = Book(Scratch(rows))
        self._customer_id = customer_id
        self._at = at
        who = self._book.load(CUSTOMER, customer_key(customer_id))
        assert who is not None, "only customers of whom a fact was folded are asked about"
        self.who = who
        self._accounts: dict[str, Account] = {}
        self._answers: dict[Scope, Balance] = {}

    def balances(self, contract_id: str | None = None) -> list[Balance]:
        """All of the customer, or of a contract."""
        found = history.balances(self._book, self._customer_id, self._at, contract_id=contract_id)
        self._answers.update((balance.scope, balance) for balance in found)
        return found

    def balance(self, scope: Scope) -> Balance:
        answer = self._answers.get(scope)
        if answer is None:
            answer = self._answers[scope] = self._answer(scope)
        return answer

    def _answer(self, scope: Scope) -> Balance:
        brief = None if scope.contract_id is None else self.who.brief(scope.contract_id)
        if scope.contract_id is not None and brief is None:
            return nothing(scope)
        account = self._accounts.get(scope.credit_type)
        if account is None:
            account = self._accounts[scope.credit_type] = Account(self._book, self.who, scope.credit_type)
            history.reach(account, self._at)
        number = 0 if brief is None else brief.number
        if scope.seat_id is None:
            holder = Holder(number)
        else:
            self.who.group_key(scope.seat_group_key)
            holder = Holder(number, scope.seat_id, scope.seat_group_key)
        return history.balance_of(account, scope.customer_id, holder, self._at) or nothing(scope)

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
        for segment in seats.history(self._book, self.who.number, contract, row, after_at + 1, until + 1):
            if segment.from_at > after_at:
                steps = seats.steps(self._book, self.who.number, row, segment.from_at, segment.from_at)
                edit_id = steps[-1].edit_id if segment.from_at > born and steps[-1].at == segment.from_at else ""
                yield segment.from_at, segment.added, segment.removed, edit_id
        if born < dies and after_at < dies <= until:
            yield dies, (), (), ""


def nothing(scope: Scope) -> Balance:
    return Balance(scope=scope, balance=0, granted=0, overage=0, grants=())
