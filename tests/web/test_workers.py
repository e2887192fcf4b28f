"""Any worker answers for any customer: itself, through the one that knows, or with a reason why not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.ledger.language import facts
from tests.web.cluster import Server, Stage
from web.cluster import Elsewhere, Here

CUSTOMERS = [f"customer-{n}" for n in range(12)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(partitions=4) as stage:
        for fact, arrived_at in facts("subscription team seats ana bo\ngrant gift 10 to seat ana\nburn 3 by ana id b"):
            for customer_id in CUSTOMERS:
                stage.shared.fold([msgspec.structs.replace(fact, customer_id=customer_id)], arrived_at)
        yield stage


async def two(stage: Stage) -> tuple[Server, Server]:
    """Two workers that have half of the partitions each."""
    first = await stage.serve()
    stage.shared.urls = [first.url, None, first.url, None]
    return first, await stage.serve()


async def test_both_workers_answer_the_same_for_every_customer(stage: Stage) -> None:
    first, second = await two(stage)
    for customer_id in CUSTOMERS:
        path = f"/v1/customers/{customer_id}/balances?seat_id=ana"
        held = await first.get(path)
        assert held["data"][0]["balance"] == "7" and held == await second.get(path)
    assert len({stage.shared.urls[stage.shared.of(customer_id)] for customer_id in CUSTOMERS}) == 2


async def test_what_is_passed_on_comes_back_as_it_was_said(stage: Stage) -> None:
    """Problems and sheets too."""
    first, second = await two(stage)
    for customer_id in CUSTOMERS:
        problem = await first.get(f"/v1/customers/{customer_id}/balances?limit=0", 400)
        assert problem["field"] == "limit"
        missing = await first.get(f"/v1/customers/nobody-{customer_id}", 404)
        assert missing["code"] == "unknown_customer"
        path, csv = f"/v1/customers/{customer_id}/ledger?limit=1", {"Accept": "text/csv"}
        status, headers, text = await first.raw("GET", path, headers=csv)
        _, same_headers, same = await second.raw("GET", path, headers=csv)
        assert status == 200 and text == same and headers["Link"] == same_headers["Link"]


async def test_a_list_of_all_customers_is_gathered_from_all_workers(stage: Stage) -> None:
    for server in await two(stage):
        held = await server.get("/v1/customers")
        assert [row["customer_id"] for row in held["data"]] == sorted(CUSTOMERS)
        assert len(held["as_of"]["offsets"]) == 4
        page = await server.get("/v1/customers?limit=5")
        rest = await server.get(f"/v1/customers?cursor={page['next_cursor']}")
        assert [row["customer_id"] for row in page["data"] + rest["data"]] == sorted(CUSTOMERS)


async def refused(server: Server, path: str) -> dict[str, Any]:
    status, headers, text = await server.raw("GET", path)
    assert status == 503 and int(headers["Retry-After"]) >= 1, text
    problem: dict[str, Any] = msgspec.json.decode(text)
    return problem


async def test_while_nobody_has_a_partition_there_is_a_reason_and_a_time(stage: Stage) -> None:
    first, _ = await two(stage)
    stage.shared.urls[stage.shared.of("customer-1")] = None

    problem = await refused(first, "/v1/customers/customer-1")
    assert problem["detail"] == "the partition is being taken over"
    await refused(first, "/v1/customers")


async def test_a_worker_that_is_gone_is_a_503(stage: Stage) -> None:
    first, _ = await two(stage)
    stage.shared.urls[stage.shared.of("customer-1")] = "http://127.0.0.1:1"

    problem = await refused(first, "/v1/customers/customer-1")
    assert "cannot be reached" in problem["detail"]


async def test_nothing_is_passed_on_twice(stage: Stage) -> None:
    """Two workers that each take the other one for the owner, as while a partition moves."""
    first, second = await two(stage)
    partition = stage.shared.of("customer-1")
    first.worker.mistaken[partition] = Elsewhere(partition, second.url)
    second.worker.mistaken[partition] = Elsewhere(partition, first.url)
    async with asyncio.timeout(5):
        problem = await refused(first, "/v1/customers/customer-1")
    assert problem["code"] == "moving"


async def test_what_was_computed_while_the_partition_left_is_not_told(stage: Stage) -> None:
    first, _ = await two(stage)
    partition = stage.shared.of("customer-0")
    stage.shared.urls[partition] = first.url

    def leave() -> None:
        stage.shared.urls[partition] = None

    first.worker.meanwhile = leave
    problem = await refused(first, "/v1/customers/customer-0/balances")
    assert problem["detail"] == "the partition left meanwhile"


async def test_a_partition_that_two_tell_of_makes_no_list(stage: Stage) -> None:
    """As while it moves: the one believes to have it still, the other already."""
    first, second = await two(stage)
    second.worker.mistaken[0] = Here(0)
    problem = await refused(first, "/v1/customers")
    assert problem["code"] == "moving"
