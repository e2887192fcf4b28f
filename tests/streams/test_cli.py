"""The command `seatstream`: what it offers, and what it refuses to start beside."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from streams import play
from streams.cli import COMMANDS, clash_with_pytables, main, run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])

    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(name in told and summary in " ".join(told.split()) for name, _, summary in COMMANDS)


def test_every_command_has_its_module() -> None:
    assert [module for _, module, _ in COMMANDS if find_spec(module) is None] == []


def test_a_word_that_is_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["brokr"])

    assert stopped.value.code == 2
    assert "brokr" in capsys.readouterr().err


def test_pytables_in_the_same_environment_is_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clash_with_pytables() is None
    installed = tmp_path / "tables-3.10.2.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tables\nVersion: 3.10.2\n")
    monkeypatch.syspath_prepend(tmp_path)

    code = main(["broker"])

    told = capsys.readouterr().err
    assert code == 1
    assert "PyTables 3.10.2 is installed" in told
    assert "environment of its own" in told


def test_ctrl_c_at_any_moment_is_told_by_the_exit_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["seatstream", "play", "-"])

    assert run() == 130
