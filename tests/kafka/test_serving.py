"""Workers answer over HTTP for what they have folded: all for everybody, and nobody from the past."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from tests.kafka.scene import Scene, Worker

CUSTOMERS = [f"customer-{n}" for n in range(16)]
NOW = "2026-01-01T00:00:00Z"


class ServingScene(Scene):
    """Customers with a pool of 1,000 each; `burned` is what is known to be folded of each."""

    program = "tests.kafka.serving_worker"
    settings = {"SEATSTREAM_LATENESS": "P3650D"}

    def __init__(self, broker: str, prefix: str, directory: Path) -> None:
        super().__init__(broker, prefix, directory)
        self.session: aiohttp.ClientSession
        self.sent = dict.fromkeys(CUSTOMERS, 0)
        self.urls: list[str] = []

    def serve(self, name: str, port: int | None = None) -> Worker:
        if port is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        self.urls.append(f"http://127.0.0.1:{port}")
        return self.worker(name, SEATSTREAM_WEB=f"127.0.0.1:{port}")

    async def open(self) -> None:
        """Everybody's contract."""
        async with AIOKafkaProducer(**self.kafka) as producer:
            for customer_id in CUSTOMERS:
                contract = {
                    "id": "c", "customer_id": customer_id, "time": NOW, "type": "contract.created", "contract_id": "c",
                    "starting_at": NOW, "grants": [{"grant_id": "pool", "amount": "1000"}],
                }  # fmt: skip
                await producer.send_and_wait(
                    self.topics.name("contract-change"), orjson.dumps(contract), key=customer_id.encode()
                )

    async def burn(self, producer: AIOKafkaProducer, customer_id: str) -> None:
        self.sent[customer_id] += 1
        burn = {"id": f"b{self.sent[customer_id]}", "customer_id": customer_id, "time": NOW, "amount": "1"}
        await producer.send_and_wait(self.topics.name("credit-burn"), orjson.dumps(burn), key=customer_id.encode())

    async def ask(self, url: str, path: str) -> tuple[int, Any]:
        async with self.session.get(url + path, timeout=aiohttp.ClientTimeout(20)) as answer:
            text = await answer.read()
            return answer.status, orjson.loads(text) if path.startswith("/v1") else text.decode()

    async def post(self, url: str, topic: str, body: Any) -> tuple[int, Any]:
        async with self.session.post(f"{url}/v1/facts/{topic}", data=orjson.dumps(body)) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def balance(self, url: str, customer_id: str) -> int | None:
        """None where there is a 503 with a reason and a time."""
        path = f"{url}/v1/customers/{customer_id}/balances?contract_id=c"
        async with self.session.get(path, timeout=aiohttp.ClientTimeout(20)) as answer:
            held = orjson.loads(await answer.read())
            if answer.status == 503:
                assert held["detail"] and int(answer.headers["Retry-After"]) > 0
                return None
            assert answer.status == 200, held
            return int(held["data"][0]["balance"])

    async def ready(self, url: str, patience_s: float = 40) -> None:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                status, why = await self.ask(url, "/readyz")
            except aiohttp.ClientError as error:
                status, why = 0, repr(error)
            if status == 200:
                return
            assert time.monotonic() < deadline, why
            await asyncio.sleep(0.1)

    async def settled(self, patience_s: float = 40) -> None:
        """Each partition has its worker, and all know which."""
        deadline = time.monotonic() + patience_s
        while None in [await self.balance(url, customer_id) for url in self.urls for customer_id in CUSTOMERS]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[ServingScene]:
    scene = ServingScene(broker, prefix, tmp_path)
    await scene.prepare()
    async with aiohttp.ClientSession() as scene.session:
        yield scene
    scene.end()


async def test_each_of_two_workers_answers_for_every_customer(scene: ServingScene) -> None:
    scene.serve("a"), scene.serve("b")
    for url in scene.urls:
        await scene.ready(url)
    await scene.open()
    async with AIOKafkaProducer(**scene.kafka) as producer:
        for customer_id in CUSTOMERS:
            await scene.burn(producer, customer_id)
    await scene.folded()
    await scene.settled()

    for url in scene.urls:
        assert [await scene.balance(url, customer_id) for customer_id in CUSTOMERS] == [999] * len(CUSTOMERS)
        status, held = await scene.ask(url, "/v1/customers?limit=1000")
        assert status == 200 and [row["customer_id"] for row in held["data"]] == sorted(CUSTOMERS)
        assert {name for name in held["as_of"]["offsets"] if name.startswith("credit-burn")} == {
            f"credit-burn-{partition}" for partition in range(4)
        }
        status, text = await scene.ask(url, "/metrics")
        assert status == 200 and "python_info" in text
        # The operator's page has what all workers did.
        status, text = await scene.ask(url, "/operator")
        assert status == 200 and text.count(">folding<") == 4 and text.count(">ready<") == 2, text
        facts = re.search(r"Facts a second<b>([0-9.,]+)</b>", text)
        half = re.search(r"half of them<b>([0-9,]+) ms</b>", text)
        assert facts is not None and float(facts[1]) > 0 and half is not None and int(half[1].replace(",", "")) > 0
        assert (await scene.ask(url, "/healthz"))[0] == 200


