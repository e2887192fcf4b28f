"""What a stretch opens with: the credits that an account has, what carried moves hand on, and what the last stretch left."""

from collections.abc import Iterable, Iterator
from heapq import merge

from ledger import grants, seats
from ledger.account_rows import AccountRows
from ledger.amounts import Amount
from ledger.contracts import ContractRow, CustomerRow, SubscriptionRow, load_contract
from ledger.grants import Credit, Holder, Left, brought_at, brought_by, holder_key
from ledger.instants import DAY, FOREVER, ORIGIN, Instant
from ledger.rows import Book
from ledger.seat_rows import BEFORE_ALL, MoveRank
from ledger.standing import Emit, ResetAt, Standing, Transfer, next_instant, silent
from ledger.stretches import SCOPE, GroupStretch, Own, Shared, Stretch, draws

#: What a carried move hands on: credits with what is left of each, and the open debt.
Handed = tuple[list[tuple[Credit, Left]], Amount]


class Openings(AccountRows):
    """An account that knows what opens a stretch."""

    def __init__(self, book: Book, customer: CustomerRow, credit_type: str) -> None:
        super().__init__(book, customer, credit_type)
        #: What carried moves handed on, until anything changes.
        self._hands: dict[tuple[Instant, MoveRank, str], Handed] = {}
        if self._is_new:
            # A reset may have been said before anybody burned of this type.
            self.group.stretch.until = self.group_until(ORIGIN, [])
            self._save_group()

    # --- what was agreed ---

    def pool_credits(self, low: Instant, high: Instant) -> list[Credit]:
        """All shared credits whose windows meet `[low, high]`, in L5's order."""
        credits = grants.of_pool(self.book, self.customer, 0, self.credit_type, low, high)
        for brief in self.customer.contracts:
            if brief.starting_at <= high and brief.ending_before > low:
                credits += grants.of_pool(self.book, self.customer, brief.number, self.credit_type, low, high)
        credits.sort(key=lambda credit: credit.rank)
        return credits

    def resets(self, low: Instant, high: Instant, contracts: Iterable[int]) -> list[ResetAt]:
        found = []
        for number in contracts:
            for reset in load_contract(self.book, self.customer.number, number).resets:
                if low < reset.time <= high:
                    found.append(ResetAt(reset.time, reset.id, number, reset.preserve_overage))
        return sorted(found)

    def _all_contracts(self) -> list[int]:
        return [0, *self.briefs]

    def seat_credits(
        self,
        holder: Holder,
        low: Instant,
        high: Instant,
        *,
        begun: Standing | None = None,
        handed_before: Instant = FOREVER,
    ) -> list[Credit]:
        """All credits of a seat whose windows meet `[low, high]`, in L5's order; those it was handed by a carried move
        before `handed_before` too. For who goes on from what it has already (`begun`), what is gone by then may be missing."""
        if holder.seat_id is None:
            return []
        contract = load_contract(self.book, self.customer.number, holder.contract)
        window = (contract.starting_at, contract.ending_before())
        credits = list(grants.explicit(self.book, self.customer, holder, self.credit_type, window, low, high))
        credits += grants.seat_slices(self.book, self.customer, contract, holder, self.credit_type, low, high)
        if self.briefs[holder.contract].carries:
            for move in self._brought_here(holder, begun, high + 1):
                if move.at < handed_before:
                    credits += self._moved_in(holder, move, low)
            self._moved_out(holder, credits, high + 1)
        credits = [credit for credit in credits if credit.start < credit.end and credit.end > low]
        credits.sort(key=lambda credit: credit.rank)
        if any(credit.origin for credit in credits):
            grants.adjust_once(credits)
        return credits

    def _moved_out(self, holder: Holder, credits: list[Credit], until: Instant) -> None:
        """Ends each credit with the first carried move that takes it away."""
        since = min((credit.start for credit in credits), default=until)
        if not any(move.from_seat_id == holder.seat_id for move in self._each_move(holder, since, until)):
            return
        for credit in credits:
            for move in self._each_move(holder, credit.start, min(until, credit.end)):
                # What a chain of moves hands on at one instant came before it left.
                came_before = credit.start < move.at or (credit.start_type == "moved_in" and credit.came_by < move.rank)
                # What a return gives back at that very instant comes after the moves (D2).
                back = any(gap.end == move.at for gap in credit.gaps)
                if move.from_seat_id == holder.seat_id and came_before and credit.active(move.at) and not back:
                    credit.cut(move.at, "moved_out", ("seat-change", move.edit_id))
                    credit.left_by = move.rank
                    break

    def _window(self, contract: int) -> tuple[Instant, Instant]:
        brief = self.briefs[contract]
        return brief.starting_at, brief.ending_before

    # --- carried moves ---

    def credits_ever(self, holder: Holder, at: Instant) -> Iterator[Credit]:
        """All credits that a scope had or has until `at`, the first ones at once: for who asks whether there are any."""
        book, customer, credit_type = self.book, self.customer, self.credit_type
        if holder.contract == 0:
            yield from grants.explicit(book, customer, holder, credit_type, (-FOREVER, FOREVER), ORIGIN, at)
            return
        contract = load_contract(book, customer.number, holder.contract)
        window = (contract.starting_at, contract.ending_before())
        yield from grants.explicit(book, customer, holder, credit_type, window, ORIGIN, at)
        if holder.seat_id is None:
            yield from grants.pooled_slices(book, customer, contract, credit_type, ORIGIN, at)
        elif self.briefs[holder.contract].carries:
            yield from self.seat_credits(holder, ORIGIN, at)
        else:
            yield from grants.seat_slices(book, customer, contract, holder, credit_type, ORIGIN, at)

    def _moves(self, holder: Holder, low: Instant, high: Instant) -> list[seats.Move]:
        """The carried moves that touch a seat in `[low, high)`, in order."""
        return list(self._each_move(holder, low, high))

    def _each_move(self, holder: Holder, low: Instant, high: Instant) -> Iterator[seats.Move]:
        """As `_moves`, for who takes few of many."""
        contract = load_contract(self.book, self.customer.number, holder.contract)
        of_each = [
            self._moves_of(contract, subscription, holder, low, high)
            for subscription in contract.subscriptions
            if subscription.seat_group_key == holder.seat_group_key
        ]
        return merge(*of_each, key=lambda move: (move.at, move.rank))

    def _moves_of(
        self, contract: ContractRow, subscription: SubscriptionRow, holder: Holder, low: Instant, high: Instant
    ) -> Iterator[seats.Move]:
        assert holder.seat_id is not None
        born, dies = contract.life(subscription)
        low, high = max(low, born), min(high, dies)
        if low >= high:
            return
        for move in seats.moves(self.book, self.customer.number, subscription, holder.seat_id, low, high):
            if move.carry_balance:
                yield move

    def _brought_here(self, holder: Holder, begun: Standing | None, until: Instant) -> list[seats.Move]:
        """The moves before an instant that brought a seat anything; if it goes on from what it has already, but for those of
        which nothing is left."""
        if begun is None:
            found = self._moves(holder, ORIGIN, until)
        else:
            origins = begun.origins()
            found = [
                move
                for at in sorted({brought_at(origin) for origin in origins})
                if at <= begun.at and at < until
                for move in self._each_move(holder, at, at + 1)
                if any(origin.endswith(brought_by(move.from_seat_id, at)) for origin in origins)
            ]
            found += self._each_move(holder, begun.at + 1, until)
        return [move for move in found if move.to_seat_id == holder.seat_id]

    def _heirs(self, holder: Holder, since: Instant) -> list[tuple[bytes, Instant]]:
        """The seats that a seat's balance was carried to after `since`, and when."""
        brief = self.briefs[holder.contract]
        if not brief.carries or holder.seat_id is None:
            return []
        return [
            (holder_key(self.customer, Holder(holder.contract, move.to_seat_id, holder.seat_group_key)), move.at)
            for move in self._moves(holder, max(since, ORIGIN) + 1, FOREVER)
            if move.from_seat_id == holder.seat_id
        ]

    def carried_away(self, holder: Holder, since: Instant) -> Instant:
        """When a seat's balance is carried to another one next, after an instant; FOREVER: never, as is known now."""
        if holder.seat_id is None:
            return FOREVER
        return min((at for _, at in self._heirs(holder, since)), default=FOREVER)

    def _moved_in(self, holder: Holder, move: seats.Move, low: Instant) -> Iterator[Credit]:
        """What a carried move brought to a seat: the rest of each active grant of the other one."""
        for credit, left in self._handed(holder, move)[0]:
            brought = grants.handed_on(credit, move.from_seat_id, move.at, move.rank, move.edit_id, left)
            grants.edit_handed_on(self.book, self.customer, brought, holder)
            if brought.end > low:
                yield brought

    def _handed(self, holder: Holder, move: seats.Move) -> "Handed":
        """What the giver of a carried move had to hand on, credits and open debt; what it was handed itself in a chain of
        moves of that instant is among it."""
        for of, earlier in self._moves_before(holder, move):
            self._hand(of, earlier)
        return self._hand(holder, move)

    def _moves_before(self, holder: Holder, move: seats.Move) -> list[tuple[Holder, seats.Move]]:
        """The carried moves that decide what one brings, oldest first: so that no chain of them is walked deep or twice."""
        found: dict[tuple[Instant, MoveRank, str], tuple[Holder, seats.Move]] = {}
        look = [(holder, move)]
        while look:
            of, one = look.pop()
            giver = Holder(of.contract, one.from_seat_id, of.seat_group_key)
            begun = self._begun_before(giver, one.at)
            for earlier in self._brought_here(giver, begun, one.at + 1):
                place = (earlier.at, earlier.rank, earlier.to_seat_id)
                if place[:2] < (one.at, one.rank) and place not in found and place not in self._hands:
                    found[place] = (giver, earlier)
                    look.append((giver, earlier))
        return [found[place] for place in sorted(found)]

    def _hand(self, holder: Holder, move: seats.Move) -> "Handed":
        place = (move.at, move.rank, move.to_seat_id)
        known = self._hands.get(place)
        if known is not None:
            return known
        giver = Holder(holder.contract, move.from_seat_id, holder.seat_group_key)
        standing, credits = self.before_moves(giver, move.at)
        now = self._moves(giver, move.at, move.at + 1)
        # What a seat had goes with the first of its moves of an instant; with a later one only what came in between.
        before = max(
            (one.rank for one in now if one.from_seat_id == giver.seat_id and one.rank < move.rank), default=BEFORE_ALL
        )
        handed: list[tuple[Credit, Left]] = []
        debt = standing.over if before == BEFORE_ALL else 0
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None and credit.left_by == move.rank and before == BEFORE_ALL:
                handed.append((credit, left))
        for earlier in now:
            if earlier.to_seat_id == giver.seat_id and before < earlier.rank < move.rank:
                more, owed = self._hand(giver, earlier)
                for credit, left in more:
                    through = grants.handed_on(
                        credit, earlier.from_seat_id, move.at, earlier.rank, earlier.edit_id, left
                    )
                    handed.append((through, left))
                debt += owed
        self._hands[place] = handed, debt
        return handed, debt

    def before_moves(self, holder: Holder, at: Instant) -> tuple[Standing, list[Credit]]:
        """A seat's standing at an instant after its first three steps (D2)."""
        standing = self._begun_before(holder, at)
        low = standing.at
        credits = self.seat_credits(holder, low, at, begun=standing, handed_before=at)
        resets = self.resets(low, at, [holder.contract])
        standing.play(credits, resets, at, transfers=self._transfers(holder, low, at - 1), until_step=3)
        return standing, credits

    def _begun_before(self, holder: Holder, at: Instant) -> Standing:
        """What a scope has at the end of its last stretch that starts before an instant."""
        row = self.book.load(SCOPE, self.scope_key(holder_key(self.customer, holder)))
        return self.closing(holder, None if row is None else self.stretch_before(row, at))

    def _transfers(self, holder: Holder, low: Instant, high: Instant) -> list[Transfer]:
        """The debts that carried moves take from a seat or bring to it within `(low, high]`."""
        brief = self.briefs.get(holder.contract)
        if holder.seat_id is None or brief is None or not brief.carries or not brief.carry:
            return []
        found = []
        for move in self._moves(holder, low + 1, high + 1):
            if move.from_seat_id == holder.seat_id:
                found.append(Transfer(move.at, move.rank, None, move.edit_id))
            else:
                found.append(Transfer(move.at, move.rank, self._handed(holder, move)[1], move.edit_id))
        return found

    # --- boundaries ---

    def group_until(self, at: Instant, credits: list[Credit]) -> Instant:
        """The first instant strictly after `at` at which something may happen to a shared grant."""
        due = next_instant(credits, self.resets(at, FOREVER, self._all_contracts()), (), at)
        for contract in self._all_contracts():
            due = min(due, grants.next_pool_start(self.book, self.customer, contract, self.credit_type, at))
        return due

    def scope_until(self, holder: Holder, at: Instant, credits: list[Credit]) -> Instant:
        """The first instant strictly after `at` at which something may happen to a scope itself."""
        contract = load_contract(self.book, self.customer.number, holder.contract)
        window = (contract.starting_at, contract.ending_before())
        due = next_instant(credits, self.resets(at, FOREVER, [holder.contract]), (), at)
        for edge in window:
            if at < edge < due:
                due = edge
        if holder.seat_id is not None:
            due = min(
                due,
                grants.next_explicit_start(self.book, self.customer, holder, self.credit_type, window, at),
                grants.next_slice_start(self.book, self.customer, contract, holder, self.credit_type, at),
            )
            if self.briefs[holder.contract].carries:
                for move in self._moves(holder, at + 1, due):
                    due = min(due, move.at)
        return due

    # --- scopes ---

    def closing(self, holder: Holder, stretch: Stretch | None) -> Standing:
        """What a scope has at the end of a stretch."""
        brief = self.briefs[holder.contract]
        standing = Standing(carry=brief.carry)
        if stretch is None:
            return standing
        standing.at = stretch.start
        standing.over = stretch.over
        taken, tails = draws(stretch.own, stretch.parts)
        for own, took in zip(stretch.own, taken, strict=True):
            standing.left[own.name] = Left(own.left - took, own.granted)
        for own in stretch.frozen:
            standing.frozen[own.name] = Left(own.left, own.granted)
        if stretch.inside or not brief.carry:
            standing.over += self._overage(stretch, tails)
        return standing

    def _overage(self, stretch: Stretch, tails: list[Amount]) -> Amount:
        """Only the last part can end at no grant at all."""
        if stretch.parts and stretch.parts[-1].tail >= self._no_tail(stretch):
            return tails[-1]
        return 0

    def _no_tail(self, stretch: Stretch) -> int:
        return len(self.group_at(stretch.group_start).shared)

    def _open(self, holder: Holder, previous: Stretch | None, at: Instant, group_stretch: GroupStretch) -> Stretch:
        """The stretch of a scope that holds `at`: what its previous one left, carried on through what happened since."""
        standing = self.closing(holder, previous)
        bottom = ORIGIN if previous is None else previous.start
        start, credits = self.play_scope(holder, standing, bottom, at)
        start = max(start, group_stretch.start)
        if previous is None or start > bottom:
            # What begins behind the floor may leave (ledger.leaving), and nothing was burned there.
            start = max(start, min(at, self.customer.floor - 1))
        return self._stretch(holder, standing, start, at, credits, group_stretch)

    def play_scope(
        self, holder: Holder, standing: Standing, bottom: Instant, at: Instant, emit: Emit = silent
    ) -> tuple[Instant, list[Credit]]:
        """Carries a scope's standing to `at`; answers the last instant at which anything happened, and the credits."""
        edges = [edge for edge in self._window(holder.contract) if edge <= at]
        if holder.seat_id is not None and self.briefs[holder.contract].carries:
            edges += [move.at for move in self._moves(holder, bottom + 1, at + 1)]
        begun = standing.copy()
        transfers = self._transfers(holder, bottom, at)
        owing = begun.carry and (begun.over != 0 or bool(transfers))
        for low in self._lows(bottom, at, exact=emit is not silent or owing):
            standing.become(begun)
            credits = self.seat_credits(holder, low, at, begun=begun if emit is silent else None)
            resets = self.resets(bottom, at, [holder.contract])
            last = standing.play(credits, resets, at, transfers=transfers, emit=emit)
            if last >= low:
                break
        return max([bottom, last, *edges]), credits

    def _lows(self, bottom: Instant, at: Instant, *, exact: bool) -> Iterator[Instant]:
        """Where a look back for the last boundary before `at` begins: what ended long ago is only derived if need be."""
        if not exact:
            for span in (DAY, 40 * DAY):
                if at - span > bottom:
                    yield at - span
        yield bottom

    def _stretch(
        self,
        holder: Holder,
        standing: Standing,
        start: Instant,
        at: Instant,
        credits: list[Credit],
        group_stretch: GroupStretch,
    ) -> Stretch:
        window = self._window(holder.contract)
        ranks = [shared.rank for shared in group_stretch.shared]
        own = []
        place = 0
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None:
                while place < len(ranks) and ranks[place] < credit.rank:
                    place += 1
                own.append(Own(credit.name, left.amount, left.granted, place))
        return Stretch(
            start=start,
            until=self.scope_until(holder, at, credits),
            group_start=group_stretch.start,
            revision=self.briefs[holder.contract].revision,
            inside=window[0] <= at < window[1],
            over=standing.over,
            own=own,
            parts=[],
            frozen=[Own(name, left.amount, left.granted, 0) for name, left in sorted(standing.frozen.items())],
        )

    # --- the group ---

    def group_closing(self, stretch: GroupStretch) -> Standing:
        standing = Standing(carry=False, at=stretch.start)
        for shared in stretch.shared:
            standing.left[shared.name] = Left(shared.left - shared.drawn, shared.granted)
        return standing

    def play_group(self, standing: Standing, bottom: Instant, to: Instant, emit: Emit = silent) -> GroupStretch:
        begun = standing.copy()
        for low in self._lows(bottom, to, exact=emit is not silent):
            standing.become(begun)
            credits = self.pool_credits(low, to)
            resets = self.resets(bottom, to, self._all_contracts())
            last = standing.play(credits, resets, to, emit=emit)
            if last >= low:
                break
        return self._group_stretch(standing, max(bottom, last), to, credits)

    def _group_stretch(self, standing: Standing, start: Instant, at: Instant, credits: list[Credit]) -> GroupStretch:
        shared = []
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None:
                dry = (start, "", 0) if not left.amount else None
                shared.append(Shared(credit.name, credit.contract, left.amount, left.granted, 0, credit.rank, dry))
        return GroupStretch(start, self.group_until(at, credits), shared)
