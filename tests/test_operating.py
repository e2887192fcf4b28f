"""What `docs/operating.md` says is so: its metrics, its settings, its commands, and what the log says."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from prometheus_client import REGISTRY

from streams.cli import COMMANDS
from streams.lookout import Lookout
from streams.settings import SETTINGS
from tests.board import BOARD, targets
from tests.promtool import promtool

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs/operating.md").read_text()
WATCH, WRONG = PAGE.partition("## Watch")[2].split("## What goes wrong")


def emitted() -> set[str]:
    """The names of all metrics that a worker has."""
    nothing: Any = SimpleNamespace(
        hands=SimpleNamespace(cursors=dict, stopped=dict, restored=(0, 0)), intake=None, shards={}
    )
    metrics = [*REGISTRY.collect(), *Lookout(nothing).collect()]
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in metrics
        if metric.name.startswith("seatstream_")
    }


def test_every_metric_is_explained_and_none_that_is_not_there() -> None:
    table = "\n".join(line.split("|")[1] for line in WATCH.splitlines() if line.startswith("| `"))

    assert set(re.findall(r"seatstream_\w+", table)) == emitted()


def test_queries_ask_for_metrics_that_are_there() -> None:
    asked = {name.removesuffix("_bucket") for name in re.findall(r"seatstream_\w+", WATCH)}

    assert asked <= emitted()


def test_the_alerts_for_prometheus_ask_for_metrics_that_are_there_and_fire_when_they_should() -> None:
    rules = ROOT / "docs/prometheus/alerts.yml"
    asked = {name.removesuffix("_bucket") for name in re.findall(r"seatstream_\w+", rules.read_text())}
    assert asked <= emitted()

    for what in (("check", "rules", str(rules)), ("test", "rules", str(rules.with_suffix(".test.yml")))):
        ran = promtool(*what)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_board_asks_for_metrics_that_are_there_and_leaves_none_out(tmp_path: Path) -> None:
    asked = {name for _, expression, _ in targets() for name in re.findall(r"seatstream_\w+", expression)}
    assert {name.removesuffix("_bucket") for name in asked} == emitted()
    # What Grafana itself would put in, and we do not know of, is in no expression.
    assert not any("$" in expression for _, expression, _ in targets())
    for variable in BOARD["templating"]["list"][1:]:
        assert variable["query"]["query"] == "label_values(seatstream_fold_seconds_count, instance)"

    rules = [{"record": f"board:{n}", "expr": expression} for n, (_, expression, _) in enumerate(targets())]
    (tmp_path / "board.yml").write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    ran = promtool("check", "rules", str(tmp_path / "board.yml"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_panels_of_the_board_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        tiles = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not taken & tiles and max(x for x, _ in tiles) < 24, panel["title"]
        taken |= tiles
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_settings_and_commands_are_there() -> None:
    known = {setting.variable for setting in SETTINGS}

    assert set(re.findall(r"SEATSTREAM_[A-Z_]+", PAGE)) <= known
    assert set(re.findall(r"`seatstream ([a-z]+)", PAGE)) <= {name for name, _, _ in COMMANDS}


@pytest.mark.parametrize(
    "words", [words for line in WRONG.splitlines()[4:] for words in re.findall(r"`([^`]+ [^`]+)`", line.split("|")[2])]
)
def test_the_log_says_what_the_page_quotes(words: str) -> None:
    sources = [path.read_text() for folder in ("streams", "tables", "wire") for path in (ROOT / folder).glob("*.py")]
    # A sentence may go on in the next line of the source.
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))

    assert words in said


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) < 1_600
