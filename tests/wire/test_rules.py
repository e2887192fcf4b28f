"""Each rule of the wire for `alert-rule`, as a sentence; then the way there and back of any rule."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import UNIT
from ledger.instants import DAY, HOUR, MINUTE
from wire.codec import Unreadable
from wire.rules import LEFT, USED, Archived, Rule, RuleScope, Webhook, read_rule, same_question, write_rule

LOW: dict[str, Any] = {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["20", 10, 0]}
OVER = LOW | {"metric": "seats_over", "scope": "subscription", "levels": [1]}


def read(body: dict[str, Any]) -> Rule:
    rule = read_rule(b"low", msgspec.json.encode(body))
    assert isinstance(rule, Rule), rule
    return rule


def refused(body: Any, key: bytes | None = b"low") -> tuple[str, str | None]:
    value = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    found = read_rule(key, value)
    assert isinstance(found, Unreadable), found
    assert found.refusal.message.startswith(found.refusal.field or "the message")
    return found.refusal.code, found.refusal.field


def test_a_rule_has_every_default() -> None:
    assert read(LOW) == Rule(
        rule_id="low", name="Low", metric="balance", scope="seat", levels=(20 * UNIT, 10 * UNIT, 0), margin=0,
        customer_id=None, credit_type="credits", contract_id=None, seat_id=None, seat_group_key=None, kind=None,
        include_seats=False, window=DAY, evaluate_on_create=True, notify_resolved=True, min_interval=0, webhook=None,
    )  # fmt: skip


def test_a_rule_says_it_all() -> None:
    said: dict[str, Any] = {
        "customer_id": "acme",
        "contract_id": "c-1",
        "seat_id": "ana",
        "seat_group_key": "user_id",
        "kind": "commit",
    }
    said |= {"margin": "2.5", "credit_type": "tokens", "evaluate_on_create": False, "notify_resolved": False}
    said |= {"min_interval": "PT10M", "webhook": {"url": "https://acme.test/hook", "secret_id": "s-1"}}
    rule = read(LOW | said)
    assert (rule.customer_id, rule.contract_id, rule.seat_id, rule.seat_group_key) == ("acme", "c-1", "ana", "user_id")
    assert (rule.kind, rule.margin, rule.credit_type) == ("commit", 25 * UNIT // 10, "tokens")
    assert (rule.evaluate_on_create, rule.notify_resolved, rule.min_interval) == (False, False, 10 * MINUTE)
    assert rule.webhook == Webhook(url="https://acme.test/hook", secret_id="s-1")


def test_a_window_is_an_hour_at_least_and_has_a_fixed_length() -> None:
    empty = LOW | {"metric": "time_to_empty"}
    assert read(empty | {"window": "PT6H"}).window == 6 * HOUR
    assert read(empty | {"window": "P1W"}).window == 7 * DAY
    assert refused(empty | {"window": "PT59M"}) == ("unknown_value", "window")
    assert refused(empty | {"window": "P1M"}) == ("wrong_type", "window")


def test_a_null_value_and_archived_archive_a_rule() -> None:
    assert read_rule(b"low", None) == Archived(rule_id="low")
    assert read_rule(b"low", b'{"rule_id": "low", "archived": true}') == Archived(rule_id="low")
    assert refused(None, None) == ("missing_field", "rule_id")


def test_the_key_is_the_rules_id() -> None:
    assert refused(LOW, b"other") == ("unknown_value", "rule_id")
    assert refused(LOW, b"\xff") == ("unreadable", None)
    assert isinstance(read_rule(None, msgspec.json.encode(LOW)), Rule)


@pytest.mark.parametrize("field", ["rule_id", "name", "metric", "scope", "levels"])
def test_what_is_needed_and_missing_is_named(field: str) -> None:
    body = {name: value for name, value in LOW.items() if name != field}
    assert refused(body) == ("missing_field", field)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metric": "credits"}, ("unknown_value", "metric")),
        ({"scope": "subscription"}, ("unknown_value", "scope")),
        ({"levels": []}, ("missing_field", "levels")),
        ({"levels": [1, "1.0"]}, ("unknown_value", "levels[1]")),
        ({"levels": [-1]}, ("amount_out_of_range", "levels[0]")),
        ({"levels": [1, "x"]}, ("wrong_type", "levels[1]")),
        ({"levels": ["0.0000000001"]}, ("amount_too_fine", "levels[0]")),
        ({"levels": list(range(21))}, ("too_large", "levels")),
        ({"metric": "balance_percent", "levels": [101]}, ("unknown_value", "levels[0]")),
        ({"margin": -1}, ("amount_out_of_range", "margin")),
        ({"kind": "gift"}, ("unknown_value", "kind")),
        ({"min_interval": "soon"}, ("wrong_type", "min_interval")),
        ({"notify_resolved": 1}, ("wrong_type", "notify_resolved")),
        ({"window": "P1D"}, ("unknown_value", "window")),
        ({"include_seats": True}, ("unknown_value", "include_seats")),
        ({"scope": "pool", "seat_id": "ana"}, ("unknown_value", "seat_id")),
        ({"scope": "customer", "contract_id": "c"}, ("unknown_value", "contract_id")),
        ({"webhook": {"url": "ftp://a", "secret_id": "s"}}, ("unknown_value", "webhook.url")),
        ({"webhook": {"url": "https://a"}}, ("missing_field", "webhook.secret_id")),
    ],
)
def test_a_wrong_rule_is_refused_as_a_whole(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refused(LOW | change) == expected


def test_what_means_nothing_to_seats_is_refused() -> None:
    assert isinstance(read(OVER | {"contract_id": "c-1"}), Rule)
    for field, value in (("kind", "credit"), ("credit_type", "credits"), ("include_seats", True)):
        assert refused(OVER | {field: value}) == ("unknown_value", field)


def test_a_rule_comes_as_a_cloud_event_too() -> None:
    event = {"specversion": "1.0", "source": "/crm", "id": "1", "type": "rule", "data": LOW}
    assert read(event) == read(LOW)
    assert refused(event | {"data": LOW | {"levels": [-1]}}) == ("amount_out_of_range", "data.levels[0]")


def test_another_name_or_receiver_is_the_same_question_and_another_level_is_not() -> None:
    rule = read(LOW)
    hook = {"url": "https://acme.test", "secret_id": "s"}
    assert same_question(rule, read(LOW | {"name": "n", "webhook": hook}))
    assert not same_question(rule, read(LOW | {"levels": [20, 10]}))
    assert not same_question(rule, read(LOW | {"min_interval": "PT1H"}))


AMOUNT = st.integers(0, 100 * UNIT)
NAME = st.text(min_size=1, max_size=200).filter(lambda name: name.isprintable())


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    metric = draw(st.sampled_from((*LEFT, *USED)))
    used = metric in USED
    scope: RuleScope = "subscription" if used else draw(st.sampled_from(("seat", "pool", "contract", "customer")))
    maybe = st.none() | NAME
    return Rule(
        rule_id="low",
        name=draw(NAME),
        metric=metric,
        scope=scope,
        levels=tuple(draw(st.lists(AMOUNT, min_size=1, max_size=20, unique=True))),
        margin=draw(AMOUNT),
        customer_id=draw(maybe),
        credit_type="credits" if used else draw(NAME),
        contract_id=None if scope == "customer" else draw(maybe),
        seat_id=draw(maybe) if scope == "seat" else None,
        seat_group_key=draw(maybe) if scope == "seat" else None,
        kind=None if used else draw(st.sampled_from((None, "credit", "commit"))),
        include_seats=scope in ("contract", "customer") and draw(st.booleans()),
        window=draw(st.integers(1, 500)) * HOUR if metric == "time_to_empty" else DAY,
        evaluate_on_create=draw(st.booleans()),
        notify_resolved=draw(st.booleans()),
        min_interval=draw(st.integers(0, 10_000)) * 1_000_000,
        webhook=draw(st.none() | st.builds(Webhook, url=st.just("https://acme.test/x"), secret_id=NAME)),
    )


@given(rules())
def test_what_was_written_for_control_is_read_as_it_was(rule: Rule) -> None:
    assert read_rule(b"low", write_rule(rule)) == rule
    assert write_rule(rule) == write_rule(read(msgspec.json.decode(write_rule(rule))))
    assert read_rule(b"low", write_rule(Archived(rule_id="low"))) == Archived(rule_id="low")


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from((*LOW, "webhook")), st.none() | st.text()).map(msgspec.json.encode)
)
def test_nothing_crashes_the_reader(value: bytes) -> None:
    assert isinstance(read_rule(None, value), Rule | Archived | Unreadable)
