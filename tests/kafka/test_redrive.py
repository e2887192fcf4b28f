"""`seatstream redrive` on the real broker: what was refused for what was missing is sent again, and folded."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaProducer

from ledger import instants
from ledger.outcome import Refusal
from tests.alerts.test_webhooks import NEW
from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.scene import ROOT
from tests.kafka.test_time import contract, said, send
from wire.outputs import WEBHOOK_HEADER, Source, dead_letter


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    scene = LedgerScene(broker, prefix, tmp_path, partitions=2)
    await scene.prepare()
    yield scene
    scene.end()


def redrive(scene: LedgerScene, *arguments: str) -> str:
    """What it says."""
    ran = subprocess.run(
        [sys.executable, "-m", "streams", "redrive", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        env={
            **os.environ, **scene.settings,
            "SEATSTREAM_BROKER": f"kafka://{scene.broker}", "SEATSTREAM_PREFIX": scene.topics.prefix,
        },
    )  # fmt: skip
    return ran.stderr


def burn(id: str, customer_id: str = "acme") -> bytes:
    held = {"id": id, "customer_id": customer_id, "contract_id": "c", "amount": "1", "on_unknown": "refuse"}
    return orjson.dumps(held | {"time": instants.text(time.time_ns() // 1000)})


async def test_what_came_before_its_contract_is_folded_once_it_is_sent_again(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    signed = time.time_ns() // 1000
    async with AIOKafkaProducer(**scene.kafka) as producer:
        for value, key in ((burn("b1"), b"acme"), (burn("b2"), None), (burn("b3", "other"), b"other"), (b"{", b"acme")):
            await producer.send_and_wait(scene.topics.name("credit-burn"), value, key, headers=[("trace", b"7")])
    await scene.folded()
    await send(scene, "contract-change", contract(signed, grants=[{"grant_id": "g", "amount": "100"}]))
    await scene.folded()
    # The group's offsets are there a moment before the letters are: each partition gets its own end of the transaction.
    async with asyncio.timeout(30):
        while True:
            if len(await scene.read("dead-letter")) == 4:
                break
            await asyncio.sleep(0.1)
    before = {(record.partition, record.offset) for record in await scene.read("credit-burn")}

    assert "would send 2 of 4" in redrive(scene, "--customer", "acme", "--code", "unknown_contract", "--dry-run")
    assert len(await scene.read("credit-burn")) == len(before)
    assert "sent 2 of 4" in redrive(scene, "--customer", "acme", "--code", "unknown_contract")

    assert await said(scene, "history-snapshot", lambda one: one.get("balance") == "98") != []
    again = [record for record in await scene.read("credit-burn") if (record.partition, record.offset) not in before]
    assert len(again) == 2
    assert all(("trace", b"7") in record.headers and record.key == b"acme" for record in again)
    assert "sent 0 of 4" in redrive(scene, "--topic", "seat-change")
    assert "sent 0 of 4" in redrive(scene, "--until", instants.text(signed - instants.DAY))
    assert await worker.stop() == 0


async def test_undelivered_alerts_are_sent_only_where_they_are_asked_for_and_resolved_comes_after_in_alarm(
    scene: LedgerScene, tmp_path: Path
) -> None:
    got: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        state = (await request.json())["data"]["state"]
        # Whoever sends side by side is seen by what comes first.
        await asyncio.sleep(0.5 if state == "in_alarm" else 0)
        got.append(state)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", handle)
    async with TestServer(app) as server:
        file = tmp_path / "webhooks.json"
        file.write_bytes(orjson.dumps({"secrets": {"crm": [NEW]}, "allow": ["127.0.0.1"]}))
        scene.settings = {**scene.settings, "SEATSTREAM_WEBHOOKS": str(file)}
        hook = orjson.dumps({"url": str(server.make_url("/hook")), "secret_id": "crm"})
        # The newest that waited was buried first.
        for offset, state in ((8, "resolved"), (7, "in_alarm")):
            alert = orjson.dumps({"alert_id": "a", "state": state, "time": "t", "customer_id": "acme"})
            source = Source(
                scene.topics.name("threshold-alert"), 1, offset, time.time_ns() // 1_000_000, b"acme", alert
            )
            (letter,) = dead_letter(source, Refusal(code="undelivered", message="nobody took it"), f"a_1_{offset}")
            async with AIOKafkaProducer(**scene.kafka) as producer:
                headers = [*letter.headers, (WEBHOOK_HEADER, hook)]
                await producer.send_and_wait(
                    scene.topics.name("dead-letter"), letter.value, letter.key, 1, headers=headers
                )

        assert "sent 0 of 2" in await asyncio.to_thread(redrive, scene)
        assert "sent 0 of 2" in await asyncio.to_thread(redrive, scene, "--customer", "acme")
        assert got == []
        assert "sent 2 of 2" in await asyncio.to_thread(redrive, scene, "--code", "undelivered")
        assert got == ["in_alarm", "resolved"]
