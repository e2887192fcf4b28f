"""The published schemas and the code that reads and writes say the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import amounts
from ledger.facts import AnyFact, Topic, topic
from tests.wire import drawn
from tests.wire.exact import Exact, closed, loads
from tests.wire.test_rules import rules
from wire.asked import asked
from wire.codec import Unreadable, read, write
from wire.control import tick
from wire.outputs import Alert, AlertState, threshold_alert
from wire.rules import LEFT, USED, read_rule, write_rule
from wire.schemas import MEANINGS, PLACE, documents, texts

ROOT = Path(__file__).parents[2]
TOPICS: tuple[Topic, ...] = ("contract-change", "seat-change", "credit-burn")
ID = {"id": "x", "customer_id": "acme", "time": "2026-03-16T00:00:00Z"}


FACTS = {of: Exact(documents()[f"{of}.schema.json"]) for of in TOPICS}


RULE = Exact(documents()["alert-rule.schema.json"])
TICK = Exact(documents()["control.schema.json"])
ALERT = Exact(closed(documents()["threshold-alert.schema.json"]))

_maybe = st.none() | st.text(min_size=1)
alerts = st.builds(
    Alert,
    state=st.sampled_from(get_args(AlertState)),
    metric=st.sampled_from([*LEFT, *USED]),
    level=drawn.amounts,
    value=st.none() | drawn.amounts.map(amounts.text),
    time=drawn.instants,
    quantity=st.none() | drawn.quantities,
    included=st.none() | drawn.quantities,
    **dict.fromkeys(("contract_id", "subscription_id", "feature_code", "seat_id", "credit_type"), _maybe),
)
EVERYTHING = Alert(
    alert_id="a", rule_id="r", name="n", state="resolved", late=True, customer_id="acme", contract_id="c",
    subscription_id="s", feature_code="f", quantity=1, included=1, seat_id="ana", seat_group_key="user", metric="balance",
    level=0, value="0", credit_type="credits", time=0, cause_type="credit-burn", cause_id="b",
)  # fmt: skip


def valid(of: Topic, value: bytes) -> bool:
    return bool(FACTS[of].is_valid(loads(value)))


def test_the_files_are_what_the_code_says() -> None:
    """`make docs` writes them anew."""
    held = {path.name: path.read_text() for path in (ROOT / PLACE).glob("*.json")}

    assert held == texts()


@pytest.mark.parametrize("name", [name for name in documents() if name.endswith(".schema.json")])
def test_each_is_a_schema_of_the_draft_that_it_names(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(documents()[name])


def test_no_field_is_explained_that_does_not_exist() -> None:
    said = json.dumps([documents()[f"{of}.schema.json"] for of in (*TOPICS, "alert-rule")])

    assert [name for name in MEANINGS if f'"{name}": {{"description"' not in said] == []


def test_a_reader_that_decides_in_a_way_that_no_schema_could_say_is_found_out() -> None:
    with pytest.raises(TypeError, match="ask by another method"):
        asked(lambda fields: fields.has("x") and fields.refuse("unknown_value", "x", "is odd"), {})
    with pytest.raises(TypeError, match="ask by another method"):
        asked(lambda fields: fields.items("x", 1), {})


@settings(deadline=None)
@given(drawn.facts)
def test_every_fact_that_is_written_is_valid(fact: AnyFact) -> None:
    assert valid(topic(fact), write(fact))


#: What only the reader can tell, by the code and the field of its refusal: how large a number with an exponent is and how
#: fine one without quotes, whether a month has 31 days, and what holds between several fields.
BEYOND = {
    "amount_too_fine": ("amount", "min", "max"),
    "amount_out_of_range": ("amount", "min", "max"),
    "wrong_type": (
        "time", "starting_at", "ending_before", "effective_at", "expires_at", "voided_at", "anchor", "expected_version",
    ),
    "unknown_value": ("max",),
    "too_large": ("operations", "subscriptions"),
}  # fmt: skip


@st.composite
def spoilt_facts(draw: st.DrawFn) -> tuple[Topic, bytes]:
    fact = draw(drawn.facts)
    held = msgspec.json.decode(write(fact))
    return topic(fact), msgspec.json.encode(draw(drawn.spoilt(st.just(held))))


@settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(spoilt_facts())
def test_a_fact_is_valid_where_it_can_be_read_and_nowhere_else(case: tuple[Topic, bytes]) -> None:
    of, value = case
    found = read(of, None, value)
    if not isinstance(found, Unreadable):
        assert valid(of, value)
    elif valid(of, value):
        last = (found.refusal.field or "").rpartition(".")[2]
        assert last in BEYOND.get(found.refusal.code, ()), found.refusal.message


@pytest.mark.parametrize(
    ("of", "held"),
    [
        ("credit-burn", {"amount": "0"}),
        ("credit-burn", {"amount": "-1"}),
        ("credit-burn", {"amount": "0.0000000001"}),
        ("credit-burn", {"amount": 1_000_000_000_000_000}),
        ("credit-burn", {"amount": "1\n"}),
        ("credit-burn", {"amount": "1", "seat_id": ""}),
        ("credit-burn", {"amount": "1", "time": "2026-03-16T00:00:00"}),
        ("credit-burn", {"type": "burn.voided"}),
        ("seat-change", {"operations": [], "type": "seat.changed"}),
        ("seat-change", {"operations": [{"op": "set_quantity", "quantity": 1}]}),
        ("seat-change", {"subscription_id": "t", "operations": [{"op": "change_quantity", "delta": 0}]}),
        ("seat-change", {"subscription_id": "t", "operations": [{"op": "add_seats", "seat_ids": [{"name": "A"}]}]}),
        ("seat-change", {"subscription_id": "t", "operations": [], "expected_version": {"t": -1}}),
        ("contract-change", {"type": "contract.moved", "contract_id": "c"}),
        ("contract-change", {"type": "credits.granted", "grant_id": "g", "amount": "1", "seat_id": "ana"}),
        ("contract-change", {"type": "subscription.updated", "contract_id": "c", "subscription_id": "t", "quantity": 1}),
        (
            "contract-change",
            {"type": "recurring_credit.added", "contract_id": "c", "recurring_credit_id": "m", "amount": 1, "every": "P1M",
             "allocation": "individual"},
        ),
        (
            "contract-change",
            {"type": "recurring_credit.added", "contract_id": "c", "recurring_credit_id": "m", "amount": 1, "every": "P0M"},
        ),
    ],
)  # fmt: skip
def test_what_the_reader_refuses_no_schema_takes(of: Topic, held: dict[str, Any]) -> None:
    value = msgspec.json.encode(ID | held)

    assert isinstance(read(of, None, value), Unreadable)
    assert not valid(of, value)


@st.composite
def spoilt_rules(draw: st.DrawFn) -> bytes:
    held = msgspec.json.decode(write_rule(draw(rules())))
    return msgspec.json.encode(draw(drawn.spoilt(st.just(held))) if draw(st.integers(0, 3)) else held)


#: Whether a level comes twice, is more than 100 %, and how long a window is.
BEYOND_RULES = BEYOND | {"unknown_value": ("levels", "window"), "too_large": ()}


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(spoilt_rules())
def test_a_rule_is_valid_where_it_can_be_read_and_nowhere_else(value: bytes) -> None:
    found, is_valid = read_rule(None, value), RULE.is_valid(loads(value))
    if not isinstance(found, Unreadable):
        assert is_valid
    elif is_valid:
        code, field = found.refusal.code, (found.refusal.field or "").partition("[")[0]
        assert field in BEYOND_RULES.get(code, ()) or (code.startswith("amount") and field in ("levels", "margin"))


@pytest.mark.parametrize(
    "said",
    [{}, {"type": None}, {"type": "any"}, {"id": ""}, {"source": None}, {"data": {}}, {"data": None}],
    ids=json.dumps,
)
def test_a_rule_may_be_a_cloud_event(said: dict[str, Any]) -> None:
    rule = {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["20"]}
    event = {"specversion": "1.0", "id": "x", "source": "/rules", "type": "rule", "data": rule} | said
    value = msgspec.json.encode(event)

    assert RULE.is_valid(loads(value)) == (not isinstance(read_rule(None, value), Unreadable))


def test_a_tick_is_valid_as_it_is_sent() -> None:
    assert TICK.is_valid(loads(tick(0)))
    assert not TICK.is_valid({"type": "tick"})
    assert not TICK.is_valid({"type": "tock", "time": "2026-03-16T00:00:00Z"})


@settings(deadline=None)
@given(alerts)
def test_an_alert_is_valid_and_says_nothing_that_is_not_declared(alert: Alert) -> None:
    said = threshold_alert(alert, {"event_time": "2026-03-17T00:00:00Z", "offsets": {"credit-burn-3": 120}})

    ALERT.validate(loads(said.value or b""))


def test_an_alert_may_say_all_that_is_declared() -> None:
    said = threshold_alert(EVERYTHING, {"event_time": "2026-03-17T00:00:00Z", "offsets": {}})

    assert loads(said.value or b"").keys() == documents()["threshold-alert.schema.json"]["properties"].keys()


EVENT = {
    "specversion": "1.0", "id": "x", "source": "/meter", "type": "credit.burned", "subject": "acme",
    "time": "2026-03-16T00:00:00Z", "data": {"amount": "1"},
}  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"specversion": "0.3"},
        {"specversion": None},
        {"id": ""},
        {"id": "x" * 129},
        {"source": "a\nb"},
        {"source": None},
        {"type": None},
        {"type": "credit.earned"},
        {"type": "burn.voided"},
        {"type": "burn.voided", "data": {"burn_id": "b"}},
        {"subject": None},
        {"subject": None, "data": {"amount": "1", "customer_id": "acme"}},
        {"subject": 7},
        {"time": None},
        {"time": None, "data": {"amount": "1", "time": "2026-03-16T00:00:00Z"}},
        {"time": "yesterday", "data": {"amount": "1", "time": "2026-03-16T00:00:00Z"}},
        {"data": {"amount": "1", "id": 7, "time": 7, "customer_id": 7, "type": 7}},
        {"data": {"amount": "0"}},
        {"data": None},
        {"data": None, "data_base64": "eyJhbW91bnQiOiAiMSJ9"},
    ],
    ids=json.dumps,
)
def test_a_cloud_event_is_valid_where_it_can_be_read_and_nowhere_else(said: dict[str, Any]) -> None:
    value = msgspec.json.encode(EVENT | said)

    assert valid("credit-burn", value) == (not isinstance(read("credit-burn", None, value), Unreadable))


def test_the_asyncapi_document_names_only_what_is_there() -> None:
    document = documents()["asyncapi.json"]
    refs = set(_refs(document))

    assert {ref for ref in refs if ref.startswith("./")} == {
        f"./{name}" for name in documents() if name != "asyncapi.json"
    }
    for ref in refs:
        held = document
        for step in ref.removeprefix("#/").split("/") if ref.startswith("#/") else ():
            held = held[step]
    assert {held["channel"]["$ref"].rpartition("/")[2] for held in document["operations"].values()} == set(
        document["channels"]
    )


def _refs(held: Any) -> Iterator[str]:
    if isinstance(held, dict):
        if "$ref" in held:
            yield held["$ref"]
        for one in held.values():
            yield from _refs(one)
