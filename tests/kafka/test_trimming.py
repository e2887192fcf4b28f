"""What no row follows from any more leaves the trail's changelog, and nothing else does."""

from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ledger.instants import DAY, Instant, instant
from ledger.rows import written
from ledger.stretches import AGED_KEY, AgedRow
from streams.clock import CLOCK_KEY, OBEYED_KEY, ClockRow, ObeyedRow
from streams.trimming import Trimmer
from tables.shard import Shard
from tables.store import Memory, Position
from wire.topics import Topics, ensure

NOW = instant("2026-11-01T00:00:00Z")
AGED_UNTIL = instant("2026-07-20T00:00:00Z")


async def test_the_changelog_begins_with_what_was_folded_a_day_and_more_before_what_has_not_aged(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    kafka = {"bootstrap_servers": broker}
    topics = Topics(prefix, 1, 1, 92 * DAY // 1000)
    changelog = TopicPartition(topics.name("trail-changelog"), 0)
    await _stamped_by_us(topics, kafka)
    folded_at: list[Instant] = [AGED_UNTIL - 5 * DAY, AGED_UNTIL - 3 * DAY, AGED_UNTIL - DAY, NOW]
    async with AIOKafkaProducer(**kafka) as producer:
        for at in folded_at:
            await producer.send_and_wait(changelog.topic, b"row", partition=0, timestamp_ms=at // 1000)
    shard = Shard(0, tmp_path, Memory())
    state = {
        AGED_KEY: written(AgedRow(AGED_UNTIL)),
        CLOCK_KEY: written(ClockRow(NOW, NOW, NOW - 68 * DAY)),
        OBEYED_KEY: written(ObeyedRow("system", 34 * DAY, DAY)),
    }
    shard.state.write(state, Position(1, 1))
    trimmer = Trimmer(lambda: {0: shard}, topics, kafka)

    await trimmer.trim()
    await trimmer.trim()

    async with AIOKafkaConsumer(**kafka) as consumer:
        assert await consumer.beginning_offsets([changelog]) == {changelog: 2}
    shard.close()


async def test_the_changelog_is_stamped_by_the_broker_and_not_by_a_worker_whose_clock_may_be_wrong(
    broker: str, prefix: str
) -> None:
    kafka = {"bootstrap_servers": broker}
    topics = await ensure(Topics(prefix, 1, 1, 92 * DAY // 1000), kafka)

    async with AIOKafkaProducer(**kafka) as producer:
        told = await producer.send_and_wait(topics.name("trail-changelog"), b"row", partition=0, timestamp_ms=1)

    assert told.timestamp > 1


async def _stamped_by_us(topics: Topics, kafka: dict[str, str]) -> None:
    """The changelog, so that a test may say when a record was written."""
    config = topics.config("trail-changelog") | {"message.timestamp.type": "CreateTime"}
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topics.name("trail-changelog"), 1, 1, topic_configs=config)])
    await admin.close()
