"""Topics on a real cluster: made as they should be, refused where they cannot be worked with."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from wire.topics import KINDS, Topics, TopicsUnfit, ensure


def topics(prefix: str) -> Topics:
    return Topics(prefix=prefix, partitions=3, replication=1, history_ms=86_400_000)


async def make(broker: str, name: str, partitions: int, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
    while name not in await admin.list_topics():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await admin.close()


async def test_absent_topics_are_made_and_found_again(broker: str, prefix: str) -> None:
    kafka = {"bootstrap_servers": broker}

    first = await ensure(topics(prefix), kafka)
    again = await ensure(topics(prefix), kafka)

    assert again == first
    assert first.partitions == 3
    assert first.cluster
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    assert set(map(first.name, KINDS)) <= set(await admin.list_topics())
    await admin.close()


async def test_topics_that_are_there_say_how_many_partitions_the_others_get(broker: str, prefix: str) -> None:
    await make(broker, f"{prefix}credit-burn", 2, **{"message.timestamp.type": "LogAppendTime"})

    assert (await ensure(topics(prefix), {"bootstrap_servers": broker})).partitions == 2


async def test_inputs_of_different_partition_counts_are_refused(broker: str, prefix: str) -> None:
    await make(broker, f"{prefix}credit-burn", 2)
    await make(broker, f"{prefix}seat-change", 4)

    with pytest.raises(TopicsUnfit, match=r"seat-change has 4 partitions, but .*credit-burn has 2"):
        await ensure(topics(prefix), {"bootstrap_servers": broker})


async def test_an_input_with_the_producers_timestamps_is_refused_with_the_command_that_helps(
    broker: str, prefix: str
) -> None:
    await make(broker, f"{prefix}credit-burn", 3)

    with pytest.raises(TopicsUnfit, match=r"kafka-configs.sh .*LogAppendTime"):
        await ensure(topics(prefix), {"bootstrap_servers": broker})


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("credit-burn", {"cleanup.policy": "compact"}, "cleanup.policy=compact, but compaction would take away"),
        ("state-changelog", {"cleanup.policy": "delete"}, "cleanup.policy=delete, but what is written here holds"),
        ("dead-letter", {"cleanup.policy": "compact"}, "cleanup.policy=compact, but compaction would take away"),
        ("dead-letter", {}, "max.message.bytes=[0-9]+, but a dead letter holds its original whole"),
        ("trail-changelog", {"retention.ms": "1000"}, "retention.ms=1000, but burns are played again"),
    ],
)
async def test_a_topic_that_would_lose_what_it_is_given_is_refused(
    broker: str, prefix: str, kind: str, config: dict[str, str], said: str
) -> None:
    fit = topics(prefix).config(kind) if config else {"cleanup.policy": "delete"}
    await make(broker, f"{prefix}{kind}", 3, **(fit | config))

    with pytest.raises(TopicsUnfit, match=rf"{prefix}{kind} has {said}.*kafka-configs.sh"):
        await ensure(topics(prefix), {"bootstrap_servers": broker})


async def test_a_topic_that_takes_more_than_it_must_is_taken(broker: str, prefix: str) -> None:
    much = {"max.message.bytes": str(1 << 30)}
    await make(broker, f"{prefix}dead-letter", 3, **(topics(prefix).config("dead-letter") | much))

    assert (await ensure(topics(prefix), {"bootstrap_servers": broker})).partitions == 3
