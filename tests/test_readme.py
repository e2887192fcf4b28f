"""What the README shows is what there is."""

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

from streams.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_story_that_it_tells_ends_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.search(r"```console\n\$ \.venv/bin/seatstream (.+?)\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(ROOT)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(shown[1].split()) == 0

    assert _lines(shown[2]) == _lines(told.getvalue())


def test_the_fact_that_it_shows_is_of_that_story() -> None:
    shown = re.search(r"```json\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "examples/a-first-look.jsonl").read_text().splitlines()


def test_every_command_and_file_and_target_that_it_names_is_there() -> None:
    named = set(re.findall(r"^\| `seatstream ([a-z]+)", README, re.MULTILINE))
    assert named == {name for name, _, _ in COMMANDS}
    targets = set(re.findall(r"make ([a-z]+)", README))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    paths = set(re.findall(r"\]\(([^)]+)\)|`([a-z]+/)`|(examples/[a-z-]+\.jsonl)", README))
    assert [path for path in map("".join, paths) if not os.path.lexists(ROOT / path)] == []


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
