import pytest

from parfocal.board.gpio import GpioConfig
from parfocal.edge.config import Config, config_from_file, config_from_toml
from parfocal.edge.errors import ConfigError


def test_an_empty_file_is_the_defaults() -> None:
    assert config_from_toml("", "t") == Config()


def test_one_key_of_one_axis_can_be_changed_alone() -> None:
    config = config_from_toml("[board.z]\nplay_um = 12.5\n", "t")
    assert config.board.z.play_um == 12.5
    assert config.board.z.um_per_step == Config().board.z.um_per_step


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[focus]\nspeed = 3\n", "speed"),
        ("colour = 1\n", "colour"),
        ("[board.z]\nplay = 1\n", "play"),
        ("[focus]\nmax_attempts = 0\n", "max_attempts"),
        ("[focus]\ndelta_um = -2.0\n", "delta_um"),
        ("[focus]\nthreads = -1\n", "threads"),
        ("[focus]\nz1_below_um = 30.0\n", "z1_below_um"),
        ("[focus]\nfirst_sweep_start_um = 2700.0\n", "first_sweep_start_um"),
        ("[board.z]\nplay_um = 'much'\n", "play_um"),
        ("[focus\n", "instrument.toml"),
    ],
)
def test_a_key_that_cannot_be_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        config_from_toml(text, "instrument.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("c") / "none.toml"
    with pytest.raises(ConfigError, match="none.toml"):
        config_from_file(path)


def test_gpio_lines_are_off_until_their_pins_are_named() -> None:
    assert config_from_toml("", "empty").board.gpio == GpioConfig()
    config = config_from_toml("[board.gpio]\nestop_pin = 11\n", "instrument.toml")
    assert config.board.gpio == GpioConfig(estop_pin=11)
    with pytest.raises(ConfigError, match=r"instrument\.toml .* must be 1\.\.40, each once"):
        config_from_toml("[board.gpio]\nestop_pin = 11\nreset_pin = 11\n", "instrument.toml")
