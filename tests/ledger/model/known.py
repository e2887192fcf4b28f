"""What the accepted facts of one customer say, sorted by the thing they speak of. Nothing is computed ahead."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from ledger.facts import (
    AnyFact,
    AnyOperation,
    BurnVoided,
    ChangeQuantity,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    Mode,
    PeriodReset,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    SeatChange,
    SetQuantity,
    Subscription,
    SubscriptionAdded,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import FOREVER, Instant

Changeable = TypeVar("Changeable", Subscription, RecurringCredit)


@dataclass(frozen=True)
class Accepted:
    """A fact that counts, with the contract that it meant when it was folded (D24)."""

    fact: AnyFact
    contract_id: str | None


@dataclass(frozen=True)
class End:
    """Someone said when a thing ends. Of several the latest (time, id) counts (L16)."""

    time: Instant
    id: str
    at: Instant


@dataclass(eq=False)
class KnownSubscription:
    contract: "KnownContract"
    definition: Subscription
    fact: AnyFact
    ends: list[End] = field(default_factory=list)
    updates: list[SubscriptionUpdated] = field(default_factory=list)
    operations: list[tuple[SeatChange, int, AnyOperation]] = field(default_factory=list)
    version: int = 0

    @property
    def feature_codes(self) -> set[str]:
        """Every code it ever had: a code names one subscription of a contract, for ever (M5)."""
        codes = [self.definition.feature_code, *(update.changes.feature_code for update in self.updates)]
        return {code for code in codes if code is not None}

    @property
    def converted_at(self) -> Instant:
        """From when on it has seats; FOREVER: never (D8)."""
        if self.definition.mode == "seats":
            return -FOREVER
        return min((update.starting_at for update in self.updates if update.changes.mode == "seats"), default=FOREVER)

    @property
    def seat_group_key(self) -> str:
        """Whose seats they are: no accepted update says another but the one with which they begin (M19)."""
        said = [self.definition.seat_group_key, *(update.changes.seat_group_key for update in self.updates)]
        return [key for key in said if key is not None][-1]

    def mode(self, at: Instant) -> Mode:
        return "seats" if at >= self.converted_at else "quantity"

    def life(self) -> tuple[Instant, Instant]:
        """[starting_at, ending_before), cut by the contract's window; what is outside is masked (D5)."""
        return (
            max(self.definition.starting_at, self.contract.starting_at),
            min(the_end_that_counts(self.ends), self.contract.ending_before),
        )

    def settings(self, at: Instant) -> Subscription:
        """Field by field, of the updates from `starting_at` on the one with the latest (time, id) (L16, M4)."""
        counting = [update for update in self.updates if update.starting_at <= at]
        return changed(self.definition, counting)

    def changes_at(self) -> list[Instant]:
        return [update.starting_at for update in self.updates]


@dataclass
class KnownCredit:
    contract: "KnownContract"
    definition: RecurringCredit
    fact: AnyFact
    ends: list[End] = field(default_factory=list)
    updates: list[RecurringCreditUpdated] = field(default_factory=list)

    @property
    def subscription(self) -> KnownSubscription | None:
        named = self.definition.subscription_id
        return None if named is None else self.contract.subscriptions[named]

    def settings(self, period_start: Instant) -> RecurringCredit:
        """As of the period whose grid start this is: updates submitted before it count (D14)."""
        return changed(self.definition, [update for update in self.updates if update.time < period_start])


@dataclass
class KnownGrant:
    grant: Grant
    contract: "KnownContract | None"
    fact: AnyFact


@dataclass
class KnownContract:
    contract_id: str
    fact: ContractCreated
    ends: list[End]
    subscriptions: dict[str, KnownSubscription] = field(default_factory=dict)
    credits: dict[str, KnownCredit] = field(default_factory=dict)
    grants: dict[str, KnownGrant] = field(default_factory=dict)

    @property
    def starting_at(self) -> Instant:
        return self.fact.starting_at

    @property
    def ending_before(self) -> Instant:
        return the_end_that_counts(self.ends)

    @property
    def carries(self) -> bool:
        return self.fact.overage == "carry"

    def holds(self, at: Instant) -> bool:
        return self.starting_at <= at < self.ending_before

    def named(self, subscription_id: str | None, feature_code: str | None) -> KnownSubscription | None:
        if subscription_id is not None:
            return self.subscriptions.get(subscription_id)
        return next((each for each in self.subscriptions.values() if feature_code in each.feature_codes), None)


