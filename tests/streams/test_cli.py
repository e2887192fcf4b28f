"""The command `seatstream`: what it offers, and what it refuses to start beside."""

import subprocess
import sys
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


def test_pytables_that_is_imported_in_place_of_our_tables_is_named_all_the_same(tmp_path: Path) -> None:
    installed = tmp_path / "tables-3.10.2.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tables\nVersion: 3.10.2\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "__init__.py").write_text("raise ImportError('HDF5 is not what we came for')\n")
    root = Path(__file__).parents[2]

    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; from streams.cli import run; sys.exit(run())"
    )
    found = subprocess.run([sys.executable, "-c", program, "worker"], capture_output=True, text=True, check=False)

    assert found.returncode == 1
    assert found.stderr.startswith("seatstream: PyTables 3.10.2 is installed in this environment.")
    assert "Traceback" not in found.stderr


def test_ctrl_c_at_any_moment_is_told_by_the_exit_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["seatstream", "play", "-"])

    assert run() == 130
