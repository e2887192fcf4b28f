"""One event a line with its ids; JSON where that is asked for; no secret in either."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest

from streams import logs

SECRET = "open sesame"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The root logger is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def written(form: Literal["text", "json"], *events: Any, secrets: Sequence[str] = (), level: str = "info") -> list[str]:
    """The lines that these events make."""
    logs.begin(level, form, secrets)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    out = io.StringIO()
    handler.setStream(out)
    for event in events:
        event()
    return out.getvalue().splitlines()


def warn(said: str, *args: object, logger: str = "streams.hands", **extra: object) -> Any:
    return lambda: logging.getLogger(logger).warning(said, *args, extra=extra)


def failed() -> None:
    try:
        raise ValueError(f"cannot log in with {SECRET}\nat all")
    except ValueError as error:
        logging.getLogger("streams.hands").error("partition %d stands still", 3, exc_info=error, extra={"partition": 3})


def test_a_line_says_when_how_bad_who_and_what() -> None:
    (line,) = written("text", warn("%s came again", "run-1"))

    at, level, logger, said = line.split(maxsplit=3)
    assert at.endswith("Z") and len(at) == len("2026-03-16T09:30:00.000Z")
    assert (level, logger, said) == ("WARNING", "streams.hands:", "run-1 came again")


def test_in_json_the_ids_are_fields() -> None:
    (line,) = written("json", warn("%s came again", "run-1", fact_id="run-1", customer_id="acme"))

    held = json.loads(line)
    assert held.pop("time").endswith("Z")
    assert held == {
        "level": "warning", "logger": "streams.hands", "message": "run-1 came again", "fact_id": "run-1",
        "customer_id": "acme",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_id_with_a_line_feed_makes_no_line_of_its_own(form: Literal["text", "json"]) -> None:
    (line,) = written(form, warn("%s came again", "run-1\n2026-03-16T09:30:00.000Z ERROR all is lost"))

    assert "run-1\\n2026" in line


def test_a_failure_is_one_line_of_json_and_in_text_its_traceback_is_set_off() -> None:
    (line,) = written("json", failed)
    assert "ValueError" in json.loads(line)["traceback"]
    assert json.loads(line)["partition"] == 3

    first, *below = written("text", failed)
    assert first.endswith("partition 3 stands still")
    assert below and all(one.startswith("    ") for one in below)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_written_whoever_says_it(form: Literal["text", "json"]) -> None:
    said = warn("%s", SECRET), warn("no", why=SECRET), failed
    lines = written(form, *said, secrets=[SECRET, "a"])

    assert SECRET not in "\n".join(lines)
    assert "(hidden)" in lines[0]
    assert "partition" in "\n".join(lines), "a secret of one letter is none"


def test_kafkas_clients_are_not_heard_twice_in_a_moment() -> None:
    away = warn("no broker", logger="aiokafka.conn")

    assert len(written("text", away, away, warn("no broker"), warn("no broker"))) == 3
    assert len(written("text", away, away, level="debug")) == 2
