"""Facts that change what is agreed: contracts, subscriptions, recurring credits, grants and who sits where.

Each checks what it breaks before a row changes; then the burns from the first changed instant on are played again.
"""

from heapq import heappop, heappush
from typing import Any

import msgspec

from ledger import due, grants, seats
from ledger.answers import EntryType
from ledger.contracts import (
    ContractBrief,
    ContractRow,
    CustomerRow,
    End,
    RecurringRow,
    RecurringUpdate,
    Reset,
    SubscriptionRow,
    SubscriptionUpdate,
    Void,
    load_contract,
    said,
)
from ledger.facts import (
    AnyFact,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    MoveSeat,
    PeriodReset,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    SeatChange,
    Subscription,
    SubscriptionAdded,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionUpdated,
    topic,
)
from ledger.grants import (
    EDITS,
    ENTITY,
    GRANT,
    Adjustment,
    EditsRow,
    EntityRow,
    GrantRow,
    Holder,
    edits_key,
    entity_key,
    grant_key,
    holder_key,
    holder_of,
)
from ledger.instants import FOREVER, Instant
from ledger.leaving import must_reach
from ledger.outcome import Refusal, SeatsChanged
from ledger.partition import AMBIGUOUS, Missing, Refuse, ambiguous
from ledger.waiting import WaitingRoom