class Known:
    """Everything that a customer's accepted facts say."""

    def __init__(self, customer_id: str, accepted: Iterable[Accepted]) -> None:
        self.customer_id = customer_id
        self.contracts: dict[str, KnownContract] = {}
        self.grants: dict[str, KnownGrant] = {}  # of the customer's pool
        self.voids: list[CreditsVoided] = []
        self.adjustments: list[CreditsAdjusted] = []
        self.resets: list[PeriodReset] = []
        self.burns: list[Accepted] = []
        self.voided_burns: set[str] = set()
        for each in accepted:
            self._learn(each)

    def _learn(self, accepted: Accepted) -> None:
        fact = accepted.fact
        match fact:
            case ContractCreated():
                contract = KnownContract(fact.contract_id, fact, _said(fact, fact.ending_before))
                self.contracts[fact.contract_id] = contract
                for subscription in fact.subscriptions:
                    self._learn_subscription(contract, subscription, fact)
                for credit in fact.recurring_credits:
                    self._learn_credit(contract, credit, fact)
                for grant in fact.grants:
                    contract.grants[grant.grant_id] = KnownGrant(grant, contract, fact)
            case ContractUpdated() | ContractEnded():
                if fact.ending_before is not None:
                    self.contracts[fact.contract_id].ends.append(End(fact.time, fact.id, fact.ending_before))
            case SubscriptionAdded():
                self._learn_subscription(self.contracts[fact.contract_id], fact.subscription, fact)
            case SubscriptionUpdated():
                self.contracts[fact.contract_id].subscriptions[fact.subscription_id].updates.append(fact)
            case SubscriptionEnded():
                ended = self.contracts[fact.contract_id].subscriptions[fact.subscription_id]
                ended.ends.append(End(fact.time, fact.id, fact.ending_before))
            case RecurringCreditAdded():
                self._learn_credit(self.contracts[fact.contract_id], fact.recurring_credit, fact)
            case RecurringCreditUpdated():
                self.contracts[fact.contract_id].credits[fact.recurring_credit_id].updates.append(fact)
            case RecurringCreditEnded():
                stopped = self.contracts[fact.contract_id].credits[fact.recurring_credit_id]
                stopped.ends.append(End(fact.time, fact.id, fact.ending_before))
            case CreditsGranted():
                if fact.grant.contract_id is None:
                    self.grants[fact.grant.grant_id] = KnownGrant(fact.grant, None, fact)
                else:
                    contract = self.contracts[fact.grant.contract_id]
                    contract.grants[fact.grant.grant_id] = KnownGrant(fact.grant, contract, fact)
            case CreditsVoided():
                self.voids.append(fact)
            case CreditsAdjusted():
                self.adjustments.append(fact)
            case PeriodReset():
                self.resets.append(fact)
            case SeatChange():
                assert accepted.contract_id is not None
                self._learn_edit(self.contracts[accepted.contract_id], fact)
            case CreditBurn():
                self.burns.append(accepted)
            case BurnVoided():
                self.voided_burns.add(fact.burn_id)

    def _learn_subscription(self, contract: KnownContract, subscription: Subscription, fact: AnyFact) -> None:
        contract.subscriptions[subscription.subscription_id] = KnownSubscription(
            contract, subscription, fact, _said(fact, subscription.ending_before)
        )

    def _learn_credit(self, contract: KnownContract, credit: RecurringCredit, fact: AnyFact) -> None:
        contract.credits[credit.recurring_credit_id] = KnownCredit(
            contract, credit, fact, _said(fact, credit.ending_before)
        )

    def _learn_edit(self, contract: KnownContract, edit: SeatChange) -> None:
        for subscription in touched(contract, edit):
            subscription.version += 1
        for index, operation in enumerate(edit.operations):
            named = meant(contract, edit, operation)
            assert named is not None
            named.operations.append((edit, index, operation))


def meant(contract: KnownContract, edit: SeatChange, operation: AnyOperation) -> KnownSubscription | None:
    """The subscription of an operation: its own, else the edit's."""
    if operation.subscription_id is not None or operation.feature_code is not None:
        return contract.named(operation.subscription_id, operation.feature_code)
    return contract.named(edit.subscription_id, edit.feature_code)


def touched(contract: KnownContract, edit: SeatChange) -> list[KnownSubscription]:
    """The subscriptions of an edit's operations, in the order of their mention; of an empty edit its own (M6)."""
    found = [meant(contract, edit, operation) for operation in edit.operations]
    if not edit.operations:
        found = [contract.named(edit.subscription_id, edit.feature_code)]
    return list({id(each): each for each in found if each is not None}.values())


def the_end_that_counts(ends: list[End]) -> Instant:
    """Of several ends the one with the latest (time, id) (L16); none: never."""
    return max(ends, key=lambda end: (end.time, end.id)).at if ends else FOREVER


def changed(definition: Changeable, updates: Iterable[SubscriptionUpdated | RecurringCreditUpdated]) -> Changeable:
    fields: dict[str, object] = {}
    for update in sorted(updates, key=lambda each: (each.time, each.id)):
        values = {name: getattr(update.changes, name) for name in update.changes.__struct_fields__}
        fields |= {name: value for name, value in values.items() if value is not None}
    return msgspec.structs.replace(definition, **fields) if fields else definition


def _said(fact: AnyFact, ending_before: Instant) -> list[End]:
    """A definition's own end has the time of the fact that brought it (D13); no end is not an end (M3)."""
    return [] if ending_before == FOREVER else [End(fact.time, fact.id, ending_before)]


#: Operations by quantity; all others are by seat.
QUANTITY_OPERATIONS = (SetQuantity, ChangeQuantity)
