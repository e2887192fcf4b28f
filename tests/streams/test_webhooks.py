"""Alerts sent to a real HTTP receiver that fails, hangs, redirects and returns; a broker that is played holds them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from standardwebhooks.webhooks import Webhook as Checker

from alerts.webhooks import BOUND_S, Receiver, Receivers
from streams import webhooks
from streams.redrive import ALERTS, Choice, Letter, deliver, in_lines
from streams.webhooks import Courier, Deliveries, Delivery, ReceiverFile, Refused, Sender
from tests.alerts.test_webhooks import NEW
from wire.topics import Topics


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


def record(
    offset: int, customer_id: str, state: str = "in_alarm", age_s: float = 0, receiver: Receiver | None = None
) -> Any:
    value = orjson.dumps({"alert_id": f"of-{customer_id}", "state": state, "time": "t", "customer_id": customer_id})
    named = (
        [] if receiver is None else [("seatstream.webhook", orjson.dumps({"url": receiver.url, "secret_id": "crm"}))]
    )
    return SimpleNamespace(
        topic="threshold-alert", partition=3, offset=offset, timestamp=int((time.time() - age_s) * 1000),
        key=customer_id.encode(), value=value, headers=named,
    )  # fmt: skip


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

    def at(self, path: str) -> Receiver:
        return Receiver(url=f"{self.receiver.url[:-4]}{path}", secret_id="crm")

    async def alert(
        self, customer_id: str, state: str = "in_alarm", age_s: float = 0, receiver: Receiver | None = None
    ) -> None:
        self.deliveries._for_all = lambda: [self.receiver] if receiver is None else []
        taken = record(self._offset, customer_id, state, age_s, receiver)
        self._offset += 1
        await self.deliveries.take(taken)

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
    await post.alert("acme")
    await post.alert("bad", receiver=post.at("broken"))
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
        ("127。0。0。1", "no http address"), ("\uff11\uff12\uff17.0.0.1", "no http address"), ("①27.0.0.1", "no http address"),
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
    await post.sender.close()


# --- what a user saw -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://[", "http://a:99999/", "http://①27.0.0.1/", "http://good.test\\@127.0.0.1/"])
async def test_a_rule_with_a_url_that_cannot_be_read_stops_nobody_and_its_alerts_are_dead(
    shop: Shop, post: Post, url: str
) -> None:
    for state in ("in_alarm", "resolved"):
        await post.alert("bad", state, receiver=Receiver(url=url, secret_id="crm"))
    await post.alert("acme")
    await post.settled()

    assert [id for id, _ in post.dead] == ["of-bad_3_0", "of-bad_3_1"]
    assert [id for id, _ in shop.got] == ["of-acme_3_2"]
    assert post.deliveries.delivered() == 3


async def test_a_failure_that_nobody_expected_is_a_try_that_failed(
    shop: Shop, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = post.sender.send, iter([RuntimeError("what?")])

    async def fails_once(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        await send(*arguments)

    monkeypatch.setattr(post.sender, "send", fails_once)
    await post.alert("acme")
    await post.settled()

    assert [id for id, _ in shop.got] == ["of-acme_3_0"]
    assert post.deliveries.delivered() == 1


async def test_what_kafka_did_not_take_as_a_dead_letter_is_buried_later_and_what_follows_goes_on(
    shop: Shop, post: Post
) -> None:
    failures = iter([KafkaError("no leader"), KafkaError("no leader")])

    async def dead(delivery: Delivery, why: str) -> None:
        for failure in failures:
            raise failure
        await post.bury(delivery, why)

    post.deliveries._dead = dead
    shop.answers = lambda path: 500
    await post.alert("acme", age_s=BOUND_S - 0.1)
    await post.alert("acme", "resolved")
    await until(lambda: bool(post.dead))
    shop.answers = lambda path: 200
    await post.settled()

    assert [id for id, _ in post.dead] == ["of-acme_3_0"]
    assert [id for id, _ in shop.got] == ["of-acme_3_1"]
    assert post.deliveries.delivered() == 2


@pytest.mark.parametrize("customers", [1, 60], ids=["of one customer", "of as many customers"])
async def test_a_heap_of_alerts_to_one_receiver_that_fails_does_not_hold_up_others_for_a_day(
    shop: Shop, post: Post, monkeypatch: pytest.MonkeyPatch, customers: int
) -> None:
    for name, value in {"MOST_UNDERWAY": 50, "MOST_HELD_UP": 40, "MOST_FOR_ONE": 10, "AWAY_S": 0.1}.items():
        monkeypatch.setattr(webhooks, name, value)
    shop.answers = lambda path: 503 if path == "/broken" else 200
    async with asyncio.timeout(10):
        for number in range(60):
            await post.alert(f"bad{number % customers}", receiver=post.at("broken"))
        await post.alert("acme")
    await until(lambda: len(shop.got) == 1)

    assert [id for id, _ in shop.got] == ["of-acme_3_60"]
    await until(lambda: len(post.dead) == 50)
    assert all("too many wait for this receiver" in why for _, why in post.dead)
    if customers == 1:
        assert {id for id, _ in post.dead} == {f"of-bad0_3_{offset}" for offset in range(10, 60)}
    shop.answers = lambda path: 200
    await post.settled()
    # Nothing is both, and nothing is neither.
    assert Counter(id for id, _ in post.dead + shop.got) == Counter({*(id for id, _ in post.dead + shop.got)})
    assert len(shop.got) == 11 and post.deliveries.delivered() == 61


async def test_many_receivers_that_fail_leave_room_for_one_that_does_not(
    shop: Shop, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MOST_UNDERWAY": 50, "MOST_HELD_UP": 40, "MOST_FOR_ONE": 10, "AWAY_S": 0.1}.items():
        monkeypatch.setattr(webhooks, name, value)
    shop.answers = lambda path: 503 if path.startswith("/broken") else 200
    async with asyncio.timeout(10):
        for number in range(80):
            await post.alert("bad", receiver=post.at(f"broken{number % 8}"))
        await post.alert("acme")
    await until(lambda: len(shop.got) == 1)
    await until(lambda: len(post.dead) == 40)


async def test_a_heap_of_alerts_to_a_receiver_that_takes_them_all_waits_and_none_is_dead(
    shop: Shop, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MOST_UNDERWAY": 20, "MOST_HELD_UP": 15, "MOST_FOR_ONE": 5}.items():
        monkeypatch.setattr(webhooks, name, value)
    failures = iter([503, 503, 503])
    shop.answers = lambda path: next(failures, 200)
    for number in range(60):
        await post.alert(f"c{number % 3}")
    await post.settled()

    assert len(shop.got) == 60 and post.dead == []


async def test_an_alert_that_is_read_when_it_is_more_than_a_day_old_is_dead_and_not_gone(
    shop: Shop, post: Post
) -> None:
    await post.alert("acme", age_s=BOUND_S + 60)
    await post.alert("acme", "resolved")
    await post.settled()

    ((dead, why),) = post.dead
    assert dead == "of-acme_3_0" and "more than a day old" in why
    assert [id for id, _ in shop.got] == ["of-acme_3_1"]
    assert post.deliveries.delivered() == 2


class Broker:
    """Plays a partition of alerts, and what was committed there."""

    def __init__(self, records: list[Any], committed: int | None) -> None:
        self.records = records
        self.committed_at = committed
        self._next = 0

    def __call__(self, **_: Any) -> "Broker":
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, places: list[TopicPartition]) -> None: ...

    async def committed(self, place: TopicPartition) -> int | None:
        return self.committed_at

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        return {
            place: next((SimpleNamespace(offset=one.offset) for one in self.records if one.timestamp >= at), None)
            for place, at in times.items()
        }

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.records))

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._next = offset

    async def getmany(self, place: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.01)
        found, self._next = self.records[self._next :], len(self.records)
        return {place: found}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        (self.committed_at,) = offsets.values()


class Route:
    """One partition's alerts under way from a broker that is played to a shop."""

    def __init__(self, shop: Any, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / "webhooks.json"
        path.write_bytes(orjson.dumps({"secrets": {"crm": [NEW]}, "allow": ["127.0.0.1"]}))
        file = ReceiverFile(path)
        self.hook, self.broken = (Receiver(url=f"{shop.url}{name}", secret_id="crm") for name in ("hook", "broken"))
        self.sender = Sender(lambda: file.receivers)
        self.courier = Courier(file, lambda: [3], topics=Topics("", 4, 1, 0), group="g", kafka={})
        self.dead: list[str] = []
        self._patch = monkeypatch
        self._task: asyncio.Task[None] | None = None
        monkeypatch.setattr(self.courier, "_bury", self._bury)
        monkeypatch.setattr(webhooks, "LOOK_S", 0.05)

    async def _bury(self, delivery: Delivery, why: str) -> None:
        self.dead.append(delivery.message_id)

    def starts(self, broker: Broker) -> None:
        self._patch.setattr(webhooks, "Consumer", broker)
        self._task = asyncio.ensure_future(self.courier._route(3, self.sender))

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.sender.close()


@pytest_asyncio.fixture
async def route(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Route]:
    route = Route(shop, tmp_path, monkeypatch)
    yield route
    await route.end()


async def test_an_alert_that_outlived_its_day_while_no_worker_was_there_is_dead_and_not_gone(
    shop: Shop, route: Route
) -> None:
    broker = Broker(
        [record(0, "gone", receiver=route.hook), record(1, "late", age_s=BOUND_S + 60, receiver=route.hook),
         record(2, "acme", receiver=route.hook)],
        committed=1,
    )  # fmt: skip
    route.starts(broker)
    await until(lambda: broker.committed_at == 3)

    assert route.dead == ["of-late_3_1"]
    assert [id for id, _ in shop.got] == ["of-acme_3_2"]


async def test_where_nobody_ever_delivered_what_is_older_than_a_day_is_nobodys(shop: Shop, route: Route) -> None:
    broker = Broker(
        [record(0, "late", age_s=BOUND_S + 60, receiver=route.hook), record(1, "acme", receiver=route.hook)],
        committed=None,
    )  # fmt: skip
    route.starts(broker)
    await until(lambda: broker.committed_at == 2)

    assert route.dead == []
    assert [id for id, _ in shop.got] == ["of-acme_3_1"]


async def test_what_is_delivered_is_remembered_though_there_is_no_room_to_read_on(
    shop: Shop, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_UNDERWAY", 1)
    shop.answers = lambda path: 503 if path == "/broken" else 200
    broker = Broker(
        [record(0, "acme", receiver=route.hook), record(1, "bad", receiver=route.broken),
         record(2, "acme", receiver=route.hook)],
        committed=0,
    )  # fmt: skip
    route.starts(broker)

    await until(lambda: broker.committed_at == 1)
    assert [id for id, _ in shop.got] == ["of-acme_3_0"]
    shop.answers = lambda path: 200
    await until(lambda: broker.committed_at == 3)


def letter(offset: int, state: str, customer_id: str, receiver: Receiver) -> Letter:
    value = orjson.dumps({"alert_id": "a", "state": state, "time": "t", "customer_id": customer_id})
    id = f"a_3_{offset}"
    return Letter(ALERTS, 3, 0, "undelivered", customer_id.encode(), value, [], receiver, id, offset)


async def test_alerts_that_are_sent_again_come_in_the_order_in_which_they_were_said_and_once(
    shop: Shop, post: Post
) -> None:
    hook, other = post.receiver, post.at("other")
    resolved, alarm = letter(7, "resolved", "acme", hook), letter(2, "in_alarm", "acme", hook)
    lines = in_lines(
        [resolved, letter(4, "in_alarm", "bolt", hook), alarm, letter(2, "in_alarm", "acme", other), alarm]
    )

    assert await deliver(post.sender, lines) == Counter()
    assert sorted(shop.got) == [
        ("a_3_2", "acme in_alarm"), ("a_3_2", "acme in_alarm"), ("a_3_4", "bolt in_alarm"), ("a_3_7", "acme resolved"),
    ]  # fmt: skip
    assert [len(line) for line in lines] == [2, 1, 1]
    assert shop.got.index(("a_3_2", "acme in_alarm")) < shop.got.index(("a_3_7", "acme resolved"))


async def test_nothing_is_resolved_that_was_never_in_alarm_for_who_is_sent_it_again(shop: Shop, post: Post) -> None:
    answers = iter([503])
    shop.answers = lambda path: next(answers, 200)
    lines = in_lines([letter(2, "in_alarm", "acme", post.receiver), letter(7, "resolved", "acme", post.receiver)])

    failed = await deliver(post.sender, lines)

    assert shop.got == []
    assert failed == {"Refused: 127.0.0.1 answered 503": 1, "one before it was not taken": 1}


def test_alerts_are_sent_again_only_where_they_are_asked_for() -> None:
    alert = letter(0, "in_alarm", "acme", Receiver(url="https://crm.test", secret_id="crm"))
    fact = Letter("credit-burn", 3, 0, "unknown_contract", b"acme", b"{}", [])

    assert not Choice(frozenset()).means(alert) and Choice(frozenset()).means(fact)
    assert not Choice(frozenset(), customer_id="acme").means(alert)
    assert Choice(frozenset({"undelivered"})).means(alert) and not Choice(frozenset({"undelivered"})).means(fact)
    assert Choice(frozenset(), kind=ALERTS).means(alert) and not Choice(frozenset(), kind=ALERTS).means(fact)
