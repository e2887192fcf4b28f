"""Whether a fact counts: what it names, and the rules that it may break (L4, L11, L16, L19). In the order of D22."""

from ledger.facts import (
    AnyFact,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    SeatChange,
    Subscription,
    SubscriptionAdded,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import FOREVER, Instant
from ledger.outcome import Refusal
from tests.ledger.model import seats
from tests.ledger.model.known import QUANTITY_OPERATIONS, Accepted, Known, KnownContract, meant, touched


class Missing(Exception):
    """The fact names something that is not known yet; `code` is the code of refusal if it may not wait."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


class Against(Exception):
    """The fact breaks a rule."""

    def __init__(self, code: str, field: str | None = None, message: str = "") -> None:
        super().__init__(message or code)
        self.refusal = Refusal(code=code, field=field, message=message or code)


def earliest(fact: AnyFact) -> list[Instant]:
    """The instants that lateness is counted back to (D23)."""
    match fact:
        case SeatChange():
            return [fact.time, *(operation.starting_at for operation in fact.operations)]
        case CreditsGranted():
            return [fact.time, fact.grant.effective_at]
        case CreditsVoided():
            return [fact.time, fact.voided_at]
        case ContractUpdated() | ContractEnded() | SubscriptionEnded() | RecurringCreditEnded():
            ends = fact.ending_before not in (None, FOREVER)
            return [fact.time, fact.ending_before] if ends else [fact.time]  # type: ignore[list-item]
        case SubscriptionAdded():
            return [fact.time, fact.subscription.starting_at]
        case SubscriptionUpdated():
            return [fact.time, fact.starting_at]
        case RecurringCreditAdded():
            return [fact.time, fact.recurring_credit.starting_at]
        case _:
            return [fact.time]


def resolve(known: Known, fact: AnyFact) -> str | None:
    """The contract that the fact means (None: the customer's pool). Raises `Missing`."""
    contract: KnownContract | None
    match fact:
        case ContractCreated():
            return fact.contract_id
        case BurnVoided():
            found = [each for each in known.burns if each.fact.id == fact.burn_id]
            if not found:
                raise Missing("unknown_burn", f"burn {fact.burn_id}")
            return found[-1].contract_id
        case CreditBurn(contract_id=None):
            return _looked_up(known, fact)
        case SeatChange(contract_id=None):
            contract = _contract_of_edit(known, fact)
        case CreditsGranted():
            contract = _contract(known, fact.grant.contract_id)
        case _:
            contract = _contract(known, fact.contract_id)
    match fact:
        case SeatChange():
            assert contract is not None
            expected = [name for name in fact.expected_version or {} if not _knows(contract, name)]
            if expected or any(each != (None, None) and contract.named(*each) is None for each in _names(fact)):
                raise Missing("unknown_subscription", "a subscription that the edit names")
        case SubscriptionUpdated() | SubscriptionEnded():
            if contract is not None and fact.subscription_id not in contract.subscriptions:
                raise Missing("unknown_subscription", f"subscription {fact.subscription_id}")
        case RecurringCreditAdded():
            linked = fact.recurring_credit.subscription_id
            if contract is not None and linked is not None and linked not in contract.subscriptions:
                raise Missing("unknown_subscription", f"subscription {linked}")
        case RecurringCreditUpdated() | RecurringCreditEnded():
            if contract is not None and fact.recurring_credit_id not in contract.credits:
                raise Missing("unknown_grant", f"recurring credit {fact.recurring_credit_id}")
        case CreditsVoided() | CreditsAdjusted():
            names = known.grants if contract is None else contract.grants | contract.credits
            if fact.grant_id not in names:
                raise Missing("unknown_grant", f"grant {fact.grant_id}")
    return None if contract is None else contract.contract_id


def _knows(contract: KnownContract, name: str) -> bool:
    return contract.named(name, None) is not None or contract.named(None, name) is not None


def _contract(known: Known, contract_id: str | None) -> KnownContract | None:
    if contract_id is None:
        return None
    if contract_id not in known.contracts:
        raise Missing("unknown_contract", f"contract {contract_id}")
    return known.contracts[contract_id]


def _looked_up(known: Known, burn: CreditBurn) -> str:
    """The contract whose window holds `time`; of several the only one where the seat is assigned then (D24)."""
    holding = [contract for contract in known.contracts.values() if contract.holds(burn.time)]
    if not holding:
        raise Missing("unknown_contract", f"a contract that holds {burn.time}")
    if len(holding) > 1:
        holding = [
            contract
            for contract in holding
            if any(
                subscription.seat_group_key == burn.seat_group_key
                and burn.seat_id in seats.at(seats.sights(subscription), burn.time).assigned
                for subscription in contract.subscriptions.values()
            )
        ]
    if len(holding) != 1:
        raise Missing("contract_ambiguous", f"which contract the burn at {burn.time} means")
    return holding[0].contract_id


def when_the_wait_is_over(known: Known, burn: CreditBurn) -> str | None:
    """A burn that names no contract is overage of the one that ended last before it, else of the next to start."""
    ended = [each for each in known.contracts.values() if each.ending_before <= burn.time]
    if ended:
        return min(ended, key=lambda each: (-each.ending_before, -each.starting_at, each.contract_id)).contract_id
    coming = [each for each in known.contracts.values() if each.starting_at > burn.time]
    return min(coming, key=lambda each: (each.starting_at, each.contract_id)).contract_id if coming else None


def _contract_of_edit(known: Known, edit: SeatChange) -> KnownContract:
    """The contract whose window holds the edit's `time`; of several the only one with what it names (D24)."""
    holding = [contract for contract in known.contracts.values() if contract.holds(edit.time)]
    if not holding:
        raise Missing("unknown_contract", f"a contract that holds {edit.time}")
    if len(holding) > 1:
        holding = [
            contract
            for contract in holding
            if all(each == (None, None) or contract.named(*each) is not None for each in _names(edit))
        ]
    if len(holding) != 1:
        raise Missing("contract_ambiguous", "which contract the edit means")
    return holding[0]


def _names(edit: SeatChange) -> list[tuple[str | None, str | None]]:
    """The subscriptions that an edit and its operations name."""
    names = [(edit.subscription_id, edit.feature_code)]
    return names + [(operation.subscription_id, operation.feature_code) for operation in edit.operations]


def look_at_the_rules(known: Known, accepted: list[Accepted], fact: AnyFact, contract_id: str | None) -> None:
    """Raises `Against` if the fact breaks a rule, given what is known."""
    contract = None if contract_id is None else known.contracts.get(contract_id)
    match fact:
        case ContractCreated():
            _rules_of_a_new_contract(known, fact)
        case SubscriptionAdded():
            assert contract is not None
            _rules_of_a_new_subscription(contract, fact.subscription)
        case SubscriptionUpdated():
            assert contract is not None
            _rules_of_an_update(contract, fact)
        case RecurringCreditAdded():
            assert contract is not None
            _rules_of_a_new_id(
                contract.grants.keys() | contract.credits.keys(), fact.recurring_credit.recurring_credit_id
            )
            linked = fact.recurring_credit.subscription_id
            mode = None
            if linked is not None:
                mode = contract.subscriptions[linked].mode(fact.recurring_credit.starting_at)
            _rules_of_an_allocation(fact.recurring_credit, mode)
        case CreditsGranted():
            taken = known.grants.keys() if contract is None else contract.grants.keys() | contract.credits.keys()
            _rules_of_a_new_id(taken, fact.grant.grant_id)
            _rules_of_a_grant(fact.grant, contract_id)
        case CreditsAdjusted():
            credit = contract.credits.get(fact.grant_id) if contract is not None else None
            if credit is not None and credit.definition.allocation == "individual" and fact.seat_id is None:
                raise Against("missing_field", "seat_id")
        case SeatChange():
            assert contract is not None
            _rules_of_an_edit(contract, known.customer_id, accepted, fact)


def _rules_of_a_new_contract(known: Known, fact: ContractCreated) -> None:
    """What it brings along obeys the rules as if it came one after the other, in the order written (L4, D22)."""
    if fact.contract_id in known.contracts:
        raise Against("already_exists", "contract_id")
    modes = {subscription.subscription_id: subscription.mode for subscription in fact.subscriptions}
    ids = [subscription.subscription_id for subscription in fact.subscriptions]
    codes = [subscription.feature_code for subscription in fact.subscriptions if subscription.feature_code is not None]
    if len(set(ids)) < len(ids) or len(set(codes)) < len(codes):
        raise Against("already_exists")
    taken: set[str] = set()
    for index, credit in enumerate(fact.recurring_credits):
        _rules_of_a_new_id(taken, credit.recurring_credit_id)
        taken.add(credit.recurring_credit_id)
        if credit.subscription_id is not None and credit.subscription_id not in modes:
            raise Against("unknown_subscription", f"recurring_credits[{index}].subscription_id")
        _rules_of_an_allocation(credit, None if credit.subscription_id is None else modes[credit.subscription_id])
    for grant in fact.grants:
        _rules_of_a_new_id(taken, grant.grant_id)
        taken.add(grant.grant_id)


def _rules_of_a_new_subscription(contract: KnownContract, subscription: Subscription) -> None:
    _rules_of_a_new_id(contract.subscriptions.keys(), subscription.subscription_id)
    if subscription.feature_code is not None and contract.named(None, subscription.feature_code) is not None:
        raise Against("already_exists", "feature_code")


def _rules_of_a_new_id(taken: set[str] | object, id: str) -> None:
    if id in taken:  # type: ignore[operator]
        raise Against("already_exists", message=f"{id} exists already")


def _rules_of_an_allocation(credit: RecurringCredit, mode: str | None) -> None:
    """`individual` needs a subscription of mode seats (the wire)."""
    if credit.allocation == "individual" and mode is None:
        raise Against("missing_field", "subscription_id")
    if credit.allocation == "individual" and mode != "seats":
        raise Against("wrong_mode", "allocation")


def _rules_of_a_grant(grant: Grant, contract_id: str | None) -> None:
    if grant.seat_id is not None and contract_id is None:
        raise Against("missing_field", "contract_id")


def _rules_of_an_update(contract: KnownContract, fact: SubscriptionUpdated) -> None:
    """The way back to quantities is closed, and a conversion strands no accepted operation (D8)."""
    subscription = contract.subscriptions[fact.subscription_id]
    code = fact.changes.feature_code
    if code is not None and contract.named(None, code) not in (None, subscription):
        raise Against("already_exists", "feature_code")
    if fact.changes.mode == "quantity" and subscription.mode(fact.starting_at) == "seats":
        raise Against("wrong_mode", "mode")
    if fact.changes.seat_group_key not in (None, subscription.seat_group_key):
        begins = fact.changes.mode == "seats" and subscription.converted_at == FOREVER
        if not begins:
            raise Against("wrong_mode", "seat_group_key")
    if fact.changes.mode == "seats" and subscription.mode(fact.starting_at) == "quantity":
        for _, _, operation in subscription.operations:
            if isinstance(operation, QUANTITY_OPERATIONS) and operation.starting_at > fact.starting_at:
                raise Against("wrong_mode", "mode")


def _rules_of_an_edit(contract: KnownContract, customer_id: str, accepted: list[Accepted], edit: SeatChange) -> None:
    """Folded whole or refused whole: given all that is known, no rule may break at any instant (L11)."""
    for index, operation in enumerate(edit.operations):
        if meant(contract, edit, operation) is None:
            raise Against("missing_field", f"operations[{index}].subscription_id")
    if not edit.operations and contract.named(edit.subscription_id, edit.feature_code) is None:
        raise Against("missing_field", "subscription_id")
    for name, version in (edit.expected_version or {}).items():
        expected = contract.named(name, None) or contract.named(None, name)
        assert expected is not None
        if expected.version != version:
            raise Against("version_stale", "expected_version")
    for index, operation in enumerate(edit.operations):
        subscription = meant(contract, edit, operation)
        assert subscription is not None
        needs = "quantity" if isinstance(operation, QUANTITY_OPERATIONS) else "seats"
        if subscription.mode(operation.starting_at) != needs:
            raise Against("wrong_mode", f"operations[{index}].op")
    trial = Known(customer_id, [*accepted, Accepted(edit, contract.contract_id)])
    for subscription in touched(trial.contracts[contract.contract_id], edit):
        try:
            seats.fold(subscription)
        except seats.Broken as broken:
            raise Against(broken.code, "operations", str(broken)) from None
