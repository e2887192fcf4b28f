"""Any worker answers for any customer: itself, through the one that knows, or with a reason why not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

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


async def refused(server: Server, path: str, retry: bool = True) -> dict[str, Any]:
    status, headers, text = await server.raw("GET", path)
    assert status == 503 and int(headers.get("Retry-After", 0)) >= retry, text
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


async def test_what_takes_too_long_is_given_up_with_a_reason(stage: Stage) -> None:
    owner, _ = await owner_first(stage)

    def too_long() -> None:
        raise TimeoutError

    owner.worker.meanwhile = too_long
    problem = await refused(owner, "/v1/customers/customer-1/balances", retry=False)
    assert problem["code"] == "too_long" and "ask for less" in problem["detail"]


async def test_a_partition_that_two_tell_of_makes_no_list(stage: Stage) -> None:
    """As while it moves: the one believes to have it still, the other already."""
    first, second = await two(stage)
    second.worker.mistaken[0] = Here(0)
    problem = await refused(first, "/v1/customers")
    assert problem["code"] == "moving"


# --- a page that is passed on ----------------------------------------------------------------------------------------

PAGES = ["/customers/customer-1/live", "/customers/customer-1/seats/ana/live"]


async def owner_first(stage: Stage) -> tuple[Server, Server]:
    """The worker that folds customer-1, and another one."""
    first, second = await two(stage)
    return (first, second) if stage.shared.urls[stage.shared.of("customer-1")] == first.url else (second, first)


def burns(stage: Stage, id: str) -> None:
    [(fact, at)] = [held for held in facts(f"burn 1 by ana at 01-20 id {id}") if type(held[0]).__name__ == "CreditBurn"]
    stage.shared.fold([msgspec.structs.replace(fact, customer_id="customer-1")], at)


async def line_of(stream: aiohttp.ClientResponse) -> str:
    async with asyncio.timeout(10):
        return (await stream.content.readline()).decode().strip()


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_through_another_worker_hears_of_what_changes(stage: Stage, path: str) -> None:
    _, other = await owner_first(stage)
    async with other.session.get(other.url + path) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert await line_of(stream) == "retry: 1000" and not await line_of(stream)
        burns(stage, "while-it-listens")
        assert await line_of(stream) == "event: changed"
        last = (await line_of(stream)).removeprefix("id: ")
    # Whoever comes again says what was heard last, and that is passed on too.
    burns(stage, "while-nobody-listens")
    async with other.session.get(other.url + path, headers={"Last-Event-ID": last}) as stream:
        assert [await line_of(stream) for _ in range(3)] == ["retry: 1000", "", "event: changed"]


async def test_a_page_through_another_worker_comes_again_when_its_customer_moves(stage: Stage) -> None:
    """And is told by whoever folds it then."""
    owner, other = await owner_first(stage)
    async with other.session.get(other.url + PAGES[0]) as stream:
        await line_of(stream)
        stage.shared.urls[stage.shared.of("customer-1")] = other.url
        async with asyncio.timeout(5):
            await stream.read()
    async with owner.session.get(owner.url + PAGES[0]) as stream:
        assert await line_of(stream) == "retry: 1000"


async def test_a_page_through_another_worker_comes_again_when_the_owner_is_gone(stage: Stage) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"retry: 1000\n\n")
        assert request.transport is not None
        request.transport.abort()
        return stream

    _, other = await owner_first(stage)
    app = web.Application()
    app.router.add_get("/{all:.*}", silent)
    dying = web.AppRunner(app)
    await dying.setup()
    site = web.TCPSite(dying, "127.0.0.1", 0)
    await site.start()
    port = dying.addresses[0][1]
    stage.shared.urls[stage.shared.of("customer-1")] = f"http://127.0.0.1:{port}"
    async with other.session.get(other.url + PAGES[0]) as stream, asyncio.timeout(5):
        assert (await stream.read()) == b"retry: 1000\n\n"
    await dying.cleanup()
    async with other.session.get(other.url + PAGES[0]) as stream:
        assert stream.status == 503 and "cannot be reached" in await stream.text()


async def test_a_page_that_is_closed_is_told_nothing_by_any_worker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the owner would go on looking, and soon have no hands left for others."""
    monkeypatch.setattr("web.passing.LOOK_S", 0.05)
    monkeypatch.setattr("web.pages.LOOK_S", 0.05)
    monkeypatch.setattr("web.pages.MOST_LIVE", 1)
    owner, other = await owner_first(stage)
    stream = await other.session.get(other.url + PAGES[0])
    await line_of(stream)
    _, _, held_up = await owner.raw("GET", PAGES[0])
    assert held_up.startswith("retry: 5000")
    stream.close()
    async with asyncio.timeout(5):
        for server in (owner, other):
            while True:
                async with server.session.get(server.url + PAGES[0]) as again:
                    if await line_of(again) == "retry: 1000":
                        break
                await asyncio.sleep(0.05)


async def test_a_stream_is_not_passed_on_twice(stage: Stage) -> None:
    owner, other = await owner_first(stage)
    partition = stage.shared.of("customer-1")
    owner.worker.mistaken[partition] = Elsewhere(partition, other.url)
    other.worker.mistaken[partition] = Elsewhere(partition, owner.url)
    problem = await refused(owner, PAGES[0])
    assert problem["code"] == "moving"


async def test_a_worker_that_stops_waits_for_no_page_that_it_passes_on() -> None:
    async with Stage(partitions=4) as stage:
        for fact, arrived_at in facts("burn 3 by ana id b"):
            stage.shared.fold([msgspec.structs.replace(fact, customer_id="customer-1")], arrived_at)
        _, other = await owner_first(stage)
        stream = await other.session.get(other.url + PAGES[0])
        await line_of(stream)
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 5