async def test_while_a_worker_dies_every_question_has_an_answer_or_a_reason(scene: ServingScene) -> None:
    """And no answer is wrong: each has every burn that was folded before it was asked, and none that was not sent."""
    first, second = scene.serve("a"), scene.serve("b")
    for url in scene.urls:
        await scene.ready(url)
    await scene.open()
    await scene.folded()
    await scene.settled()
    seen = dict.fromkeys(CUSTOMERS, 0)
    refused = 0
    over = asyncio.Event()

    async def burning() -> None:
        async with AIOKafkaProducer(**scene.kafka) as producer:
            while not over.is_set():
                for customer_id in CUSTOMERS:
                    await scene.burn(producer, customer_id)
                await asyncio.sleep(0.02)

    async def asking(url: str) -> None:
        nonlocal refused
        while not over.is_set():
            for customer_id in CUSTOMERS:
                balance = await scene.balance(url, customer_id)
                if balance is None:
                    refused += 1
                    await asyncio.sleep(0.01)
                    continue
                # What was answered once is never taken back.
                assert seen[customer_id] <= 1000 - balance <= scene.sent[customer_id]
                seen[customer_id] = 1000 - balance

    tasks = [asyncio.create_task(burning()), asyncio.create_task(asking(scene.urls[1]))]

    async def each_is_answered_anew() -> None:
        before, deadline = dict(seen), time.monotonic() + 60
        while any(seen[customer_id] == before[customer_id] for customer_id in CUSTOMERS):
            for task in tasks:
                assert not task.done(), task.result()
            assert time.monotonic() < deadline, before
            await asyncio.sleep(0.05)

    await each_is_answered_anew()
    first.kill()
    await second.says("folding partitions [0, 1, 2, 3]")
    await each_is_answered_anew()
    over.set()
    await asyncio.gather(*tasks)
    assert refused > 0
    await scene.folded()
    for customer_id in CUSTOMERS:
        assert await scene.balance(scene.urls[1], customer_id) == 1000 - scene.sent[customer_id]


async def test_a_worker_that_was_paused_does_not_answer_from_the_past(scene: ServingScene) -> None:
    """While it slept another one took its partitions over and folded on."""
    paused = scene.serve("a")
    await scene.ready(scene.urls[0])
    await scene.open()
    await scene.folded()
    assert await scene.balance(scene.urls[0], CUSTOMERS[0]) == 1000
    second = scene.serve("b")
    await second.folds()
    await scene.settled()
    paused.pause()
    # Asked while it sleeps: it answers when it wakes up.
    asked = [asyncio.create_task(scene.balance(scene.urls[0], customer_id)) for customer_id in CUSTOMERS]
    await second.says("folding partitions [0, 1, 2, 3]")
    async with AIOKafkaProducer(**scene.kafka) as producer:
        for customer_id in CUSTOMERS:
            await scene.burn(producer, customer_id)
    await scene.folded()
    paused.go_on()

    for balance in await asyncio.gather(*asked):
        assert balance in (None, 999)


async def test_facts_over_http_are_answered_once_they_are_folded(scene: ServingScene) -> None:
    """Whichever worker is asked; and a read after a write sees it."""
    scene.serve("a"), scene.serve("b")
    for url in scene.urls:
        await scene.ready(url)
    await scene.open()
    await scene.folded()
    await scene.settled()
    for number, url in enumerate(scene.urls):
        burns = [
            {"id": f"h{number}-{customer_id}", "customer_id": customer_id, "time": NOW, "amount": "1"}
            for customer_id in CUSTOMERS
        ]
        for outcome in ("folded", "repeated"):
            async with scene.session.post(f"{url}/v1/facts/credit-burn", data=orjson.dumps(burns)) as answer:
                held = orjson.loads(await answer.read())
                assert answer.status == 200, held
            assert [(one["id"], one["outcome"]) for one in held["outcomes"]] == [
                (burn["id"], outcome) for burn in burns
            ]
        assert [await scene.balance(each, customer) for each in scene.urls for customer in CUSTOMERS] == [
            999 - number
        ] * 2 * len(CUSTOMERS)
    refused = {
        "id": "no",
        "customer_id": CUSTOMERS[0],
        "contract_id": "c",
        "time": "1990-01-01T00:00:00Z",
        "amount": "1",
    }
    async with scene.session.post(f"{scene.urls[0]}/v1/facts/credit-burn", data=orjson.dumps(refused)) as answer:
        held = orjson.loads(await answer.read())
        assert (answer.status, held["outcomes"][0]["code"]) == (422, "too_late")


