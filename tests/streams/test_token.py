"""`seatstream token` tells a token once, and keeps only what knows it again."""

from pathlib import Path

import pytest

from streams.cli import main
from web.tokens import Tokens


def test_a_token_that_is_appended_is_let_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens"
    assert main(["token", "billing", "--file", str(path), "--scope", "write", "--customer", "acme"]) == 0
    first = capsys.readouterr().out.strip()
    path.write_text(path.read_text().rstrip())  # as an editor may leave it
    assert main(["token", "support", "--file", str(path)]) == 0
    second = capsys.readouterr().out.strip()

    tokens = Tokens(path)
    billing, support = tokens.find(first), tokens.find(second)
    assert billing is not None and (billing.name, sorted(billing.scopes)) == ("billing", ["write"])
    assert billing.may_see("acme") and not billing.may_see("other")
    assert support is not None and sorted(support.scopes) == ["read"] and support.may_see("other")
    assert first not in path.read_text() and path.stat().st_mode & 0o077 == 0


def test_without_a_file_the_line_is_said_beside_the_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEATSTREAM_TOKENS", raising=False)
    assert main(["token", "billing"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("sst_") and '"name":"billing"' in said.err and said.out.strip() not in said.err


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "billing", "--file", str(tmp_path / "no" / "tokens")]) == 1
    assert "cannot be written to" in capsys.readouterr().err