class Agreements(WaitingRoom):
    """A ledger that folds facts about what is agreed."""

    def _change(self, who: CustomerRow, fact: AnyFact) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        must_reach(self.book, who, fact, self.closed_before)
        if isinstance(fact, ContractCreated):
            return self._create_contract(who, fact)
        if isinstance(fact, SeatChange):
            return self._change_seats(who, fact)
        contract_id = fact.grant.contract_id if isinstance(fact, CreditsGranted) else fact.contract_id  # type: ignore[union-attr]
        contract = None if contract_id is None else self._contract(who, contract_id)
        woken: list[str] = []
        seats_changed: list[SeatsChanged] = []
        match fact:
            case ContractUpdated() | ContractEnded():
                assert contract is not None
                before = contract.ending_before()
                self._end_contract(who, contract, fact)
                woken = ["contract", AMBIGUOUS, "subscription"]
                # Its seats go, or are there again, where it ends; that may be before anybody said so.
                since = (
                    fact.time
                    if contract.ending_before() == before
                    else min(fact.time, before, contract.ending_before())
                )
                seats_changed = [
                    SeatsChanged(contract_id=contract.contract_id, subscription_id=row.subscription_id, since=since)
                    for row in contract.subscriptions
                ]
            case SubscriptionAdded():
                assert contract is not None
                self._add_subscription(who, contract, fact.subscription, fact)
                woken = ["subscription", "contract", AMBIGUOUS]
                seats_changed = [
                    SeatsChanged(
                        contract_id=contract.contract_id,
                        subscription_id=fact.subscription.subscription_id,
                        since=fact.subscription.starting_at,
                    )
                ]
            case SubscriptionUpdated() | SubscriptionEnded():
                assert contract is not None
                since = self._change_subscription(who, contract, fact)
                woken = ["subscription", "contract", AMBIGUOUS]
                seats_changed = [
                    SeatsChanged(contract_id=contract.contract_id, subscription_id=fact.subscription_id, since=since)
                ]
            case RecurringCreditAdded():
                assert contract is not None
                self._add_recurring(who, contract, fact.recurring_credit, fact, "recurring_credit")
                self._save_contract(who, contract, revised=True)
                self._rebuild(who, fact.recurring_credit.starting_at, fact.recurring_credit.credit_type)
                self._touch_earners(who, contract, contract.recurring[-1], fact.recurring_credit.starting_at)
                woken = [f"grant:{contract.contract_id}:{fact.recurring_credit.recurring_credit_id}"]
            case RecurringCreditUpdated() | RecurringCreditEnded():
                assert contract is not None
                self._change_recurring(who, contract, fact)
            case CreditsGranted():
                self._grant(who, contract, fact.grant, fact, "grant")
                woken = [f"grant:{contract_id or ''}:{fact.grant.grant_id}"]
            case CreditsVoided() | CreditsAdjusted():
                self._edit_grant(who, contract, fact)
            case PeriodReset():
                row = contract if contract is not None else load_contract(self.book, who.number, 0)
                row.resets = sorted(
                    [*row.resets, Reset(fact.time, fact.id, fact.preserve_overage)],
                    key=lambda reset: (reset.time, reset.id),
                )
                self._save_customer(who, fact.customer_id)
                self._save_contract(who, row, revised=True)
                self._rebuild(who, fact.time)
                self._touch_all(who, row, fact.time)
        return {}, seats_changed, woken

    # --- what becomes different ---

    def _touch_earners(self, who: CustomerRow, contract: ContractRow, row: RecurringRow, since: Instant) -> None:
        """Whoever is given by a recurring credit is given otherwise."""
        account = self._account(who, row.given.credit_type)
        subscription = contract.subscription(row.given.subscription_id, None, 0)
        if row.given.allocation == "pooled":
            account.touch_pool(contract.number, since)
        elif subscription is not None:
            account.touch_seats(contract.number, subscription.number, since)

    def _touch_all(self, who: CustomerRow, contract: ContractRow, since: Instant) -> None:
        """The pool and all seats of a contract, or the customer's pool."""
        for credit_type in who.credit_types:
            account = self._account(who, credit_type)
            account.touch_pool(contract.number, since)
            if contract.number:
                account.touch_seats(contract.number, 0, since)

    # --- contracts ---

    def _create_contract(
        self, who: CustomerRow, fact: ContractCreated
    ) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        if who.brief(fact.contract_id) is not None:
            raise Refuse("already_exists", "contract_id", f"contract {fact.contract_id} exists already", "L4")
        contract = ContractRow(0, fact.contract_id, fact.starting_at, fact.time, fact.id, fact.name, fact.overage)
        contract.ends = said(fact.time, fact.id, fact.ending_before)
        self._check_brought(fact)
        contract.number = who.number_one()
        brief = ContractBrief(
            contract.number, fact.contract_id, fact.starting_at, contract.ending_before(), fact.overage == "carry"
        )
        who.contracts.append(brief)
        self._save_customer(who, fact.customer_id)
        for subscription in fact.subscriptions:
            self._put_subscription(who, contract, subscription, fact.time, fact.id)
        for index, recurring in enumerate(fact.recurring_credits):
            self._add_recurring(who, contract, recurring, fact, f"recurring_credits[{index}]")
        self._save_contract(who, contract, revised=False)
        given = [
            (grant, self._put_grant(who, contract, grant, fact, f"grants[{index}]"))
            for index, grant in enumerate(fact.grants)
        ]
        self._rebuild(who, fact.starting_at)
        for row in contract.recurring:
            self._touch_earners(who, contract, row, row.given.starting_at)
        for grant, holder in given:
            self._account(who, grant.credit_type).touch(holder_key(who, holder), grant.effective_at)
        changed = [
            SeatsChanged(contract_id=fact.contract_id, subscription_id=one.subscription_id, since=one.starting_at)
            for one in fact.subscriptions
        ]
        named = [one.recurring_credit_id for one in fact.recurring_credits] + [one.grant_id for one in fact.grants]
        woken = [
            f"contract:{fact.contract_id}",
            "contract",
            AMBIGUOUS,
            "subscription",
            *(f"grant:{fact.contract_id}:{id}" for id in named),
        ]
        return {}, changed, woken

    def _check_brought(self, fact: ContractCreated) -> None:
        """What a contract brings along is whole before anything of it is written."""
        ids: set[str] = set()
        codes: set[str] = set()
        modes: dict[str, str] = {}
        for index, subscription in enumerate(fact.subscriptions):
            field = f"subscriptions[{index}]"
            if subscription.subscription_id in modes:
                raise Refuse("already_exists", f"{field}.subscription_id", "names a subscription twice", "L4")
            if subscription.feature_code is not None and subscription.feature_code in codes:
                raise Refuse("already_exists", f"{field}.feature_code", "names a feature_code twice", "L4")
            modes[subscription.subscription_id] = subscription.mode
            if subscription.feature_code is not None:
                codes.add(subscription.feature_code)
        for index, recurring in enumerate(fact.recurring_credits):
            field = f"recurring_credits[{index}]"
            if recurring.recurring_credit_id in ids:
                raise Refuse(
                    "already_exists", f"{field}.recurring_credit_id", "names a grant or recurring credit twice", "L4"
                )
            ids.add(recurring.recurring_credit_id)
            if recurring.subscription_id is not None and recurring.subscription_id not in modes:
                raise Refuse(
                    "unknown_subscription",
                    f"{field}.subscription_id",
                    f"subscription {recurring.subscription_id} is not among the contract's",
                    "L19",
                )
            if recurring.allocation == "individual":
                mode = None if recurring.subscription_id is None else modes[recurring.subscription_id]
                self._check_individual(mode, field)
        for index, grant in enumerate(fact.grants):
            if grant.grant_id in ids:
                raise Refuse(
                    "already_exists", f"grants[{index}].grant_id", "names a grant or recurring credit twice", "L4"
                )
            ids.add(grant.grant_id)

    def _check_individual(self, mode: str | None, field: str) -> None:
        """A recurring credit gives to each seat of its subscription."""
        said = "individual needs a subscription of mode seats"
        if mode is None:
            raise Refuse("missing_field", f"{field}.subscription_id", said, "L10")
        if mode != "seats":
            raise Refuse("wrong_mode", f"{field}.allocation", said, "L10")

    def _end_contract(self, who: CustomerRow, contract: ContractRow, fact: ContractUpdated | ContractEnded) -> None:
        if fact.name is not None:
            contract.names = [*contract.names, (fact.time, fact.id, fact.name)]
            contract.name = max(contract.names)[2]
        since = FOREVER
        if fact.ending_before is not None:
            before = contract.ending_before()
            contract.ends = [*contract.ends, End(fact.time, fact.id, fact.ending_before)]
            since = grants.end_anew(self.book, who, contract, min(before, contract.ending_before()))
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=True)
        if fact.ending_before is not None:
            self._rebuild(who, since)
            self._touch_all(who, contract, since)

    # --- subscriptions ---

    def _put_subscription(
        self, who: CustomerRow, contract: ContractRow, subscription: Subscription, time: Instant, id: str
    ) -> None:
        row = SubscriptionRow(who.number_one(), subscription, time, id, said(time, id, subscription.ending_before))
        who.group_key(subscription.seat_group_key)
        contract.subscriptions.append(row)
        seats.begin(self.book, who.number, row)
        # The initial seats have rows of their own now; a contract's row is read for every question.
        row.given = msgspec.structs.replace(subscription, seat_ids=())

    def _add_subscription(
        self, who: CustomerRow, contract: ContractRow, subscription: Subscription, fact: AnyFact
    ) -> None:
        if contract.subscription(subscription.subscription_id, None, 0) is not None:
            raise Refuse(
                "already_exists",
                "subscription.subscription_id",
                f"subscription {subscription.subscription_id} exists already",
                "L4",
            )
        self._check_feature_code(
            contract, subscription.feature_code, None, subscription.starting_at, "subscription.feature_code"
        )
        self._put_subscription(who, contract, subscription, fact.time, fact.id)
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=False)

    def _check_feature_code(
        self, contract: ContractRow, feature_code: str | None, besides: SubscriptionRow | None, at: Instant, field: str
    ) -> None:
        if feature_code is None:
            return
        for row in contract.subscriptions:
            codes = {row.given.feature_code, *(update.changes.feature_code for update in row.updates)}
            if row is not besides and feature_code in codes:
                raise Refuse(
                    "already_exists",
                    field,
                    f"feature_code {feature_code} belongs to subscription {row.subscription_id}",
                    "L4",
                )

    def _check_group_key(self, row: SubscriptionRow, changes: SubscriptionChanges) -> None:
        """Whose seats they are is said with the first of them: under another key they would be other seats (L6)."""
        if changes.seat_group_key in (None, row.seat_group_key):
            return
        had_seats = row.given.mode == "seats" or any(update.changes.mode == "seats" for update in row.updates)
        if had_seats or changes.mode != "seats":
            raise Refuse(
                "wrong_mode",
                "seat_group_key",
                f"stays {row.seat_group_key}: it may only change with the mode, from quantity to seats",
                "L6",
            )

    def _change_subscription(
        self, who: CustomerRow, contract: ContractRow, fact: SubscriptionUpdated | SubscriptionEnded
    ) -> Instant:
        row = contract.subscription(fact.subscription_id, None, 0)
        if row is None:
            raise Missing(
                "unknown_subscription",
                "subscription_id",
                f"subscription {fact.subscription_id} is not known yet",
                "subscription",
            )
        if isinstance(fact, SubscriptionEnded):
            before = row.ending_before()
            row.ends = [*row.ends, End(fact.time, fact.id, fact.ending_before)]
            since = grants.end_anew(self.book, who, contract, min(before, row.ending_before()))
        else:
            changes = fact.changes
            self._check_feature_code(contract, changes.feature_code, row, fact.starting_at, "feature_code")
            turns = changes.mode is not None and changes.mode != row.at(fact.starting_at).mode
            if turns and changes.mode == "quantity":
                raise Refuse("wrong_mode", "mode", "seats cannot be turned back into a quantity", "L11")
            self._check_group_key(row, changes)
            if turns:
                converted = seats.convert(self.book, who.number, row, fact.starting_at)
                if isinstance(converted, Refusal):
                    raise Refuse(converted.code, converted.field, converted.message, converted.law)
            if changes.seat_group_key is not None:
                who.group_key(changes.seat_group_key)
            row.updates = [*row.updates, SubscriptionUpdate(fact.starting_at, fact.time, fact.id, changes)]
            since = fact.starting_at
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=True)
        self._rebuild(who, since)
        if (
            isinstance(fact, SubscriptionEnded)
            or fact.changes.mode is not None
            or fact.changes.revoke_on_removal is not None
        ):
            if contract.number in {brief.number for brief in who.contracts if brief.carries}:
                # What was carried on does not speak of a subscription any more.
                self._touch_all(who, contract, since)
            for recurring in contract.recurring:
                if recurring.given.subscription_id == row.subscription_id:
                    self._touch_earners(who, contract, recurring, since)
        return since

    # --- recurring credits ---

    def _add_recurring(
        self, who: CustomerRow, contract: ContractRow, recurring: RecurringCredit, fact: AnyFact, field: str
    ) -> None:
        row: SubscriptionRow | None = None
        if recurring.subscription_id is not None:
            row = contract.subscription(recurring.subscription_id, None, 0)
            if row is None:
                raise Missing(
                    "unknown_subscription",
                    f"{field}.subscription_id",
                    f"subscription {recurring.subscription_id} is not known yet",
                    "subscription",
                )
        key = entity_key(who.number, contract.number, recurring.recurring_credit_id)
        if self.book.load(ENTITY, key) is not None:
            raise Refuse(
                "already_exists",
                f"{field}.recurring_credit_id",
                f"{recurring.recurring_credit_id} exists already",
                "L4",
            )
        if recurring.allocation == "individual":
            self._check_individual(None if row is None else row.at(recurring.starting_at).mode, field)
        who.credit_type(recurring.credit_type)
        self._save_customer(who, fact.customer_id)
        self.book.save(ENTITY, key, EntityRow())
        contract.recurring.append(
            RecurringRow(
                who.number_one(),
                recurring,
                fact.time,
                fact.id,
                topic(fact),
                said(fact.time, fact.id, recurring.ending_before),
            )
        )

    def _change_recurring(
        self, who: CustomerRow, contract: ContractRow, fact: RecurringCreditUpdated | RecurringCreditEnded
    ) -> None:
        row = contract.recurring_credit(fact.recurring_credit_id)
        if row is None:
            raise Missing(
                "unknown_grant",
                "recurring_credit_id",
                f"recurring credit {fact.recurring_credit_id} is not known yet",
                f"grant:{contract.contract_id}:{fact.recurring_credit_id}",
            )
        since = fact.time
        if isinstance(fact, RecurringCreditEnded):
            before = row.ending_before()
            row.ends = [*row.ends, End(fact.time, fact.id, fact.ending_before)]
            # The end ranks (D10), from the start of the first slice that it shortens or lengthens.
            edge = min(before, row.ending_before())
            first = next(grants.periods(row, min(edge, FOREVER - 1) - 1, FOREVER), None) if edge < FOREVER else None
            since = min(since, edge, FOREVER if first is None else first.earns_from)
        else:
            row.updates = [*row.updates, RecurringUpdate(fact.time, fact.id, fact.changes)]
            # It counts from the first period that starts after it was said (L16).
            every, anchor = row.given.every, row.given.anchor
            since = every.point(anchor, every.index(anchor, fact.time) + 1)
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=True)
        self._rebuild(who, since, row.given.credit_type)
        self._touch_earners(who, contract, row, since)

    # --- grants ---

    def _grant(self, who: CustomerRow, contract: ContractRow | None, grant: Grant, fact: AnyFact, field: str) -> None:
        holder = self._put_grant(who, contract, grant, fact, field)
        since = grant.effective_at if contract is None else max(grant.effective_at, contract.starting_at)
        account = self._account(who, grant.credit_type)
        if grant.seat_id is None:
            account.rebuild(since)
            account.touch_pool(holder.contract, since)
        else:
            account.rework({holder: since})

    def _put_grant(
        self, who: CustomerRow, contract: ContractRow | None, grant: Grant, fact: AnyFact, field: str
    ) -> Holder:
        if contract is None and grant.seat_id is not None:
            raise Refuse("missing_field", f"{field}.contract_id", "is needed: a seat is one of a contract", "L6")
        number = 0 if contract is None else contract.number
        key = entity_key(who.number, number, grant.grant_id)
        if self.book.load(ENTITY, key) is not None:
            raise Refuse("already_exists", f"{field}.grant_id", f"{grant.grant_id} exists already", "L4")
        who.credit_type(grant.credit_type)
        holder = Holder(number)
        if grant.seat_id is not None:
            who.group_key(grant.seat_group_key)
            holder = Holder(number, grant.seat_id, grant.seat_group_key)
        self._save_customer(who, fact.customer_id)
        of = holder_key(who, holder)
        self.book.save(ENTITY, key, EntityRow(of, grant.expires_at))
        self.book.save(
            GRANT,
            grant_key(who.number, of, grant.expires_at, grant.grant_id),
            GrantRow(grant, fact.time, fact.id, topic(fact)),
        )
        if holder.seat_id is not None:
            due.note_grant(self.book, who, holder, grant)
        return holder

    def _edit_grant(
        self, who: CustomerRow, contract: ContractRow | None, fact: CreditsVoided | CreditsAdjusted
    ) -> None:
        number = 0 if contract is None else contract.number
        entity = self.book.load(ENTITY, entity_key(who.number, number, fact.grant_id))
        if entity is None:
            raise Missing(
                "unknown_grant",
                "grant_id",
                f"grant {fact.grant_id} is not known yet",
                f"grant:{fact.contract_id or ''}:{fact.grant_id}",
            )
        if entity.holder is not None:
            self._edit_explicit(who, entity, fact)
            return
        assert contract is not None
        row = contract.recurring_credit(fact.grant_id)
        assert row is not None
        individual = row.given.allocation == "individual"
        if isinstance(fact, CreditsAdjusted) and individual and fact.seat_id is None:
            raise Refuse("missing_field", "seat_id", "is needed: this recurring credit gives to each seat", "L14")
        if individual and fact.seat_id is None:
            assert isinstance(fact, CreditsVoided)
            self._save_customer(who, fact.customer_id)
            self._void_of_all(who, contract, row, Void(fact.time, fact.id, fact.voided_at, fact.slice))
            return
        holder = Holder(number)
        if individual:
            assert fact.seat_id is not None
            subscription = contract.subscription(row.given.subscription_id, None, 0)
            assert subscription is not None
            holder = Holder(number, fact.seat_id, subscription.seat_group_key)
        key = edits_key(who.number, holder_key(who, holder), fact.grant_id)
        edits = self.book.load(EDITS, key) or EditsRow()
        meant = None if individual else fact.seat_id
        if isinstance(fact, CreditsVoided):
            at = fact.voided_at
            void = Void(fact.time, fact.id, at, fact.slice, meant)
            since = grants.void_changes(void, grants.voids_like(self.book, who, contract, row, holder, void))
            edits.voids = [*edits.voids, void]
        else:
            since = at = fact.time
            edits.adjustments = [*edits.adjustments, Adjustment(fact.time, fact.id, fact.amount, fact.slice, meant)]
        self.book.save(EDITS, key, edits)
        account = self._account(who, row.given.credit_type)
        if holder.seat_id is None:
            account.rebuild(since)
            account.touch_pool(holder.contract, since)
        else:
            due.note(self.book, who, holder, row.given.credit_type, at, *_told_of(fact))
            account.rework({holder: since})

    def _void_of_all(self, who: CustomerRow, contract: ContractRow, row: RecurringRow, void: Void) -> None:
        """Void a slice of an individual recurring credit for every seat."""
        # Which slice a void means that names none is another matter for each seat.
        like = [other for other in row.voids if None in (other.slice, void.slice) or other.slice == void.slice]
        since = min([void.voided_at, *(other.voided_at for other in like)])
        for holder in grants.seats_edited(self.book, who, contract.number, row.recurring_credit_id):
            others = grants.voids_like(self.book, who, contract, row, holder, void)
            since = min(since, grants.void_changes(void, others))
        row.voids = [*row.voids, void]
        self._save_contract(who, contract, revised=True)
        self._rebuild(who, since, row.given.credit_type)
        self._touch_earners(who, contract, row, since)

    def _edit_explicit(self, who: CustomerRow, entity: EntityRow, fact: CreditsVoided | CreditsAdjusted) -> None:
        assert entity.holder is not None
        key = grant_key(who.number, entity.holder, entity.expires_at, fact.grant_id)
        row = self.book.load(GRANT, key)
        assert row is not None
        lived_until = due.lives_until(row)
        if isinstance(fact, CreditsVoided):
            void = Void(fact.time, fact.id, fact.voided_at, fact.slice, fact.seat_id)
            since = grants.void_changes(void, [other for other in row.voids if _means_as_much(other, void)])
            row.voids = [*row.voids, void]
        else:
            since = fact.time
            row.adjustments = [*row.adjustments, Adjustment(fact.time, fact.id, fact.amount, fact.slice, fact.seat_id)]
        self.book.save(GRANT, key, row)
        account = self._account(who, row.given.credit_type)
        holder = holder_of(who, entity.holder)
        if holder.seat_id is None:
            account.rebuild(since)
            account.touch_pool(holder.contract, since)
            return
        at = fact.voided_at if isinstance(fact, CreditsVoided) else fact.time
        due.note(self.book, who, holder, row.given.credit_type, at, *_told_of(fact))
        due.note_void(self.book, who, holder, row, lived_until)
        if fact.seat_id not in (None, holder.seat_id):
            due.note_named(self.book, who, Holder(holder.contract, fact.seat_id, holder.seat_group_key), holder)
        # The grant may have been carried on to other seats.
        account.rework(dict.fromkeys(self._heirs_of(who, holder, row.given.effective_at), since))

    def _heirs_of(self, who: CustomerRow, holder: Holder, since: Instant) -> list[Holder]:
        """A seat and those that what it had from an instant on was carried to, and so on."""
        assert holder.seat_id is not None
        contract = load_contract(self.book, who.number, holder.contract)
        found: dict[str, Holder] = {}
        reached = [(since, holder.seat_id)]
        while reached:
            at, seat_id = heappop(reached)
            if seat_id in found:
                continue
            found[seat_id] = Holder(holder.contract, seat_id, holder.seat_group_key)
            for subscription in contract.subscriptions:
                if subscription.seat_group_key == holder.seat_group_key:
                    for move in seats.moves(self.book, who.number, subscription, seat_id, at, FOREVER):
                        if move.carry_balance and move.from_seat_id == seat_id:
                            heappush(reached, (move.at, move.to_seat_id))
        return list(found.values())

    # --- seats ---

    def _change_seats(self, who: CustomerRow, fact: SeatChange) -> tuple[dict[str, Any], list[SeatsChanged], list[str]]:
        contract = (
            self._contract(who, fact.contract_id) if fact.contract_id is not None else self._contract_of_edit(who, fact)
        )
        # Also where each of its operations names another.
        named = fact.subscription_id is not None or fact.feature_code is not None
        if named and contract.subscription(fact.subscription_id, fact.feature_code, fact.time) is None:
            name = fact.subscription_id or fact.feature_code
            raise Missing(
                "unknown_subscription", "subscription_id", f"subscription {name} is not known yet", "subscription"
            )
        edited = seats.edit(self.book, who.number, contract, fact)
        if isinstance(edited, Refusal):
            if edited.code == "unknown_subscription":
                raise Missing(edited.code, edited.field or "subscription_id", edited.message, "subscription")
            raise Refuse(edited.code, edited.field, edited.message, edited.law, edited.details)
        carried = any(isinstance(operation, MoveSeat) and operation.carry_balance for operation in fact.operations)
        for brief in who.contracts:
            if brief.number == contract.number and carried:
                brief.carries = True
        self._save_customer(who, fact.customer_id)
        self._save_contract(who, contract, revised=False)
        self._earn_anew(who, contract, edited)
        for operation in fact.operations:
            if isinstance(operation, MoveSeat) and operation.carry_balance:
                # Also where the seats sit as before when the instant is over.
                for subscription in contract.subscriptions:
                    for seat_id in (operation.from_seat_id, operation.to_seat_id):
                        holder = Holder(contract.number, seat_id, subscription.seat_group_key)
                        due.note(self.book, who, holder, None, operation.starting_at)
        changed: dict[str, Instant] = {}
        for subscription, since in [(one.subscription, one.since) for one in edited.seats] + [
            (one.subscription, one.since) for one in edited.steps
        ]:
            changed[subscription.subscription_id] = min(changed.get(subscription.subscription_id, FOREVER), since)
        return (
            edited.results,
            [
                SeatsChanged(contract_id=contract.contract_id, subscription_id=id, since=since)
                for id, since in sorted(changed.items())
            ],
            [ambiguous(one.subscription.seat_group_key, one.seat_id) for one in edited.seats],
        )

    def _earn_anew(self, who: CustomerRow, contract: ContractRow, edited: seats.Edited) -> None:
        """Slices follow the seats as known now (L10)."""
        for credit_type in who.credit_types:
            account = self._account(who, credit_type)
            brief = account.briefs[contract.number]
            recurring = [row.given for row in contract.recurring if row.given.credit_type == credit_type]
            pooled = {given.subscription_id for given in recurring if given.allocation == "pooled"}
            earned = {given.subscription_id for given in recurring if given.allocation == "individual"}
            shared = [touched.since for touched in edited.steps if touched.subscription.subscription_id in pooled]
            for since in shared:
                account.touch_pool(contract.number, since)
            holders: dict[Holder, Instant] = {}
            for touched in edited.seats:
                if not brief.carries and touched.subscription.subscription_id not in earned:
                    continue  # whoever sits there is given nothing for it
                holder = Holder(contract.number, touched.seat_id, touched.subscription.seat_group_key)
                # What a seat earned decides what those earn that it was carried on to.
                for each in self._heirs_of(who, holder, touched.since):
                    anew = grants.earns_anew(self.book, who, contract, each, touched.since)
                    holders[each] = min(holders.get(each, FOREVER), anew)
            if shared:
                account.rebuild(min([*shared, *holders.values()]), holders)
            elif holders:
                account.rework(holders)

    def _contract_of_edit(self, who: CustomerRow, fact: SeatChange) -> ContractRow:
        """The contract whose window holds the edit's `time`; of several the only one that has the subscription (D24)."""
        holding = [brief for brief in who.contracts if brief.starting_at <= fact.time < brief.ending_before]
        if not holding:
            raise Missing(
                "unknown_contract", "contract_id", "no contract of this customer holds the edit's time", "contract"
            )
        rows = [load_contract(self.book, who.number, brief.number) for brief in holding]
        if len(rows) > 1:
            named = [
                (one.subscription_id, one.feature_code)
                for one in (fact, *fact.operations)
                if (one.subscription_id, one.feature_code) != (None, None)
            ]
            rows = [row for row in rows if all(row.subscription(id, code, fact.time) is not None for id, code in named)]
        if len(rows) != 1:
            raise Missing(
                "contract_ambiguous", "contract_id", "several contracts hold the edit's time; name one", AMBIGUOUS
            )
        return rows[0]


def _told_of(fact: CreditsVoided | CreditsAdjusted) -> tuple[EntryType, ...]:
    """Which lines may tell of an edit of a grant."""
    return ("voided",) if isinstance(fact, CreditsVoided) else ("adjusted", "lapsed")


def _means_as_much(other: Void, void: Void) -> bool:
    """Whether two voids of an explicit grant may mean it where the same seat holds it."""
    same_seat = None in (other.seat_id, void.seat_id) or other.seat_id == void.seat_id
    return same_seat and other.slice is None and void.slice is None
