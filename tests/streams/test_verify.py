"""What `seatstream verify` finds, and what it does not take for a difference, over logs in memory."""

from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from alerts.webhooks import Receiver
from ledger.instants import instant, text
from ledger.outcome import Refusal
from streams import journal, verify
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.journal import Cut, Entry
from streams.settings import Settings, read
from streams.transactions import CHANGELOGS
from streams.verify import Report, Verification
from tables.overlay import Overlay
from tables.shard import TABLES, Shard
from tables.store import STEP, Memory, Position
from wire.control import tick
from wire.outputs import WEBHOOK_HEADER, Source, dead_letter
from wire.topics import INPUTS, OUTPUTS

NOON_MS = instant("2026-03-16T12:00:00Z") // 1000
SECOND_MS, HOUR_MS = 1_000, 3_600_000

CONTRACT = {
    "type": "contract.created", "id": "k", "customer_id": "acme", "contract_id": "c", "time": "2026-03-16T12:00:00Z",
    "starting_at": "2026-03-01T00:00:00Z", "grants": [{"grant_id": "pool", "amount": "100"}],
}  # fmt: skip


class PaperLogs:
    """The topics of one partition, on paper."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = {}
        #: What has left a topic: how far.
        self.firsts: dict[str, int] = {}
        #: What happens when a topic is read for the first time, before it is.
        self.meanwhile: dict[str, Callable[[], object]] = {}

    def add(self, kind: str, key: bytes | None, value: bytes | None, headers: Any = (), at_ms: int = NOON_MS) -> int:
        """The next offset."""
        records = self.topics.setdefault(kind, [])
        offset = records[-1].offset + 1 if records else 0
        records.append(Record(kind, 0, offset, at_ms, key, value, tuple(headers)))
        return offset + 1

    def edit(self, kind: str, place: int, **changes: Any) -> None:
        self.topics[kind][place] = msgspec.structs.replace(self.topics[kind][place], **changes)

    def cut(self, kind: str, before: int) -> None:
        self.firsts[kind] = before
        self.topics[kind] = [record for record in self.topics[kind] if record.offset >= before]

    async def first(self, kind: str) -> int:
        return self.firsts.get(kind, 0)

    async def records(self, kind: str, doing: str | None = None, start: int = 0) -> AsyncGenerator[Record]:
        self.meanwhile.pop(kind, lambda: None)()
        for record in list(self.topics.get(kind, [])):
            if record.offset >= start:
                yield record


class Worker:
    """Folds as a worker does, each step as soon as it is asked to."""

    def __init__(self, directory: Path) -> None:
        self.settings = read(
            {"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_SNAPSHOT": "PT1H", "SEATSTREAM_DATA": str(directory / "data")}
        )
        self.logs = PaperLogs()
        self.disk = Shard(0, self.settings.data / "tables" / self.settings.group, Memory())
        self.now_ms = NOON_MS
        self.step = 0
        self._cursor = dict.fromkeys(INPUTS, 0)
        self.obeys(self.settings)

    def obeys(self, settings: Settings) -> None:
        """Begins anew, with these settings."""
        self.obeyed, self.keeper = settings.obeyed, Bookkeeper(settings, settings.topics)

    def hears(self, kind: str, value: bytes, key: bytes = b"acme") -> None:
        self.now_ms += SECOND_MS
        self.logs.add(kind, key, value, (), self.now_ms)

    def says(self, kind: str, **fact: Any) -> None:
        """A fact comes in, and is folded."""
        self.hears(kind, orjson.dumps(fact))
        self.folds()

    def burns(self, id: str, ago_ms: int = 0) -> None:
        """A pool's credit, that long ago."""
        time = text((self.now_ms - ago_ms) * 1000)
        self.says("credit-burn", id=id, customer_id="acme", contract_id="c", amount="1", time=time)

    def folds(self) -> None:
        """One step with all that has come in since the last one."""
        records, cuts = [], {}
        for kind in INPUTS:
            found = [record for record in self.logs.topics.get(kind, []) if record.offset >= self._cursor[kind]]
            if found:
                cuts[kind] = Cut(self._cursor[kind], found[-1].offset + 1)
                self._cursor[kind] = cuts[kind].stop
                records += found
        self.step += 1
        rows = Overlay(self.disk)
        outputs = [one for one in self.keeper(0, records, rows) if one is not UNFINISHED]
        entry = journal.entry(self.step, cuts, records, self.obeyed)
        journal.sign(rows, entry.step, self._cursor, unfinished=False)
        for output in outputs:
            self._sends(output)
        self.logs.add("journal", b"0", journal.write(entry), (), self.now_ms)
        positions = {
            table: [self.logs.add(CHANGELOGS[table], key, value) for key, value in rows.rows()[table].items()][-1]
            for table in TABLES
        }
        self.disk.commit(rows.rows(), positions, self.now_ms)

    def _sends(self, output: Output) -> None:
        headers = [*output.headers, (journal.STEP_HEADER, b"%d" % self.step)]
        self.logs.add(output.kind, output.key, output.value, headers if output.kind in OUTPUTS else (), self.now_ms)

    async def verified(self, directory: Path) -> Report:
        one = Verification(self.settings, self.settings.topics, 0, directory / f"verify-{id(object())}", self.logs)
        try:
            return await one.report()
        finally:
            one.close()


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Acme has a contract with 100 credits, and has burned twice, with a snapshot each time; a letter is dead."""
    monkeypatch.setattr(verify, "PAUSE_S", 0.0)
    worker = Worker(tmp_path)
    worker.says("contract-change", **CONTRACT)
    for id in ("b1", "b2"):
        worker.now_ms += 2 * HOUR_MS
        worker.hears("control", tick(worker.now_ms * 1000))
        worker.burns(id)
    worker.says("credit-burn", id="no fact")
    yield worker
    worker.disk.close()


async def test_what_was_folded_is_proved(worker: Worker, tmp_path: Path) -> None:
    report = await worker.verified(tmp_path)

    assert (report.code, report.differences, report.missing) == (0, [], [])
    assert len(report.compared) == 2 and report.steps == 4
    assert report.outputs == sum(len(worker.logs.topics.get(kind, [])) for kind in OUTPUTS) >= 4


# --- a worker that goes on ---


async def test_a_disk_that_has_gone_further_is_compared_with_the_changelogs_as_far_as_it_has(
    worker: Worker, tmp_path: Path
) -> None:
    worker.logs.meanwhile["journal"] = lambda: worker.burns("b3")

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])
    assert report.steps == 4 and len(report.compared) == 2


async def test_a_disk_of_which_one_table_has_gone_further_is_compared_at_its_step(
    worker: Worker, tmp_path: Path
) -> None:
    trail, at = dict(worker.disk.scan("trail", b"", b"\xff" * 16)), worker.disk.trail.position()
    worker.burns("b3")
    # The trail as it was a step before.
    worker.disk.trail.clear()
    worker.disk.trail.write(trail, Position(*at or ()))

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


async def test_rows_that_differ_on_a_disk_that_has_gone_further_are_found(worker: Worker, tmp_path: Path) -> None:
    def goes_on() -> None:
        worker.burns("b3")
        key, value = next(worker.disk.scan("state", b"S", b"T"))
        worker.disk.state.write({key: value + b" "}, Position(*worker.disk.state.position() or ()))

    worker.logs.meanwhile["journal"] = goes_on

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "the disk" in report.differences[0] and len(report.differences) == 1


async def test_a_disk_that_has_a_step_which_no_changelog_has_is_told(worker: Worker, tmp_path: Path) -> None:
    at = Position(*worker.disk.state.position() or ())
    worker.disk.state.write({STEP: b"9"}, at)

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "has step 9, the state's changelog ends before" in report.differences[0]


async def test_outputs_of_steps_that_come_meanwhile_are_no_difference_whatever_the_clocks_say(
    worker: Worker, tmp_path: Path
) -> None:
    def goes_on() -> None:
        # The next owner's clock is an hour behind.
        worker.now_ms -= HOUR_MS
        worker.says("credit-burn", id="none either")

    worker.logs.meanwhile["history-snapshot"] = goes_on

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


async def test_outputs_before_a_last_step_of_a_slower_clock_are_no_difference(worker: Worker, tmp_path: Path) -> None:
    last = len(worker.logs.topics["journal"]) - 1
    worker.logs.edit("journal", last, timestamp_ms=NOON_MS - HOUR_MS)

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


# --- what leaves ---


async def test_an_alert_that_nobody_took_is_no_difference(worker: Worker, tmp_path: Path) -> None:
    source = Source("threshold-alert", 0, 0, NOON_MS, b"acme", b"{}")
    receiver = Receiver(url="https://there.example/", secret_id="s")
    (letter,) = dead_letter(source, Refusal(code="undelivered", message="nobody took it"), "a_0_0")
    webhook = (WEBHOOK_HEADER, msgspec.json.encode(receiver))
    worker.logs.add("dead-letter", letter.key, letter.value, [*letter.headers, webhook], worker.now_ms)

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


async def test_a_snapshot_with_another_balance_is_found(worker: Worker, tmp_path: Path) -> None:
    record = worker.logs.topics["history-snapshot"][-1]
    said = orjson.loads(record.value or b"")
    worker.logs.edit("history-snapshot", -1, value=orjson.dumps(said | {"balance": "999"}))

    report = await worker.verified(tmp_path)

    assert report.code == 1 and len(report.differences) == 1
    assert said["snapshot_id"] in report.differences[0] and "left with another body" in report.differences[0]


async def test_how_far_was_read_may_be_said_otherwise(worker: Worker, tmp_path: Path) -> None:
    said = orjson.loads(worker.logs.topics["history-snapshot"][-1].value or b"")
    worker.logs.edit("history-snapshot", -1, value=orjson.dumps(said | {"as_of": {"offsets": {}}}))

    assert (await worker.verified(tmp_path)).code == 0


async def test_a_snapshot_that_left_twice_is_found(worker: Worker, tmp_path: Path) -> None:
    record = worker.logs.topics["history-snapshot"][-1]
    worker.logs.add("history-snapshot", record.key, record.value, record.headers, worker.now_ms)

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "left 2 times, and leaves again 1 times" in report.differences[0]


async def test_a_dead_letter_that_says_something_else_is_found(worker: Worker, tmp_path: Path) -> None:
    worker.logs.edit("dead-letter", -1, value=b"another")

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "left with another body" in report.differences[0]


@pytest.mark.parametrize("value", [b"no JSON", b"[]", None])
async def test_what_strangers_wrote_is_found_whatever_it_is(
    worker: Worker, tmp_path: Path, value: bytes | None
) -> None:
    worker.logs.add("history-snapshot", None, value)

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "left, and does not leave again" in report.differences[0]


async def test_an_output_that_is_gone_from_between_others_is_found(worker: Worker, tmp_path: Path) -> None:
    del worker.logs.topics["history-snapshot"][0]

    report = await worker.verified(tmp_path)

    assert report.code == 1 and "leaves again, and never left" in report.differences[0]


@pytest.mark.parametrize("before", [1, 2, 99])
async def test_outputs_that_have_left_their_topic_are_no_difference(
    worker: Worker, tmp_path: Path, before: int
) -> None:
    worker.logs.cut("history-snapshot", before)

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


# --- what was obeyed, and what was taken in ---


async def test_a_setting_that_was_changed_and_changed_back_is_obeyed_as_it_was(worker: Worker, tmp_path: Path) -> None:
    for id, settings, ago_ms in (
        ("b3", replace(worker.settings, snapshot_ms=1), 0),
        # What was said last, and is corrected, was said under the other settings.
        ("b4", worker.settings, 3 * HOUR_MS),
    ):
        worker.obeys(settings)
        worker.now_ms += 2 * HOUR_MS
        worker.hears("control", tick(worker.now_ms * 1000))
        worker.burns(id, ago_ms)

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


RULE = {"rule_id": "low", "customer_id": "acme", "metric": "balance", "scope": "contract", "levels": ["50"]}


async def test_rules_that_compaction_took_away_end_the_replay_and_that_is_said(worker: Worker, tmp_path: Path) -> None:
    worker.hears("alert-rule", orjson.dumps(RULE), b"low")
    worker.hears("alert-rule", orjson.dumps(RULE | {"levels": ["40"]}), b"low")
    worker.folds()
    worker.folds()
    assert (await worker.verified(tmp_path)).code == 0

    del worker.logs.topics["alert-rule"][0]
    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (2, [])
    assert report.missing == [
        "alert-rule is compacted, and not all rules that step 5 took in are there any more: 1 from 0 to 1"
    ]
    assert report.compared == [f"the disk at {worker.settings.data / 'tables' / worker.settings.group}"]


async def test_a_gap_in_the_rules_offsets_that_was_always_there_is_no_difference(
    worker: Worker, tmp_path: Path
) -> None:
    worker.hears("alert-rule", orjson.dumps(RULE), b"low")
    # A transaction's marker has an offset too.
    worker.logs.edit("alert-rule", -1, offset=3)
    worker.folds()
    worker.folds()

    report = await worker.verified(tmp_path)

    assert (report.code, report.differences) == (0, [])


def test_the_journal_counts_rules_where_a_step_took_in_some() -> None:
    rule = Record("alert-rule", 0, 3, NOON_MS, b"low", b"", ())
    tick_ = Record("control", 0, 0, NOON_MS, None, b"", ())

    assert journal.entry(1, {"alert-rule": Cut(0, 4), "control": Cut(0, 1)}, [rule, tick_], None).rules == 1
    assert journal.entry(1, {"control": Cut(0, 1)}, [tick_], None) == Entry(step=1, inputs={"control": Cut(0, 1)})
