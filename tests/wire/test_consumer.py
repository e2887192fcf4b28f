"""Our Kafka consumer ends whole, whatever its broker does."""

import asyncio
from types import SimpleNamespace

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import NodeNotReadyError

from wire.consumer import Consumer


async def test_a_consumer_stops_though_its_broker_is_gone_and_a_fetch_waits_to_be_tried_again() -> None:
    others = asyncio.all_tasks()
    consumer = Consumer(bootstrap_servers="127.0.0.1:1")

    async def send(node: int, request: object) -> None:
        raise NodeNotReadyError

    consumer._client.send = send
    consumer._fetcher = Fetcher(consumer._client, SubscriptionState(), retry_backoff_ms=60_000)
    await asyncio.sleep(0.01)
    fetch = asyncio.create_task(consumer._fetcher._proc_fetch_request({}, 1, SimpleNamespace(topics=[])))
    consumer._fetcher._pending_tasks.add(fetch)
    await asyncio.sleep(0.01)

    await asyncio.wait_for(consumer.stop(), 5)
    assert asyncio.all_tasks() == others
