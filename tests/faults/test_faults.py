"""A short campaign in the ordinary run, of other faults each time: its seed is printed, and says everything."""

import random
from pathlib import Path

import pytest

from tests.faults import breaks, points
from tests.faults.campaign import Plan, plan, run
from tests.faults.kinds import KINDS

#: Faults that take little time, of each sort: of workers, of disks, of a broker.
QUICK = ("die", "wipe", "guest", "broker")


@pytest.mark.broker
@pytest.mark.timeout(600)
async def test_a_short_campaign_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    faults = tuple(chance.sample(QUICK, len(QUICK)))

    survived = await run(seed, Plan(1, chance.choice(("system", "topic")), ("a", "b"), faults), print, keep=tmp_path)

    assert survived.red is None, f"seed {seed}, {faults}: {survived.red}"
    assert [fault.kind for fault in survived.faults] == list(faults)


def test_a_seed_decides_everything_and_every_kind_is_drawn() -> None:
    assert plan(7, 12) == plan(7, 12)
    assert plan(7, 12) != plan(8, 12)
    assert {kind for seed in range(50) for kind in plan(seed, 12).faults} == set(KINDS)


def test_where_a_worker_is_armed_it_acts_the_time_that_was_said_and_once(tmp_path: Path) -> None:
    armed = points.Armed(tmp_path / "armed")
    (tmp_path / "armed").write_text("die 2 rows sent")

    acts = [armed.next_at(point) for point in ("begun", "rows sent", "begun", "rows sent", "rows sent")]

    assert acts == [None, None, None, "die", None]


def test_every_break_names_faults_that_there_are() -> None:
    named = {fault.partition(":")[0] for one in breaks.BREAKS.values() for fault in one.faults}
    assert named <= set(KINDS)
