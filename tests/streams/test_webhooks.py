"""Alerts sent to a real HTTP receiver that fails, hangs, redirects and returns."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook as Checker

from alerts.webhooks import BOUND_S, Receiver, Receivers
from streams.webhooks import Deliveries, Delivery, Refused, Sender
from tests.alerts.test_webhooks import NEW


class Shop:
    """A receiver: what it got, and how it answers by path."""

    def __init__(self) -> None:
        self.asked = 0
        self.got: list[tuple[str, str]] = []
        self.answers: Callable[[str], int] = lambda path: 200

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.text()
        data = Checker(NEW).verify(body, dict(request.headers))["data"]
        status = self.answers(request.path)
        if status == 0:
            await asyncio.sleep(60)
        if 200 <= status < 300:
            self.got.append((request.headers["webhook-id"], f"{data['customer_id']} {data['state']}"))
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 307 else {})


@pytest_asyncio.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr("streams.webhooks.PATIENCE_S", 0.5)
    monkeypatch.setattr("streams.webhooks.pause_s", lambda tries: 0.02)
    shop = Shop()
    app = web.Application()
    app.router.add_post("/{path:.*}", shop.handle)
    server = TestServer(app)
    await server.start_server()
    shop.url = str(server.make_url("/"))  # type: ignore[attr-defined]
    yield shop
    await server.close()


ALLOWING = Receivers(secrets={"crm": (NEW,)}, allow=("127.0.0.1",))


class Post:
    """A partition's deliveries to a shop."""

    def __init__(self, shop: Any, receivers: Receivers = ALLOWING) -> None:
        self.sender = Sender(lambda: receivers)
        self.receiver = Receiver(url=f"{shop.url}hook", secret_id="crm")
        self.dead: list[tuple[str, str]] = []
        self.deliveries = Deliveries(self.sender, lambda: [self.receiver], self.bury)
        self._offset = 0

    async def bury(self, delivery: Delivery, why: str) -> None:
        self.dead.append((delivery.message_id, why))

    async def alert(
        self, customer_id: str, state: str = "in_alarm", age_s: float = 0, receiver: Receiver | None = None
    ) -> None:
        value = orjson.dumps({"alert_id": f"of-{customer_id}", "state": state, "time": "t", "customer_id": customer_id})
        headers = (
            []
            if receiver is None
            else [("seatstream.webhook", orjson.dumps({"url": receiver.url, "secret_id": "crm"}))]
        )
        self.deliveries._for_all = lambda: [self.receiver] if receiver is None else []
        record = SimpleNamespace(
            partition=3, offset=self._offset, timestamp=int((time.time() - age_s) * 1000), key=customer_id.encode(),
            value=value, headers=headers,
        )  # fmt: skip
        self._offset += 1
        await self.deliveries.take(record)

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            while self.deliveries._tasks:
                await asyncio.gather(*self.deliveries._tasks)


@pytest_asyncio.fixture
async def post(shop: Any) -> AsyncIterator[Post]:
    post = Post(shop)
    yield post
    post.deliveries.stop()
    await post.sender.close()


async def until(fits: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if fits():
                return
            await asyncio.sleep(0.01)


async def test_a_receiver_that_comes_back_gets_all_in_order_under_their_ids(shop: Shop, post: Post) -> None:
    failures = iter([500, 503, 0, 307, 404])
    shop.answers = lambda path: next(failures, 200)
    for state in ("in_alarm", "resolved", "in_alarm"):
        await post.alert("acme", state)
    assert post.deliveries.delivered() == 0

    await post.settled()

    assert shop.got == [
        ("of-acme_3_0", "acme in_alarm"),
        ("of-acme_3_1", "acme resolved"),
        ("of-acme_3_2", "acme in_alarm"),
    ]
    assert post.deliveries.delivered() == 3
    assert post.dead == []


async def test_one_that_fails_holds_up_nobody_else_and_what_is_underway_is_not_passed(shop: Shop, post: Post) -> None:
    shop.answers = lambda path: 500 if path == "/broken" else 200
    broken = Receiver(url=f"{post.receiver.url[:-4]}broken", secret_id="crm")
    await post.alert("acme")
    await post.alert("bad", receiver=broken)
    await post.alert("bolt")
    await until(lambda: len(shop.got) == 2)

    assert sorted(id for id, _ in shop.got) == ["of-acme_3_0", "of-bolt_3_2"]
    assert post.deliveries.delivered() == 1
    assert 0 < post.deliveries.oldest_s() < 5
    shop.answers = lambda path: 200
    await post.settled()
    assert post.deliveries.delivered() == 3


async def test_what_nobody_took_for_a_day_is_dead_and_what_follows_goes_on(shop: Shop, post: Post) -> None:
    shop.answers = lambda path: 500
    await post.alert("acme", age_s=BOUND_S - 0.1)
    await post.alert("acme", "resolved")
    await until(lambda: bool(post.dead))
    shop.answers = lambda path: 200
    await post.settled()

    ((dead, why),) = post.dead
    assert dead == "of-acme_3_0" and "answered 500" in why
    assert [id for id, _ in shop.got] == ["of-acme_3_1"]
    assert post.deliveries.delivered() == 2


async def test_redirects_are_not_followed(shop: Shop, post: Post) -> None:
    shop.answers = lambda path: 307 if path == "/hook" else 200

    with pytest.raises(Refused, match=r"127\.0\.0\.1 answered 307"):
        await post.sender.send(post.receiver, "id", '{"data": {}}')
    assert shop.got == []


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "is not public"), ("localhost", "is not public"), ("[::1]", "is not public"),
        ("127.1", "canonical"), ("0x7f.1", "is not public"), ("2130706433", "canonical"),
    ],
)  # fmt: skip
async def test_a_private_address_is_not_reached_however_it_is_written(shop: Any, host: str, said: str) -> None:
    post = Post(shop, Receivers(secrets={"crm": (NEW,)}))
    port = shop.url.rstrip("/").rpartition(":")[2]

    with pytest.raises(Refused, match=said):
        await post.sender.send(Receiver(url=f"http://{host}:{port}/", secret_id="crm"), "id", "{}")
    assert shop.asked == 0
    await post.sender.close()


async def test_a_receiver_that_is_not_there_is_refused_without_a_secret_in_the_words(shop: Any) -> None:
    post = Post(shop)

    with pytest.raises(Refused) as refused:
        await post.sender.send(Receiver(url="http://127.0.0.1:9/", secret_id="crm"), "id", "{}")
    assert NEW not in str(refused.value) and "127.0.0.1" in str(refused.value)
    assert issubclass(aiohttp.ClientConnectorError, aiohttp.ClientError)
    await post.sender.close()