async def test_a_rule_over_http_watches_the_customers_of_every_worker(scene: ServingScene) -> None:
    """And the same once more changes nothing, as after a retry."""
    scene.serve("a"), scene.serve("b")
    for url in scene.urls:
        await scene.ready(url)
    await scene.open()
    await scene.folded()
    await scene.settled()
    rule = {
        "rule_id": "low",
        "name": "Low",
        "metric": "balance",
        "scope": "pool",
        "levels": ["999.5"],
        "contract_id": "c",
    }
    for url in (*scene.urls, scene.urls[0]):
        status, held = await scene.post(url, "alert-rule", rule)
        assert status == 200, held
        assert held["outcomes"] == [{"id": "low", "outcome": "folded", "result": {"archived": False}}]
    # Every partition folds its copy in its turn; a fact that comes after it is folded after it.
    burns = [{"id": f"r-{each}", "customer_id": each, "time": NOW, "amount": "1"} for each in CUSTOMERS]
    status, held = await scene.post(scene.urls[0], "credit-burn", burns)
    assert status == 200, held
    for customer_id in CUSTOMERS:
        for url in scene.urls:
            [row] = (await scene.ask(url, f"/v1/customers/{customer_id}/alerts"))[1]["data"]
            assert (row["state"], row["level"], row["value"]) == ("in_alarm", "999.5", "999")
    said = [orjson.loads(record.value or b"{}") for record in await scene.read("threshold-alert")]
    assert sorted(alert["customer_id"] for alert in said) == sorted(CUSTOMERS)

    status, held = await scene.post(scene.urls[1], "alert-rule", {"rule_id": "low", "archived": True})
    assert (status, held["outcomes"][0]["result"]) == (200, {"archived": True})
    await scene.folded()
    assert (await scene.ask(scene.urls[0], f"/v1/customers/{CUSTOMERS[0]}/alerts"))[1]["data"] == []


async def test_ticks_over_http_move_time_in_every_partition(scene: ServingScene) -> None:
    """A month in a moment, as with a test clock: whatever was due has come."""
    scene.settings = {**scene.settings, "SEATSTREAM_CLOCK": "topic"}
    scene.serve("a"), scene.serve("b")
    for url in scene.urls:
        await scene.ready(url)
    await scene.open()
    await scene.folded()
    for _ in range(100):
        if (await scene.post(scene.urls[0], "control", {"type": "tick", "time": NOW}))[0] == 200:
            break
        await asyncio.sleep(0.2)  # as long as partitions move
    await scene.settled()
    grants = [
        {"id": "g", "type": "credits.granted", "customer_id": each, "contract_id": "c", "time": NOW, "grant_id": "june",
         "amount": "7", "effective_at": "2026-06-01T00:00:00Z"}
        for each in CUSTOMERS
    ]  # fmt: skip
    assert (await scene.post(scene.urls[0], "contract-change", grants))[0] == 200
    for url, time_said, left in (
        (scene.urls[0], "2026-05-31T23:59:59Z", 1000),
        (scene.urls[1], "2026-06-01T00:00:00Z", 1007),
    ):
        for _ in range(2):  # a retry is safe
            status, held = await scene.post(url, "control", {"type": "tick", "time": time_said})
            assert status == 200, held
            assert held["outcomes"] == [{"id": time_said, "outcome": "folded", "result": {"time": time_said}}]
            assert held["as_of"]["event_time"] == time_said
        for each in CUSTOMERS:
            assert [await scene.balance(where, each) for where in scene.urls] == [left, left]
    status, held = await scene.post(scene.urls[0], "control", {"type": "tick", "time": NOW})
    assert (status, held["outcomes"][0]["result"]) == (200, {"time": "2026-06-01T00:00:00Z"})
