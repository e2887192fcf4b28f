"""A broker that goes while something is sent to it is told as gone."""

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from streams import broken_connections


async def _send_on_a_broken_connection() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port, request_timeout_ms=1_000)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._versions = {MetadataRequest.API_KEY: (0, 5)}
    # The loop has closed it; the task that reads from it has not run yet.
    connection._writer.transport.abort()
    await asyncio.sleep(0.05)
    try:
        with pytest.raises(KafkaConnectionError):
            await broken_connections.send(connection, MetadataRequest([]))
        assert not connection.connected()
    finally:
        server.close()


def test_what_is_sent_to_a_broker_that_is_gone_fails_as_one_expects_with_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_send_on_a_broken_connection())
