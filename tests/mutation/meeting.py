"""The tests that a mutant meets, collected by pytest once; what each of them runs; and the meeting itself.

A test is of one of these suites, and mutants meet them in this order: `pencil` (what `make pencil` runs), `duels` (fixed
histories, against what the naive model said of them), `reopened` (the pencil stories, on an engine that is opened anew for each
line), `properties` (the property tests, for a moment each) and `wire` (the tests of what is read and written).
"""

import gc
import os
import pickle
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, TypeAlias

import hypothesis
import pytest

from tests.mutation.found import SUITES
from tests.mutation.mutants import ROOT, Mutant

BY_CHANCE = SUITES[3:]
FOLDERS = (str(ROOT / "tests/ledger"), str(ROOT / "tests/wire"))
DUELS = 60
#: So many of them a mutant meets: the deadliest of those that run its line.
DUELS_MET = 20
#: A test that takes so much longer than on the unchanged code, watched, is in an endless loop: that is red, too.
PATIENCE, PATIENCE_S = 3, 2.0
MEMORY = 3 << 30
#: So long a test of the last two suites looks for something. One that says nothing before its end, and needs longer, is not met.
MOMENT_S = 0.25

#: What `meet` says last of a mutant that no test turned red.
GREEN = "green"

Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    name: str
    suite: str
    run: Callable[[], None]
    #: Looks at one drawn example after the other, so that it tells something whenever it is interrupted.
    drawn: bool = False


@dataclass(slots=True, kw_only=True)
class Recorded:
    """What the tests do on the unchanged code."""

    #: How long each takes while it is watched.
    seconds: dict[str, float]
    #: The lines of `ledger/` that a test runs, by file; of `properties` and `wire`, all lines of the functions that it runs.
    lines: dict[str, dict[str, set[int]]]
    #: For each duel, its history and what the model said, pickled.
    duels: dict[int, bytes]
    #: Red without any mutant.
    red_anyway: list[str]


# --- the tests -------------------------------------------------------------------------------------------------------


def with_tests(act: Callable[[list[Test]], None], duels: dict[int, bytes]) -> None:
    """Calls `act` with all tests, within a session of pytest."""
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:timeout", "--assert=plain", *FOLDERS]
    session = _Session(act, duels)
    pytest.main(options, plugins=[session])
    if not session.came_so_far:
        raise RuntimeError("the tests could not be collected")


class _Session:
    """A plugin that does something else instead of running all the tests."""

    def __init__(self, act: Callable[[list[Test]], None], duels: dict[int, bytes]) -> None:
        self.act, self.duels, self.came_so_far = act, duels, False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        self.came_so_far = True
        from tests.ledger import test_laws  # noqa: PLC0415

        # Red is enough; a smaller history takes longer than a moment.
        vars(test_laws)["SHRINKING_S"] = 0
        tests = [test for item in session.items if (test := _of_pytest(item)) is not None]
        self.act(tests + duel_tests(self.duels))
        return True


def _of_pytest(item: pytest.Item) -> Test | None:
    assert isinstance(item, pytest.Function)
    player = item.callspec.params.get("play") if hasattr(item, "callspec") else None
    # The model is no part of the ledger, and what the laws' own tests look at in drawn histories, the duels compare.
    if player == "model" or item.path.stem in ("test_model", "test_laws"):
        return None
    if item.get_closest_marker("pencil"):
        suite = "pencil"
    else:
        suite = "reopened" if player == "reopened" else "wire" if item.path.parent.name == "wire" else "properties"

    drawn = hasattr(item.obj, "hypothesis") or item.get_closest_marker("drawn") is not None

    def run() -> None:
        item._initrequest()
        try:
            item.ihook.pytest_runtest_setup(item=item)
            item.ihook.pytest_runtest_call(item=item)
        except pytest.skip.Exception:
            pass
        finally:
            item.ihook.pytest_runtest_teardown(item=item, nextitem=None)

    return Test(name=f"{item.path.stem}::{item.name}", suite=suite, run=run, drawn=drawn)


def duel_tests(duels: dict[int, bytes]) -> list[Test]:
    return [_duel(seed, told) for seed, told in duels.items()]


def _duel(seed: int, told: bytes) -> Test:
    from tests.ledger import duel  # noqa: PLC0415  # brings `ledger`, which a mutant may have to be there before

    def run() -> None:
        history, answers = pickle.loads(told)
        vars(duel)["Model"] = lambda **bounds: _Told(answers)
        duel.duel(history, random.Random(seed))

    return Test(name=f"duel {seed}", suite="duels", run=run)


class _Told:
    """What the model answered before: it need not find out again, and no mutant reaches it."""

    def __init__(self, answers: list[tuple[str, tuple[Any, ...], Any]]) -> None:
        self._answers = iter(answers)

    def __getattr__(self, asked: str) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            name, same, answer = next(self._answers)
            assert (name, same) == (asked, arguments), "another question: the engine has gone another way"
            return answer

        return answer


