"""Settings are read once and checked at once."""

from pathlib import Path

import pytest

from streams.settings import SettingsWrong, duration_ms, in_force, read


def test_an_empty_environment_has_every_default() -> None:
    settings = read({})

    assert settings.broker == ("127.0.0.1:9092",)
    assert (settings.partitions, settings.web_port, settings.clock) == (8, 6066, "system")
    assert settings.lateness_ms == 34 * 86_400_000
    assert settings.group == "seatstream"


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsWrong) as wrong:
        read(
            {
                "SEATSTREAM_PARTITIONS": "many",
                "SEATSTREAM_WAIT": "P1Y",
                "SEATSTREAM_WEB": "here",
                "SEATSTREAM_WIAT": "1",
            }
        )

    assert [line.split(":")[0] for line in str(wrong.value).splitlines()] == [
        "SEATSTREAM_PARTITIONS",
        "SEATSTREAM_WEB",
        "SEATSTREAM_WAIT",
        "SEATSTREAM_WIAT",
    ]


def test_several_brokers_are_separated_by_semicolons() -> None:
    settings = read({"SEATSTREAM_BROKER": "kafka://a:9092; kafka://b ;[::1]:9094"})

    assert settings.broker == ("a:9092", "b:9092", "[::1]:9094")


@pytest.mark.parametrize(("text", "ms"), [("PT10M", 600_000), ("P1W", 604_800_000), ("PT0S", 0), ("PT24H", 86_400_000)])
def test_a_duration_is_one_number_and_one_unit(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "P", "P3M", "PT", "PT1.5H", "10", "P1DT1H"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_ms(text)


def test_secrets_are_hidden_and_the_rest_is_shown() -> None:
    shown = in_force({"SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD": "open sesame", "SEATSTREAM_PREFIX": "eu-"})

    assert "sesame" not in shown
    assert any(line.split()[:3] == ["SEATSTREAM_PREFIX", "eu-", "set"] for line in shown.splitlines())


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"SEATSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "SEATSTREAM_KAFKA_SASL_PLAIN_USERNAME": "us"},
            "PASSWORD: is needed",
        ),
        (
            {"SEATSTREAM_KAFKA_SECURITY_PROTOCOL": "SSL", "SEATSTREAM_KAFKA_SSL_CAFILE": __file__},
            "files cannot be used",
        ),
        ({"SEATSTREAM_WEB": "0.0.0.0:6066"}, "without SEATSTREAM_TOKENS only loopback"),
        ({"SEATSTREAM_HISTORY": "P9999999999999D"}, "too long"),
        ({"SEATSTREAM_SESSION": "P1D"}, "too long"),
    ],
)
def test_what_could_only_fail_later_is_said_at_once(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsWrong, match=said):
        read(environ)


def test_a_password_in_the_brokers_address_is_neither_taken_nor_shown() -> None:
    environ = {"SEATSTREAM_BROKER": "kafka://us:sesame@a:9092"}

    with pytest.raises(SettingsWrong) as wrong:
        read(environ)

    assert "sesame" not in str(wrong.value) + in_force(environ)


def test_a_secret_may_be_in_a_file_and_nobody_sees_it(tmp_path: Path) -> None:
    held = tmp_path / "password"
    held.write_text("open sesame\n")
    environ = {"SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD_FILE": str(held)}

    settings = read(environ)

    assert settings.sasl_password == "open sesame"
    assert settings.secrets() == ["open sesame"]
    assert "sesame" not in in_force(environ) + repr(settings)


def test_a_secret_comes_from_one_place(tmp_path: Path) -> None:
    held = tmp_path / "password"
    held.write_text("")
    name = "SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD"

    with pytest.raises(SettingsWrong, match=f"{name}_FILE: .* is empty"):
        read({f"{name}_FILE": str(held)})
    with pytest.raises(SettingsWrong, match=f"{name}_FILE: {tmp_path} is not a file"):
        read({f"{name}_FILE": str(tmp_path)})
    held.write_text("open sesame")
    with pytest.raises(SettingsWrong, match=f"{name}_FILE: .*set one of the two"):
        read({f"{name}_FILE": str(held), name: "sesame"})
