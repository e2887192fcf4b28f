"""What a rule is about: which subjects it watches, what it compares, and where a value stands to a level."""

from enum import IntEnum
from typing import NamedTuple

from ledger.amounts import UNIT, Amount, share, text
from ledger.facts import SEAT_ID, Value
from ledger.instants import DAY, FOREVER, HOUR, Instant, Span
from ledger.outcome import Scope
from wire.rules import USED, Rule


class Subject(Value, kw_only=True, frozen=True):
    """Whom an alert is about: a seat, a contract or its pool, a subscription; without a `contract_id`, the customer or its
    pool. Which of them, the rule's scope says."""

    customer_id: str
    contract_id: str | None = None
    seat_id: str | None = None
    seat_group_key: str = SEAT_ID
    subscription_id: str | None = None


class Gauge(Value, kw_only=True, frozen=True):
    """What is measured of a subject, whatever its rules make of it: rules that look at the same share one look.

    `scope` is a rule's, but a contract without its seats is its pool. `window`: of the burns that are added up, 0 where
    none are. `by_day`: the value falls as time passes."""

    scope: str
    subject: Subject
    credit_type: str | None
    kind: str | None = None
    include_seats: bool = False
    window: Span = 0
    by_day: bool = False


class Reading(NamedTuple):
    """What a gauge shows at an instant.

    `left` of what the active grants were last given (`granted`); `given`: anything ever was. `ends`: when the next grant
    with something left does, which is so much (`ending`). `burned` within the window. Or `used` seats, and how many are
    `included` (None: unsaid)."""

    left: Amount = 0
    granted: Amount = 0
    given: bool = True
    ends: Instant = FOREVER
    ending: Amount = 0
    burned: Amount = 0
    used: int = 0
    included: int | None = None


class Measure(NamedTuple):
    """A value of a metric, exactly: `parts / whole` of its unit, in billionths as an amount is."""

    parts: int
    whole: int = 1

    def __str__(self) -> str:
        """To nine digits."""
        return text(share(self.parts, 1, self.whole))


class Zone(IntEnum):
    """Where a value stands: beyond the re-arm line, between it and the level, or at the level and past it."""

    CLEAR = 0
    BAND = 1
    ALARM = 2


def gauge_of(rule: Rule, subject: Subject) -> Gauge:
    """What a rule looks at to judge a subject."""
    if rule.metric in USED:
        return Gauge(scope="subscription", subject=subject, credit_type=None)
    return Gauge(
        scope="pool" if rule.scope == "contract" and not rule.include_seats else rule.scope,
        subject=subject,
        credit_type=rule.credit_type,
        kind=rule.kind,
        include_seats=rule.include_seats,
        window=rule.window if rule.metric == "time_to_empty" else 0,
        by_day=rule.metric == "days_to_expiry",
    )


def watches(rule: Rule, subject: Subject) -> bool:
    """Whether a subject of the rule's scope is one of those that the rule names."""
    return (
        rule.customer_id in (None, subject.customer_id)
        and rule.contract_id in (None, subject.contract_id)
        and rule.seat_id in (None, subject.seat_id)
        and (subject.seat_id is None or rule.seat_group_key in (None, subject.seat_group_key))
        and (rule.scope != "contract" or subject.contract_id is not None)
    )


def subjects_of(rule: Rule, scope: Scope) -> Subject | None:
    """Whom a rule about credits has to judge where a scope of the ledger changed."""
    if rule.credit_type != scope.credit_type:
        return None
    subject = None
    match rule.scope:
        case "seat" if scope.seat_id is not None:
            subject = seat_of(scope)
        case "pool" if scope.seat_id is None:
            subject = Subject(customer_id=scope.customer_id, contract_id=scope.contract_id)
        case "contract" if scope.contract_id is not None and (rule.include_seats or scope.seat_id is None):
            subject = Subject(customer_id=scope.customer_id, contract_id=scope.contract_id)
        case "customer" if rule.include_seats or scope.seat_id is None:
            subject = Subject(customer_id=scope.customer_id)
    return subject if subject is not None and watches(rule, subject) else None


def seat_of(scope: Scope) -> Subject:
    return Subject(
        customer_id=scope.customer_id,
        contract_id=scope.contract_id,
        seat_id=scope.seat_id,
        seat_group_key=scope.seat_group_key,
    )


def measure(rule: Rule, reading: Reading, at: Instant) -> Measure | None:
    """What a rule compares. None where there is nothing to compare, which is as clear as can be: nothing ever was granted
    (L18), no grant ends, nothing burns, no seats are included."""
    if not reading.given:
        return None
    match rule.metric:
        case "balance":
            return Measure(reading.left)
        case "balance_percent":
            # What has ended left nothing, and nothing to compare it with.
            return Measure(reading.left * 100 * UNIT, reading.granted) if reading.granted else Measure(0)
        case "days_to_expiry":
            return None if reading.ends == FOREVER else Measure((reading.ends - at) * UNIT, DAY)
        case "time_to_empty":
            if not reading.left:
                return Measure(0)
            # Billionths over billionths, times a span over an hour.
            return Measure(reading.left * rule.window * UNIT, reading.burned * HOUR) if reading.burned else None
        case "seats_over":
            return None if reading.included is None else Measure((reading.used - reading.included) * UNIT)
        case "seats_used_percent":
            if reading.included is None:
                return None
            if not reading.included:
                return Measure(100 * UNIT if reading.used else 0)
            return Measure(reading.used * 100 * UNIT, reading.included)


def zone_of(rule: Rule, level: Amount, value: Measure | None) -> Zone:
    """Where a value stands to a level: what is left alarms at it and below, what is used at it and above."""
    if value is None:
        return Zone.CLEAR
    parts, whole = value
    if rule.metric in USED:
        if parts >= level * whole:
            return Zone.ALARM
        return Zone.BAND if parts >= (level - rule.margin) * whole else Zone.CLEAR
    if parts <= level * whole:
        return Zone.ALARM
    return Zone.BAND if parts <= (level + rule.margin) * whole else Zone.CLEAR


def room(rule: Rule, reading: Reading) -> Amount | None:
    """How much may be burned, as long as nothing else happens, before the value of a rule may stand in another zone; None
    if burning alone never takes it there."""
    left = reading.left
    if not reading.given:
        return None
    lines = {line for level in rule.levels for line in (level, level + rule.margin)}
    rooms: list[Amount] = []
    match rule.metric:
        case "balance":
            rooms = [left - line for line in lines if left > line]
        case "balance_percent" if reading.granted:
            held, whole = left * 100 * UNIT, reading.granted
            # The least amount that takes it to the line: left - line x granted / 100, rounded up.
            rooms = [-((line * whole - held) // (100 * UNIT)) for line in lines if held > line * whole]
        case "days_to_expiry" if reading.ends < FOREVER:
            rooms = [reading.ending]  # then another grant ends next
        case "time_to_empty" if left:
            # (left - a) x window <= line x (burned + a), a rounded up.
            window = rule.window * UNIT
            rooms = [
                max(1, -((line * HOUR * reading.burned - left * window) // (window + line * HOUR)))
                for line in lines
                if left * window > line * HOUR * reading.burned
            ]
    return min(rooms, default=None)
