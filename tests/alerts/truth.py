"""What the naive model says of alerts in the end, against what was said and what the rows know. None of it depends on where
the facts were cut into batches; what was said on the way there does."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from alerts.rows import RULE, RULE_PREFIX, STATE, WORK, WORK_PREFIX, states_prefix
from alerts.rules import Subject
from alerts.state import Turn, Watched, spoken
from ledger.account_rows import newest_burn
from ledger.amounts import Amount
from ledger.contracts import CUSTOMER, customer_key
from ledger.instants import Instant
from ledger.ledger import Ledger
from ledger.rows import Book, Rows, after
from tests.alerts.model import Crossing, Model, said
from wire.rules import Archived, Rule, same_question, write_rule


class Word(Protocol):
    """What was said of a crossing."""

    @property
    def alert_id(self) -> str: ...
    @property
    def rule_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def late(self) -> bool: ...


class InForce(NamedTuple):
    """A version of a rule, and since when."""

    rule: Rule
    version: int
    since: Instant


class Due(NamedTuple):
    """What has to be known of a crossing."""

    state: str
    rule_id: str
    subject: Subject
    level: Amount
    crossing: Crossing


def in_force(told: Iterable[tuple[Rule | Archived, Instant]]) -> list[InForce]:
    """The rules in force at the end, of all that were told, each at an instant of the clock."""
    found: dict[str, InForce] = {}
    versions: dict[str, int] = {}
    for what, at in told:
        old = found.get(what.rule_id)
        if isinstance(what, Archived):
            found.pop(what.rule_id, None)
        elif old is not None and same_question(old.rule, what):
            found[what.rule_id] = old._replace(rule=what)
        else:
            versions[what.rule_id] = versions.get(what.rule_id, 0) + 1
            found[what.rule_id] = InForce(what, versions[what.rule_id], at)
    return list(found.values())


def due(ledger: Ledger, rules: Sequence[InForce], clock: Instant) -> dict[str, Due]:
    """What has to be known of every crossing, by its id."""
    found: dict[str, Due] = {}
    for customer_id in ledger.customers():
        now = now_of(ledger, customer_id, clock)
        model = Model(ledger, customer_id, now)
        for rule, version, since in rules:
            for subject in model.subjects(rule):
                watched = Watched(rule, version, since, subject)
                for level in rule.levels:
                    crossings = model.crossings(rule, since, subject, level)
                    for one, ended in said(rule, since, crossings, now):
                        armed = None if one.armed is None else Turn(one.armed[0], 0, None, *one.armed[1:])
                        alert_id = watched.alert_id(level, armed)
                        about = Due(_state(rule, ended), rule.rule_id, subject, level, one)
                        assert alert_id not in found, ("two crossings of one id", found[alert_id], about)
                        found[alert_id] = about
    return found


def now_of(ledger: Ledger, customer_id: str, clock: Instant) -> Instant:
    """The clock, or just after a customer's newest burn."""
    who = ledger.book.load(CUSTOMER, customer_key(customer_id))
    return clock if who is None else max(clock, newest_burn(ledger.book, who))


WordT = TypeVar("WordT", bound=Word)


def last_said(words: Iterable[WordT]) -> dict[str, WordT]:
    """What was said last of each crossing. Nothing is said of it that does not follow from what was said before."""
    found: dict[str, WordT] = {}
    for word in words:
        before = found.get(word.alert_id)
        was = None if before is None else before.state
        match word.state:
            case "in_alarm":
                assert was in (None, "resolved", "retracted"), (was, word)
                assert was != "resolved" or word.late, word
            case "resolved":
                assert was == "in_alarm", (was, word)
            case _:
                assert was in ("in_alarm", "resolved"), (was, word)
                assert word.state != "archived" or was == "in_alarm", word
        found[word.alert_id] = word
    return found


def heard_must_be_true(
    heard: Mapping[str, Word], expected: Mapping[str, Due], told: Sequence[tuple[Rule | Archived, Instant]]
) -> None:
    """What was said last of each crossing is what is true in the end."""
    for alert_id, about in expected.items():
        assert alert_id in heard, ("missing", about)
        assert heard[alert_id].state == about.state, (heard[alert_id], about)
    live = {rule.rule_id for rule, version, _ in in_force(told) if version == 1}
    mute = {what.rule_id for what, _ in told if isinstance(what, Rule) and not what.notify_resolved}
    for alert_id, word in heard.items():
        if alert_id in expected or (word.rule_id in mute and word.rule_id not in live):
            continue
        # What was said by a version of a rule that is no more may have ended before it did.
        gone = ("retracted",) if word.rule_id in live else ("retracted", "resolved", "archived")
        assert word.state in gone, ("too much", word)


def rows_must_be_true(rows: Rows, rules: Sequence[InForce], expected: Mapping[str, Due], clock: Instant) -> None:
    """The rows know these rules, each crossing that has to be known of, and nothing else."""
    book, ledger = Book(rows), Ledger(rows)
    kept = {
        row.body: (row.version, row.since) for _, row in book.scan(RULE, RULE_PREFIX, after(RULE_PREFIX)) if row.body
    }
    assert kept == {write_rule(rule).decode(): (version, since) for rule, version, since in rules}
    works = [work for _, work in book.scan(WORK, WORK_PREFIX, after(WORK_PREFIX))]
    assert works == [], "all steps are done"
    known: dict[str, str] = {}
    seen = 0
    for rule, version, since in rules:
        prefix = states_prefix(rule.rule_id, version)
        for _, row in book.scan(STATE, prefix, after(prefix)):
            seen += 1
            subject = row.subject.subject()
            watched = Watched(rule, version, since, subject)
            now = now_of(ledger, subject.customer_id, clock)
            for level in row.levels:
                for one in spoken(watched, level, now)[0]:
                    if not one.silent:
                        known[one.alert_id] = _state(rule, one.ended is not None)
    assert known == {alert_id: about.state for alert_id, about in expected.items()}, _unlike(known, expected)
    assert seen == sum(1 for _ in book.keys(STATE, b"As", b"At")), "no row is left of a version that is no more"


def _state(rule: Rule, ended: bool) -> str:
    return "resolved" if ended and rule.notify_resolved else "in_alarm"


def _unlike(known: Mapping[str, str], expected: Mapping[str, Due]) -> Sequence[object]:
    return [
        (alert_id, known.get(alert_id), expected.get(alert_id))
        for alert_id in sorted(known.keys() | expected.keys())
        if alert_id not in expected or known.get(alert_id) != expected[alert_id].state
    ][:5]