# --- what they do on the unchanged code ------------------------------------------------------------------------------


def record(tests: list[Test]) -> Recorded:
    """Of all tests, and of duels that are fought here for the first time."""
    found = Recorded(seconds={}, lines={}, duels=_record_duels(), red_anyway=[])
    for test in tests + duel_tests(found.duels):
        started = time.process_time()
        try:
            found.lines[test.name] = _lines_run(test)
        except BaseException as red:
            found.red_anyway.append(f"{test.name}: {type(red).__name__}")
        found.seconds[test.name] = time.process_time() - started
    return found


def _record_duels() -> dict[int, bytes]:
    from tests.ledger import duel  # noqa: PLC0415
    from tests.ledger.histories import draw_history  # noqa: PLC0415
    from tests.ledger.model import Model  # noqa: PLC0415

    class Telling:
        def __init__(self, **bounds: Any) -> None:
            self._model = Model(**bounds)

        def __getattr__(self, asked: str) -> Callable[..., Any]:
            def answer(*arguments: Any) -> Any:
                answered = getattr(self._model, asked)(*arguments)
                # As it is now: the model may go on with what it has answered.
                answers.append(pickle.loads(pickle.dumps((asked, arguments, answered))))
                return answered

            return answer

    vars(duel)["Model"] = Telling
    told = {}
    for seed in range(DUELS):
        answers: list[Any] = []
        history = draw_history(random.Random(seed), 8 + seed % 33)
        try:
            duel.duel(history, random.Random(seed))
        except Exception as differ:
            print(f"duel {seed} is lost anyway: {str(differ).splitlines()[0]}", file=sys.stderr)
            continue
        told[seed] = pickle.dumps((history, answers))
    return told


def _lines_run(test: Test) -> dict[str, set[int]]:
    codes: dict[CodeType, set[int]] = {}
    inside, every_line = str(ROOT / "ledger"), test.suite not in BY_CHANCE

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename.startswith(inside):
            seen = codes.setdefault(code, set())
            if every_line:

                def on_line(frame: FrameType, event: str, argument: Any) -> Any:
                    seen.add(frame.f_lineno)
                    return on_line

                return on_line
        return None

    sys.settrace(on_call)
    try:
        run_for_a_moment(test) if test.suite in BY_CHANCE else test.run()
    finally:
        sys.settrace(None)
    found: dict[str, set[int]] = {}
    for code, seen in codes.items():
        lines = seen if every_line else {line for _, _, line in code.co_lines() if line is not None}
        found.setdefault(code.co_filename.removeprefix(f"{ROOT}/"), set()).update(lines)
    return found


# --- the meeting -----------------------------------------------------------------------------------------------------


def in_order(mutant: Mutant, tests: Iterable[Test], recorded: Recorded, kills: Counter[tuple[str, str]]) -> list[Test]:
    """Who meets this mutant: suite by suite, first what broke its neighbours, then the quickest."""

    def runs(test: Test) -> bool:
        lines = recorded.lines.get(test.name)
        if test.suite in BY_CHANCE and not test.drawn and recorded.seconds[test.name] > MOMENT_S:
            return False
        return lines is not None and (not mutant.function or not lines.get(mutant.file, set()).isdisjoint(mutant.lines))

    def rank(test: Test) -> tuple[int, int, int, int, float]:
        around = (f"{mutant.file} {mutant.function}", mutant.file, "")
        near, far, anywhere = (-kills[where, test.name] for where in around)
        return SUITES.index(test.suite), near, far, anywhere, recorded.seconds[test.name]

    chosen = sorted(filter(runs, tests), key=rank)
    duels = [each for each in chosen if each.suite == "duels"]
    return [each for each in chosen if each not in duels[DUELS_MET:]]


def meet(tests: list[Test], recorded: Recorded, say: Say) -> None:
    """Runs tests up to the first red one, and says each before it begins; `GREEN` at the end. For a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    gc.disable()
    for test in tests:
        say(f"{test.suite} {test.name}")
        try:
            if test.suite in BY_CHANCE:
                run_for_a_moment(test)
            else:
                # Time of this process, not of the day: others may be at work. Nothing catches this signal: the process ends.
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, PATIENCE_S + PATIENCE * recorded.seconds[test.name])
                test.run()
        except BaseException:
            return
    say(GREEN)


def run_for_a_moment(test: Test) -> None:
    """Whatever comes of the interruption itself is not held against the ledger."""
    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, MOMENT_S)
    try:
        test.run()
    except BaseException:
        if not interrupted:
            raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def in_a_process(act: Callable[[Say], None], heard: Say) -> None:
    """Hears what a forked process says, line by line, until it ends in whatever way; its output is nobody's business."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            act(lambda line: _write(write, line))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        for line in said:
            heard(line.rstrip("\n"))
    os.waitpid(child, 0)


def _write(to: int, line: str) -> None:
    os.write(to, f"{line}\n".encode())
