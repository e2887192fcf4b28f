"""A connection to Kafka that broke is told as broken, whatever loop it is on.

uvloop raises `RuntimeError` where something is written to a connection that is gone by then, and aiokafka looks for `OSError`
alone: the error would end the task that keeps a client's metadata, and the client would wait for ever. Its connections offer no
place to say otherwise, hence `install`.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def install() -> None:
    """From here on every connection of this process tells so."""
    AIOKafkaConnection.send = send


def send(connection: Any, request: Any, expect_response: bool = True) -> Any:
    """As `AIOKafkaConnection.send`. Raises `KafkaConnectionError` where the connection is gone."""
    try:
        return _send(connection, request, expect_response)
    except KafkaError:
        raise  # they are runtime errors, too
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"connection at {connection.host}:{connection.port} broken: {error}") from error
