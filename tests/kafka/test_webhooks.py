"""From a rule to a receiver: a worker that is killed while nobody listens delivers under the same ids once somebody does."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook as Checker

from ledger import instants
from tests.alerts.test_webhooks import NEW
from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.test_time import contract, said, send


class Shop:
    """A receiver that is closed, or open."""

    def __init__(self) -> None:
        self.is_open = False
        self.tried: list[str] = []
        self.got: list[tuple[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        alert = Checker(NEW).verify(await request.text(), dict(request.headers))["data"]
        self.tried.append(request.headers["webhook-id"])
        if not self.is_open:
            return web.Response(status=503)
        self.got.append((request.headers["webhook-id"], alert["state"]))
        return web.Response()


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    scene = LedgerScene(broker, prefix, tmp_path, partitions=1)
    await scene.prepare()
    yield scene
    scene.end()


async def test_an_alert_reaches_its_receiver_though_the_worker_died_meanwhile(
    scene: LedgerScene, tmp_path: Path
) -> None:
    shop, app = Shop(), web.Application()
    app.router.add_post("/hook", shop.handle)
    async with TestServer(app) as server:
        receivers = tmp_path / "webhooks.json"
        receivers.write_bytes(orjson.dumps({"secrets": {"crm": [NEW]}, "allow": ["127.0.0.1"]}))
        scene.settings = {**scene.settings, "SEATSTREAM_WEBHOOKS": str(receivers)}
        worker = scene.worker("a")
        await worker.folds()
        now = time.time_ns() // 1000
        await send(scene, "contract-change", contract(now, grants=[{"grant_id": "g", "amount": "10"}]))
        hook = {"url": str(server.make_url("/hook")), "secret_id": "crm"}
        rule = {
            "rule_id": "low",
            "name": "Low",
            "metric": "balance",
            "scope": "pool",
            "levels": ["5", "2"],
            "webhook": hook,
        }
        await send(scene, "alert-rule", orjson.dumps(rule), key=b"low")
        burn = {"id": "b", "customer_id": "acme", "amount": "9", "time": instants.text(time.time_ns() // 1000)}
        await scene.folded()
        await send(scene, "credit-burn", orjson.dumps(burn))

        alerts = await said(scene, "threshold-alert", lambda one: one["state"] == "in_alarm")
        assert [alert["level"] for alert in alerts] == ["5", "2"]
        await until(lambda: len(shop.tried) >= 2)
        worker.kill()
        shop.is_open = True
        heir = scene.worker("b")
        await heir.folds()
        await until(lambda: len(shop.got) == 2)

        assert [id.split("_")[0] for id, _ in shop.got] == [alert["alert_id"] for alert in alerts]
        assert set(shop.tried) == {id for id, _ in shop.got}
        assert await heir.stop() == 0
        assert NEW not in worker.log.read_text() + heir.log.read_text()


async def until(fits) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(60):
        while True:
            if fits():
                return
            await asyncio.sleep(0.1)
