"""Facts over HTTP: in their order, to who folds them, and what became of each."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger import instants
from ledger.instants import ORIGIN
from tests.ledger.language import facts
from tests.web.cluster import MemoryWorker, Server, Stage, served
from tests.web.test_letting_in import ACME_ONLY, OF_ACME, READ, READER, WRITE, WRITER, bearer, keep
from web import asked, shapes
from web.cluster import Answered, AsOf, Nobody
from web.facts import facts_in
from web.problems import Problem
from web.tokens import line_of

BURN = {"id": "run-1", "customer_id": "acme", "time": "2026-01-16T09:30:00Z", "amount": "1.25"}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served() as running:
        for fact, arrived_at in facts("grant pooled 100 from 2026-01-01"):
            running.worker.shared.fold([fact], arrived_at)
        yield running


async def post(server: Server, body: Any, status: int = 200, topic: str = "credit-burn", query: str = "") -> Any:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    found, _, text = await server.raw("POST", f"/v1/facts/{topic}{query}", data=data)
    held = msgspec.json.decode(text)
    assert found == status, held
    if status in (200, 422):
        msgspec.convert(held, shapes.Outcomes, dec_hook=asked.custom)
    return held


async def test_a_read_after_a_write_sees_it(server: Server) -> None:
    held = await post(server, BURN)

    [outcome] = held["outcomes"]
    assert outcome == {"id": "run-1", "outcome": "folded", "result": outcome["result"]}
    assert held["as_of"]["event_time"] == "2026-01-16T09:30:00Z"
    rows = await server.get("/v1/customers/acme/balances?contract_id=c")
    assert rows["data"][0]["balance"] == "98.75"


async def test_a_repeat_changes_nothing_and_says_what_the_first_came_to(server: Server) -> None:
    first = await post(server, BURN)
    again = await post(server, BURN)
    other = await post(server, BURN | {"amount": "7"})

    assert again["outcomes"][0] == first["outcomes"][0] | {"outcome": "repeated"}
    assert other["outcomes"][0]["differs"] is True
    assert (await server.get("/v1/customers/acme/balances?contract_id=c"))["data"][0]["balance"] == "98.75"


async def test_some_are_refused_and_the_others_are_folded(server: Server) -> None:
    """Whatever they are wrapped in, and in their order."""
    several = [
        BURN,
        BURN | {"id": "fine", "amount": "0.1234567891"},
        {"id": "whose"},
        BURN | {"id": "run-2", "contract_id": "x"},
    ]
    lines = b"\n".join(msgspec.json.encode(one) for one in several) + b"\n\n"
    for body in (several, lines):
        held = await post(server, body, 422)
        said = [(one["id"], one["outcome"], one.get("code"), one.get("field")) for one in held["outcomes"]]
        assert said[1:3] == [
            ("fine", "refused", "amount_too_fine", "amount"),
            ("whose", "refused", "missing_field", "customer_id"),
        ]
        assert said[0][:2] in (("run-1", "folded"), ("run-1", "repeated"))
        assert said[3][:2] in (("run-2", "waiting"), ("run-2", "repeated"))


async def test_numbers_arrive_as_they_were_written(server: Server) -> None:
    await post(server, b'{"id": "x", "customer_id": "acme", "time": "2026-01-16T09:30:00Z", "amount": 0.100000001}')
    assert (await server.get("/v1/customers/acme/balances?contract_id=c"))["data"][0]["balance"] == "99.899999999"


@pytest.mark.parametrize("body", [b"", b"  \n", b"{", b'{"id": 1}\n{', b"\xff\xfe"])
async def test_a_body_that_cannot_be_read(server: Server, body: bytes) -> None:
    assert (await post(server, body, 400))["code"] == "unreadable"


async def test_limits(server: Server) -> None:
    assert (await post(server, [BURN] * 1001, 413))["code"] == "too_large"
    assert (await post(server, b" " * (33 << 20), 413))["code"] == "too_large"
    assert (await post(server, BURN, 400, query="?timeout_ms=0"))["field"] == "timeout_ms"
    assert (await post(server, BURN, 404, topic="threshold-alert"))["code"] == "no_such_topic"


async def test_what_is_not_folded_in_time_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(_: MemoryWorker, partition: int, facts: Any, timeout_s: float) -> Any:
        assert timeout_s == 0.25
        return [Answered(None) for _ in facts], AsOf({}, 0, 1, 0)

    monkeypatch.setattr(MemoryWorker, "publish", publish)
    problem = await post(server, [BURN, BURN | {"id": "run-2"}], 504, query="?timeout_ms=250")
    assert problem["ids"] == ["run-1", "run-2"] and "retry is safe" in problem["detail"]


async def test_each_fact_goes_to_the_worker_of_its_customer() -> None:
    async with Stage() as stage:
        customers = [f"customer-{n}" for n in range(12)]
        for fact, arrived_at in facts("grant pooled 100 from 2026-01-01"):
            for customer_id in customers:
                stage.shared.fold([msgspec.structs.replace(fact, customer_id=customer_id)], arrived_at)
        first = await stage.serve()
        stage.shared.urls = [first.url, None, first.url, None]
        second = await stage.serve()
        burns = [BURN | {"id": f"{n}-{each}", "customer_id": each} for n in (1, 2) for each in customers]
        for server, outcome in ((first, "folded"), (second, "repeated")):
            held = await post(server, burns)
            assert [one["id"] for one in held["outcomes"]] == [one["id"] for one in burns]
            assert {one["outcome"] for one in held["outcomes"]} == {outcome}
            assert len(held["as_of"]["offsets"]) == 4
        for customer_id in customers:
            rows = (await first.get(f"/v1/customers/{customer_id}/balances"))["data"]
            assert [row["balance"] for row in rows if row["contract_id"] == "c"] == ["97.5"]
        # From a page of the worker's own, too.
        data = msgspec.json.encode(burns)
        assert (await first.raw("POST", "/v1/facts/credit-burn", data=data, headers={"Origin": first.url}))[0] == 200
        stage.shared.urls[stage.shared.of("customer-3")] = None
        assert (await post(first, [BURN | {"id": "new", "customer_id": each} for each in customers], 503))["detail"]


async def test_writing_asks_for_its_scope_and_customer(tmp_path: Path) -> None:
    async with Stage() as stage:
        server = await stage.serve(keep(tmp_path / "tokens", line_of(READ), line_of(OF_ACME)))

        async def status(secret: str, *customers: str) -> int:
            body = msgspec.json.encode([BURN | {"customer_id": each} for each in customers])
            return (await server.raw("POST", "/v1/facts/credit-burn", data=body, headers=bearer(secret)))[0]

        assert await status(READER, "acme") == 403
        assert await status(ACME_ONLY, "acme") == 200
        assert await status(ACME_ONLY, "acme", "other") == 403


# --- rules and ticks -------------------------------------------------------------------------------------------------

RULE = {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["5"]}


async def test_a_rule_goes_where_rules_of_its_name_are_read_and_may_be_sent_again(server: Server) -> None:
    for body in (RULE, RULE, {"rule_id": "low", "archived": True}):
        held = await post(server, body, topic="alert-rule")
        assert held["outcomes"] == [
            {"id": "low", "outcome": "folded", "result": {"archived": body.get("archived", False)}}
        ]
        assert held["as_of"]["offsets"].keys() == {f"credit-burn-{server.worker.shared.of('low')}"}
    assert [rule.rule_id for rule in server.worker.shared.rules] == ["low"] * 3


async def test_a_rule_that_cannot_be_read_is_refused_and_the_others_are_folded(server: Server) -> None:
    several = [RULE, RULE | {"rule_id": "odd", "metric": "mood"}, RULE | {"levels": []}, RULE | {"rule_id": "two"}]
    held = await post(server, several, 422, topic="alert-rule")
    assert [(one["id"], one["outcome"], one.get("field")) for one in held["outcomes"]] == [
        ("low", "folded", None), ("odd", "refused", "metric"), ("low", "refused", "levels"), ("two", "folded", None),
    ]  # fmt: skip
    assert [rule.rule_id for rule in server.worker.shared.rules] == ["low", "two"]


def tick(time: str) -> dict[str, str]:
    return {"type": "tick", "time": time}


async def test_a_tick_goes_to_every_partition_wherever_it_is() -> None:
    async with Stage() as stage:
        first = await stage.serve()
        stage.shared.urls = [first.url, None, first.url, None]
        second = await stage.serve()
        for day, server in ((1, first), (2, second)):
            held = await post(
                server, [tick(f"2026-03-0{day}T00:00:00Z"), tick(f"2026-03-0{day}T01:00:00Z")], topic="control"
            )
            assert [(one["id"], one["outcome"]) for one in held["outcomes"]] == [
                (f"2026-03-0{day}T00:00:00Z", "folded"), (f"2026-03-0{day}T01:00:00Z", "folded"),
            ]  # fmt: skip
            assert len(held["as_of"]["offsets"]) == 4
            assert {instants.text(one.clock) for one in stage.shared.all} == {f"2026-03-0{day}T01:00:00Z"}
        # One that goes backward changes nothing, and says what time it is.
        held = await post(second, tick("2026-01-01T00:00:00Z"), topic="control")
        assert held["outcomes"][0]["result"] == {"time": "2026-03-02T01:00:00Z"}


async def test_a_tick_that_did_not_reach_everybody_is_to_be_sent_again() -> None:
    async with Stage() as stage:
        first = await stage.serve()
        stage.shared.urls = [first.url, None, first.url, None]
        second = await stage.serve()
        second.worker.mistaken[1] = Nobody(1, "partition 1 is being restored")
        problem = await post(first, tick("2026-03-01T00:00:00Z"), 503, topic="control")
        assert problem["code"] == "moving" and "retry is safe" in problem["detail"]
        del second.worker.mistaken[1]
        await post(first, tick("2026-03-01T00:00:00Z"), topic="control")
        assert {instants.text(one.clock) for one in stage.shared.all} == {"2026-03-01T00:00:00Z"}


async def test_what_is_no_tick_or_moves_no_time_is_refused(server: Server) -> None:
    for body, field in (({"type": "tick"}, "time"), ({"type": "tock"}, "type"), (RULE | {"type": "rule"}, "type")):
        [outcome] = (await post(server, body, 422, topic="control"))["outcomes"]
        assert (outcome["outcome"], outcome["field"]) == ("refused", field)
    server.worker.clock = "system"
    [outcome] = (await post(server, tick("2026-03-01T00:00:00Z"), 422, topic="control"))["outcomes"]
    assert outcome["code"] == "wrong_mode" and "SEATSTREAM_CLOCK" in outcome["message"]
    assert {one.clock for one in server.worker.shared.all} <= {ORIGIN, instants.instant("2026-01-01T00:00:00Z")}


async def test_a_token_of_some_customers_changes_nothing_for_everybody(tmp_path: Path) -> None:
    async with Stage() as stage:
        server = await stage.serve(keep(tmp_path / "tokens", line_of(OF_ACME), line_of(WRITE)))
        for topic, body in (("alert-rule", RULE | {"customer_id": "acme"}), ("control", tick("2026-03-01T00:00:00Z"))):
            for secret, status in ((ACME_ONLY, 403), (WRITER, 200)):
                data = msgspec.json.encode(body)
                found, _, text = await server.raw("POST", f"/v1/facts/{topic}", data=data, headers=bearer(secret))
                assert found == status, text


def test_the_facts_of_a_body() -> None:
    assert facts_in(b' {"a": 1.10} ') == [b'{"a": 1.10}']
    assert facts_in(b'[{"a": 1},\n {"b": 2}]') == [b'{"a": 1}', b'{"b": 2}']
    assert facts_in(b'{"a": 1}\r\n\n{"b":\t2}') == [b'{"a": 1}', b'{"b":\t2}']
    assert facts_in(b'{\n "a": 1\n}') == [b'{\n "a": 1\n}']
    with pytest.raises(Problem, match="line 2"):
        facts_in(b'{"a": 1}\n{"b"')
