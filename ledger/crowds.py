"""One instant at which something happens to many: its lines in their order, a few at a time.

A period may begin for 100,000 seats at once. Who may have a line is found by the seats' ids, step by step of L13, and only
the seats that are asked for are told: a look at each, whether there was anything to tell or not.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain, groupby, islice
from typing import NamedTuple

import msgspec

from ledger import grants
from ledger.answers import Entry
from ledger.balances import Account
from ledger.contracts import ContractRow, SubscriptionRow, load_contract
from ledger.due import earning, recurs_at, seats_named, seats_noted, seats_turned
from ledger.everyone import movers_of, seats_of_group
from ledger.facts import SEAT_ID
from ledger.grants import Holder, holder_key, split_holder
from ledger.history import balance_in, scope_of
from ledger.instants import Instant
from ledger.order import STEP, STEPS, Place, count_before, entry_order, place_of
from ledger.outcome import Scope
from ledger.telling import Teller, Wanted, keys_of_seat, tell_group, tell_scopes, tell_seat_at

#: A place, and the line that is there; None: nobody there has any.
Look = tuple[Place, Entry | None]


class _Everybody(NamedTuple):
    """To all seats of a contract, or of one of its subscriptions, something may happen in these steps."""

    subscription: SubscriptionRow | None
    steps: set[int]


class Crowd:
    """What happens to a customer's scopes at one instant before anybody burns. Nothing may be saved while it is asked."""

    def __init__(self, accounts: Sequence[Account], wanted: Wanted, at: Instant) -> None:
        self._accounts = accounts
        self._wanted = wanted
        self._at = at
        who = accounts[0].customer
        #: By id; None: the customer's own pool.
        self._contracts: list[ContractRow | None] = [None] if wanted.contract_id is None else []
        for brief in sorted(who.contracts, key=lambda brief: brief.contract_id):
            if wanted.contract_id in (None, brief.contract_id):
                self._contracts.append(load_contract(accounts[0].book, who.number, brief.number))
        #: Of each account, whose own grants recur then.
        self._recur: dict[int, list[Holder]] = {}
        #: By the names of the groups, as their seats are told.
        self._group_keys = sorted({*who.seat_group_keys, SEAT_ID})

    def size(self, most: int) -> int:
        """How many seats there are to which something may happen; no more than `most` of them are counted."""
        seats = (
            self._seats(account, contract, seat_group_key, None, "")
            for account in self._accounts
            for contract in self._contracts
            for seat_group_key in self._group_keys
        )
        return sum(1 for _ in islice(chain.from_iterable(seats), most))

    def lines(self, behind: Place | None) -> Iterator[Look]:
        """The lines of this instant behind a place, or from the first one on."""
        if behind is not None and behind.time < self._at:
            behind = None
        shared = [self._shared_lines(account) for account in self._accounts]
        for step in STEPS:
            for account, lines in zip(self._accounts, shared, strict=True):
                for contract in self._contracts:
                    for seat_group_key in self._group_keys:
                        here = (
                            step,
                            "",
                            account.credit_type,
                            "" if contract is None else contract.contract_id,
                            seat_group_key,
                        )
                        if behind is not None and here < behind[1:6]:
                            continue
                        started = behind if behind is not None and behind[1:6] == here else None
                        for holder in self._holders(account, contract, seat_group_key, step, lines, started):
                            yield from self._of_scope(account, holder, lines, step, started)

    def _shared_lines(self, account: Account) -> dict[Scope, list[Entry]]:
        """The lines of the pools, and what their grants and adjustments had to do with seats."""
        teller = Teller(account, self._wanted, self._at, self._at + 1, self._at)
        tell_group(account, teller)
        pools = [Holder(number) for number in (0, *account.briefs)]
        tell_scopes(account, teller, pools, [holder_key(account.customer, pool) for pool in pools])
        found: dict[Scope, list[Entry]] = {}
        for entry in teller.told:
            found.setdefault(entry.scope, []).append(entry)
        return found

    # --- who may have a line ---

    def _holders(
        self,
        account: Account,
        contract: ContractRow | None,
        seat_group_key: str,
        step: int,
        shared: dict[Scope, list[Entry]],
        started: Place | None,
    ) -> Iterator[Holder]:
        """The scopes of a contract, or the customer's pool, that may have a line in a step, in order; beginning with one that
        was left in the middle of its lines, and behind one that was not."""
        number = 0 if contract is None else contract.number
        contract_id = None if contract is None else contract.contract_id
        behind = "" if started is None else started.seat_id
        with_lines = sorted(
            {
                scope.seat_id or ""
                for scope in shared
                if scope.contract_id == contract_id and scope.seat_group_key == seat_group_key
            }
        )
        others = (seat_id for seat_id in with_lines if started is None or seat_id > behind)
        # A place may be none of ours.
        is_seat = bool(behind) and contract is not None and seat_group_key in account.customer.seat_group_keys
        unfinished = started is not None and not started.is_over and (is_seat or behind in with_lines)
        seats = self._seats(account, contract, seat_group_key, step, behind)
        for seat_id, _ in groupby(chain([behind] if unfinished else [], merge(others, seats))):
            yield Holder(number, seat_id, seat_group_key) if seat_id else Holder(number)

    def _seats(
        self, account: Account, contract: ContractRow | None, seat_group_key: str, step: int | None, behind: str
    ) -> Iterator[str]:
        """The seats of a kind to which something may happen by itself in a step (None: in any), by id, behind one."""
        who, at = account.customer, self._at
        if contract is None or seat_group_key not in who.seat_group_keys:
            return
        group = who.seat_group_keys.index(seat_group_key)
        if step == STEP["debt_paid"]:
            # Of whatever was given in the steps before.
            if not account.briefs[contract.number].carry:
                return
            step = None
        recurring = self._recurring(account, contract.number, seat_group_key) if step in (None, STEP["lifted"]) else []
        found = [
            self._turned(account, contract, seat_group_key, step, behind),
            seats_noted(account, at, step, contract.number, group, behind),
            (seat_id for seat_id in recurring if seat_id > behind),
        ]
        if recurring or any(True for _ in seats_noted(account, at, step, contract.number, group, "")):
            # What was noted of one seat may concern another one by now.
            found.append(seats_named(account, contract.number, group, behind))
            found.append(movers_of(account, contract, seat_group_key, behind))
        for crowd in self._crowds(account, contract):
            of_this_kind = crowd.subscription is None or crowd.subscription.seat_group_key == seat_group_key
            if of_this_kind and crowd.steps and (step is None or step in crowd.steps):
                found.append(seats_of_group(account, contract.number, seat_group_key, crowd.subscription, behind))
        for seat_id, _ in groupby(merge(*found)):
            yield seat_id

    def _turned(
        self, account: Account, contract: ContractRow, seat_group_key: str, step: int | None, behind: str
    ) -> Iterator[str]:
        """The seats that come or leave: who comes is given something; who leaves may lose it."""
        found = []
        for subscription in contract.subscriptions:
            if subscription.seat_group_key != seat_group_key or not earning(
                contract, subscription, account.credit_type
            ):
                continue
            if step in (None, STEP["granted"]):
                found.append(seats_turned(account, subscription, self._at, True, behind))
            if step in (None, STEP["expired"]) and subscription.at(self._at).revoke_on_removal:
                found.append(seats_turned(account, subscription, self._at, False, behind))
        return merge(*found)

    def _recurring(self, account: Account, contract: int, seat_group_key: str) -> list[str]:
        """The seats of a kind whose own grants recur then, by id."""
        if account.number not in self._recur:
            found = (split_holder(account.customer, key)[0] for key in recurs_at(account, self._at))
            self._recur[account.number] = sorted({holder for holder in found if holder.seat_id is not None})
        return [
            holder.seat_id or ""
            for holder in self._recur[account.number]
            if (holder.contract, holder.seat_group_key) == (contract, seat_group_key)
        ]

    def _crowds(self, account: Account, contract: ContractRow) -> Iterator[_Everybody]:
        """Who need no naming one by one, and in which steps: nobody else's slices start or end, and no reset touches them."""
        at = self._at
        brief = account.briefs[contract.number]
        whole: set[int] = set()
        if at == contract.starting_at:
            whole.add(STEP["granted"])
        if at == contract.ending_before():
            whole.add(STEP["expired"])
        if any(reset.time == at for reset in contract.resets):
            whole.add(STEP["lifted"])
        yield _Everybody(None, whole)
        for subscription in contract.subscriptions:
            steps: set[int] = set()
            for row in earning(contract, subscription, account.credit_type):
                periods = list(grants.periods(row, at - 1, at))
                if any(period.earns_from == at for period in periods) or at == contract.life(subscription)[0]:
                    steps.add(STEP["granted"])
                if any(period.expires_at == at for period in periods) or any(v.voided_at == at for v in row.voids):
                    steps.add(STEP["expired"])
            # Whatever a seat was given may have been carried to any other.
            yield _Everybody(None if brief.carries else subscription, steps)

    # --- what they have ---

    def _of_scope(
        self, account: Account, holder: Holder, shared: dict[Scope, list[Entry]], step: int, started: Place | None
    ) -> Iterator[Look]:
        """A look at a scope in a step: its lines, each with what it had after it."""
        scope = scope_of(self._wanted.customer_id, account.customer, holder, account.credit_type)
        account.book.breathe()
        told, has = self._told(account, holder, shared.get(scope, []), step)
        place = Place(
            self._at, step, "", scope.credit_type, scope.contract_id or "", scope.seat_group_key, scope.seat_id or "", 1
        )
        first = 0 if started is None else count_before(told, started)
        found = False
        for number, entry in enumerate(told):
            has += entry.amount
            if STEP[entry.type] == step and number >= first:
                found = True
                yield place_of(entry), msgspec.structs.replace(entry, balance_after=has)
        if not found and not first:
            yield place, None

    def _told(self, account: Account, holder: Holder, shared: list[Entry], step: int) -> tuple[list[Entry], int]:
        """All lines of a scope at this instant but those of burns, in order, and what it had before them."""
        teller = Teller(account, self._wanted._replace(whose=holder), self._at, self._at + 1, self._at)
        if holder.seat_id is not None:
            # What lapses needs no active grant, so that no stretch need begin there.
            if not account.briefs[holder.contract].carry and step != STEP["lapsed"]:
                before = tell_seat_at(account, teller, holder)
                if not shared:
                    return sorted(teller.told, key=entry_order), before
            else:
                tell_scopes(account, teller, [holder], keys_of_seat(account, holder))
        told = sorted([*teller.told, *shared], key=entry_order)
        if not any(STEP[entry.type] == step for entry in told):
            return [], 0
        scope = scope_of(self._wanted.customer_id, account.customer, holder, account.credit_type)
        has = balance_in(account, scope, self._at).balance
        return told, has - sum(entry.amount for entry in told)
