"""What the watch remembers, as rows beside the ledger's: rules, turns, and when to look again. Their keys begin with `A`."""

from alerts.rules import Subject
from alerts.state import Level
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Kind, instant_key, number_key, text_key


class RuleRow(Row):
    """A rule as it was written, from `since` on; empty once it is archived. Versions are counted for ever (L18)."""

    version: int
    since: Instant
    body: str


class NoRow(Row):
    """All is in the key."""


class SubjectRow(Row):
    customer_id: str
    contract_id: str | None
    seat_id: str | None
    seat_group_key: str
    subscription_id: str | None

    def subject(self) -> Subject:
        return Subject(
            customer_id=self.customer_id,
            contract_id=self.contract_id,
            seat_id=self.seat_id,
            seat_group_key=self.seat_group_key,
            subscription_id=self.subscription_id,
        )


class StateRow(Row):
    """A subject under one version of a rule: there is one where anything ever happened, or where there is an instant to look
    again. `at`: up to when was said what had to be."""

    subject: SubjectRow
    levels: list[Level]
    at: Instant = ORIGIN
    due_at: Instant = FOREVER


class DueRow(Row):
    """A subject is to be looked at again for one rule."""

    rule_id: str
    subject: SubjectRow


class AheadRow(Row):
    """When something happens next by itself to what a customer has."""

    next_at: Instant


class ClockRow(Row):
    now: Instant


class WorkRow(Row):
    """What is done in steps. A rule is applied to what exists (`rule_id`), or a version of it taken away (`ends`), customer by
    customer; or all seats of a contract are looked at (`contract_id`), from `since` on. `behind`: where the last step ended."""

    rule_id: str | None = None
    ends: RuleRow | None = None
    customer_id: str = ""
    contract_id: str | None = None
    subscription_id: str | None = None
    credit_type: str = ""
    since: Instant = ORIGIN
    late_before: Instant = ORIGIN
    cause: tuple[str, str] = ("", "")
    behind: SubjectRow | None = None
    after: str = ""


RULE = Kind("state", b"A", RuleRow)
NAMED = Kind("state", b"A", NoRow)
STATE = Kind("state", b"A", StateRow)
DUE = Kind("state", b"A", DueRow)
AHEAD = Kind("state", b"A", AheadRow)
CLOCK = Kind("state", b"A", ClockRow)
WORK = Kind("state", b"A", WorkRow)

CLOCK_KEY = b"Ak"
WORK_PREFIX = b"Aw"
RULE_PREFIX = b"Ar"


def subject_row(subject: Subject) -> SubjectRow:
    return SubjectRow(
        subject.customer_id, subject.contract_id, subject.seat_id, subject.seat_group_key, subject.subscription_id
    )


def rule_key(rule_id: str) -> bytes:
    return RULE_PREFIX + text_key(rule_id)


def named_prefix(customer_id: str | None) -> bytes:
    """Where the rules of one customer are named, or those for all."""
    return b"Ae" if customer_id is None else b"Ai" + text_key(customer_id)


def named_key(customer_id: str | None, rule_id: str) -> bytes:
    return named_prefix(customer_id) + text_key(rule_id)


def states_prefix(rule_id: str, version: int, customer_id: str | None = None) -> bytes:
    return b"As" + text_key(rule_id) + number_key(version) + (b"" if customer_id is None else text_key(customer_id))


def state_key(rule_id: str, version: int, subject: Subject) -> bytes:
    return states_prefix(rule_id, version, subject.customer_id) + _subject_key(subject)


def due_key(at: Instant, key: bytes) -> bytes:
    """When the state of this key is to be looked at again."""
    return b"Ad" + instant_key(at) + key


def due_until(at: Instant) -> bytes:
    return b"Ad" + instant_key(at + 1)


def ahead_key(customer_id: str) -> bytes:
    return b"Ac" + text_key(customer_id)


def passing_key(at: Instant, customer_id: str) -> bytes:
    return b"An" + instant_key(at) + text_key(customer_id)


def passing_until(at: Instant) -> bytes:
    return b"An" + instant_key(at + 1)


def applying_key(rule_id: str) -> bytes:
    return WORK_PREFIX + b"r" + text_key(rule_id)


def ending_key(rule_id: str, version: int) -> bytes:
    return WORK_PREFIX + b"x" + text_key(rule_id) + number_key(version)


def seats_key(customer_id: str, contract_id: str, subscription_id: str | None, credit_type: str) -> bytes:
    said = (customer_id, contract_id, "" if subscription_id is None else f"/{subscription_id}", credit_type)
    return WORK_PREFIX + b"s" + b"".join(map(text_key, said))


def _subject_key(subject: Subject) -> bytes:
    named = (subject.contract_id, subject.subscription_id, subject.seat_group_key, subject.seat_id)
    # What is not there comes before all that is.
    return b"".join(b"\0" if name is None else b"\1" + text_key(name) for name in named)
