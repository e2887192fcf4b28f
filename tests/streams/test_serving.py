"""What a worker answers of its own partitions, and that it lets go of them when they leave."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ledger.outcome import Folded
from streams import pulse as pulses
from streams.hands import Hand, Hands
from streams.intake import Intake
from streams.outcomes import ASKED, Outcomes
from streams.pulse import Pulse
from streams.serving import Serving
from tables.shard import Shards
from tables.store import Memory
from web.cluster import Away, Elsewhere, Here, Nobody, View
from wire.topics import INPUTS, Topics

HERE, THERE = "http://here", "http://there"


class Scene:
    """Partition 0 is here, 1 is elsewhere, 2 is to come here, 3 is nobody's."""

    def __init__(self, directory: Path) -> None:
        self.shards = Shards(directory, Memory())
        [self.shard] = self.shards.keep([0])
        self.shard.commit({"state": {b"k": b"old"}, "trail": {}}, {"state": 1}, 0)
        topics, intake = Topics("", 4, 1, 1), Intake()
        fold: Any = None
        self.hands = Hands(fold, topics=topics, group="g", kafka={}, shards=self.shards, intake=intake)
        self.hand = Hand(self.shard, None, dict.fromkeys(INPUTS, 7))  # type: ignore[arg-type]
        self.hands._hands = {0: self.hand}
        intake.open({0: dict.fromkeys(INPUTS, 7)})
        self.pulse = Pulse(6.0)
        self.pulse.heard(pulses.now())
        self.assignment: Mapping[int, str] = {0: HERE, 1: THERE, 2: HERE}
        self.serving = Serving(
            topics=topics,
            clock="system",
            kafka={},
            hands=self.hands,
            intake=intake,
            outcomes=Outcomes(),
            pulse=self.pulse,
            assignment=lambda: self.assignment,
            url=HERE,
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.shards.close()


def test_where_each_partition_is(scene: Scene) -> None:
    here, there, coming, nobodys = scene.serving.owners()

    assert here == Here(0) and there == Elsewhere(1, THERE)
    assert isinstance(coming, Nobody) and "being restored" in coming.reason
    assert isinstance(nobodys, Nobody) and "no worker" in nobodys.reason
    assert [now.state for now in scene.serving.overview()] == ["folding", "elsewhere", "recovering", "nobody"]
    assert scene.serving.ready() == "partition 2: recovering"


async def test_an_answer_says_how_far_was_read(scene: Scene) -> None:
    value, as_of = await scene.serving.ask(0, lambda view: (view.rows.get("state", b"k"), view.as_of))

    assert value == b"old" and as_of.offsets["credit-burn-0"] == 7 and as_of.lag == 0


async def test_a_question_sees_one_moment_however_long_it_takes(scene: Scene) -> None:
    def question(view: View) -> list[bytes | None]:
        before = view.rows.get("state", b"k")
        scene.shard.commit({"state": {b"k": b"new", b"more": b"1"}, "trail": {}}, {"state": 2}, 0)
        after = [view.rows.get("state", key) for key in (b"k", b"more")]
        return [before, *after, *(value for _, value in view.rows.scan("state", b"a", b"z"))]

    assert await scene.serving.ask(0, question) == [b"old", b"old", None, b"old"]


async def test_a_worker_that_may_be_out_of_the_group_says_nothing(scene: Scene) -> None:
    """Also where it falls silent while it computes."""
    with pytest.raises(Away, match="not heard of Kafka"):
        await scene.serving.ask(0, lambda view: scene.pulse.gone())
    with pytest.raises(Away, match="not heard of Kafka"):
        await scene.serving.ask(0, lambda view: 1)
    assert scene.serving.ready() == "not in the group"


async def test_a_partition_that_stands_still_is_not_asked(scene: Scene) -> None:
    scene.hand.stopped = "LawBroken: L14"
    with pytest.raises(Away, match="stands still"):
        await scene.serving.ask(0, lambda view: 1)
    assert scene.serving.overview()[0].state == "standing still"


@pytest.mark.parametrize("reopened", [False, True])
async def test_who_asks_when_the_partition_goes_lets_go_of_its_rows(scene: Scene, reopened: bool) -> None:
    """Or nobody could open them again."""
    started = asyncio.Event()

    def question(view: View) -> None:
        for _ in view.rows.scan("state", b"a", b"z"):
            while True:
                started.set()
                view.breathe()

    asked = asyncio.create_task(scene.serving.ask(0, question))
    await started.wait()
    await scene.hands.settle()
    scene.shards.keep([])
    scene.shards.keep([0])
    if reopened:
        scene.hands._hands = {0: Hand(scene.shard, None, {})}  # type: ignore[arg-type]
    with pytest.raises(Away, match=r"restored|moved"):
        await asked


async def test_who_asks_may_give_up(scene: Scene) -> None:
    def question(view: View) -> None:
        while True:
            view.breathe()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await scene.serving.ask(0, question)
    # And is given up after the time that it was given.
    with pytest.raises(TimeoutError):
        await scene.serving.ask(0, question, 0.05)
    await scene.hands.settle()
    scene.shards.keep([])
    scene.shards.keep([0])


def committed(scene: Scene, value: bytes) -> None:
    """As a hand does it (streams/hands.py)."""
    scene.hand.step += 1
    scene.shard.commit({"state": {b"k": value}, "trail": {}}, {"state": scene.hand.step}, 0)
    for tell in scene.hands.on_committed:
        tell(0, scene.hand.cursor)


async def test_those_who_ask_between_two_commits_share_what_they_work_out(scene: Scene) -> None:
    """And whoever asks after a commit sees what it wrote, whatever was worked out before."""

    def question(view: View) -> tuple[Any, bytes | None]:
        found = view.shared.take("sum")
        view.shared.put("sum", (found or 0) + 1)
        return found, view.rows.get("state", b"k")

    assert [await scene.serving.ask(0, question) for _ in range(3)] == [(None, b"old"), (1, b"old"), (2, b"old")]
    committed(scene, b"new")
    assert await scene.serving.ask(0, question) == (None, b"new")


async def test_who_asks_for_longer_than_a_commit_sees_one_moment(scene: Scene) -> None:
    """While others, who come later, see what was written."""

    def long(view: View) -> list[bytes | None]:
        seen = [view.rows.get("state", b"k")]
        while scene.hand.step < 2 or len(seen) < 3:
            view.breathe()
            seen.append(view.rows.get("state", b"k"))
        return seen

    asked = asyncio.create_task(scene.serving.ask(0, long))
    for value in (b"new", b"newer"):
        await asyncio.sleep(0.01)
        committed(scene, value)
        assert await scene.serving.ask(0, lambda view: view.rows.get("state", b"k")) == value
    assert set(await asked) == {b"old"}


async def test_rows_that_nobody_asks_for_any_more_are_let_go_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is committed: a disk that takes nothing is opened anew, and nobody else could do that."""
    monkeypatch.setattr("streams.serving.LOOK_S", 0.01)
    assert await scene.serving.ask(0, lambda view: view.rows.get("state", b"k")) == b"old"
    await asyncio.sleep(0.05)
    scene.shard.reopen()
    assert await scene.serving.ask(0, lambda view: view.rows.get("state", b"k")) == b"old"


async def test_a_partition_that_comes_anew_is_not_asked_by_what_was_there_before(scene: Scene) -> None:
    """It may be at the same step, and its rows those of another."""
    assert await scene.serving.ask(0, lambda view: view.rows.get("state", b"k")) == b"old"
    await scene.hands.settle()
    scene.shard.commit({"state": {b"k": b"others"}, "trail": {}}, {"state": 1}, 0)
    scene.hands._hands = {0: Hand(scene.shard, None, dict.fromkeys(INPUTS, 7))}  # type: ignore[arg-type]
    assert await scene.serving.ask(0, lambda view: view.rows.get("state", b"k")) == b"others"


async def test_an_outcome_is_told_once_it_is_committed() -> None:
    outcomes, folded = Outcomes(), Folded(result={})
    name, future = outcomes.ask()

    outcomes.folded(0, [(ASKED, b"somebody else's"), (ASKED, name)], folded)
    outcomes.committed(1, {})
    assert not future.done()
    outcomes.committed(0, {})
    assert future.result() is folded


async def test_an_outcome_that_was_not_committed_is_not_told() -> None:
    outcomes = Outcomes()
    name, future = outcomes.ask()

    outcomes.folded(0, [(ASKED, name)], Folded(result={}))
    outcomes.dropped(0)
    outcomes.committed(0, {})
    assert not future.done()
