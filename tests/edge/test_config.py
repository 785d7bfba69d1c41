import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec
import pytest

from parfocal.board.gpio import GpioConfig
from parfocal.edge.config import Config, config_from_file, config_from_toml, simulated_through
from parfocal.edge.errors import ConfigError


def test_an_empty_file_gives_the_defaults() -> None:
    assert config_from_toml("", "t") == Config()


def test_one_key_of_one_axis_can_be_changed_by_itself() -> None:
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
        ("[focus]\nmodel = 'a'\nmodel = 'b'\n", "line 3"),
        ("focus = 3\n", "Expected `table`, got `int` - at `focus`"),
        ("[[focus]]\nmodel = 'a'\n", "Expected `table`, got `array` - at `focus`"),
        ("[board.z]\nplay_um = nan\n", "play_um"),
        ("[camera]\ndevice = -1\n", "camera.device"),
        ("[camera]\nwidth_px = 100_000_000\n", "camera.width_px"),
        ("[camera]\num_per_px = inf\n", "camera.um_per_px"),
        ("[camera]\nexposure_s = 1e300\n", "camera.exposure_s"),
        ("[camera]\nframe_period_s = 0\n", "camera.frame_period_s"),
        ("[scan]\norigin_x_um = inf\n", "scan.origin_x_um = inf: it must be a finite number"),
        ("[focus]\nrecovery_reach_um = inf\n", "focus.recovery_reach_um = inf"),
        pytest.param("[focus]\nmodel = " + "[" * 5000 + "]" * 5000, "nested too deeply", id="deep array"),
        pytest.param("model = " + "{a=" * 3000 + "1" + "}" * 3000, "nested too deeply", id="deep table"),
    ],
)
def test_an_invalid_key_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        config_from_toml(text, "instrument.toml")
    assert "\n" not in str(caught.value)


def test_a_z_whose_steps_are_too_coarse_for_a_pair_of_shots_is_refused() -> None:
    told = r"um_per_step = 5: .* focus\.delta_um = 2 um apart, which is half a step of Z or less"
    for um_per_step in (5.0, 4.0):
        with pytest.raises(ConfigError, match=told.replace("5:", f"{um_per_step:g}:")):
            config_from_toml(f"[board.z]\num_per_step = {um_per_step}\n", "t")
    assert config_from_toml("[board.z]\num_per_step = 3.9\n", "t").board.z.um_per_step == 3.9
    coarse = config_from_toml('[board.z]\num_per_step = 5.0\n[focus]\nobjective = "10x/0.3"\n', "t")
    assert coarse.focus.delta_um == 10.0
    with pytest.raises(ConfigError, match=f"does not go with objective 20x/0.75: board.z.{told}"):
        simulated_through("20x/0.75", coarse)


def test_a_lens_focuses_where_the_steps_of_z_are_coarse() -> None:
    lens = '[lens]\nkind = "board"\nfocuses = true\n'
    config = config_from_toml(f"[board.z]\num_per_step = 5.0\n{lens}park_um = 2500.0\n", "t")
    assert config.lens.focuses
    with pytest.raises(ConfigError, match="half a step of Z"):  # the motor finds the first focus
        config_from_toml(f"[board.z]\num_per_step = 5.0\n{lens}", "t")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[focus]\nmax_attempt = 1\n", "'focus.max_attempt'; keys of [focus]: max_attempts, "),
        ("[focuss]\nmodel = 'a'\n", "'focuss'; tables: focus, board, camera, scan, lens, calibration."),
        ("[board.z]\nplay = 1.0\n", "'board.z.play'; keys of [board.z]: play_um, "),
        ("[board.gpio]\nestop = 1\n", "'board.gpio.estop'; keys of [board.gpio]: estop_pin, reset_pin, trigger_pin."),
        ("[focus]\num_per_px = 0.5\n", "'focus.um_per_px' (it exists in [camera]); keys of [focus]: "),
        ("[board]\nplay_um = 1.0\n", "'board.play_um' (it exists in [board.x], [board.y], [board.z]); keys of [board"),
    ],
)  # fmt: skip
def test_an_unknown_key_gets_the_keys_of_its_table_closest_first(text: str, answer: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"unknown key {answer}")):
        config_from_toml(text, "instrument.toml")


def literal_keys(
    struct: type[msgspec.Struct], table: str = ""
) -> Iterator[tuple[str, bool, tuple[str, ...]]]:
    """Each key that takes one of a few words, whether it is a list of them, and the words."""
    for field in msgspec.structs.fields(struct):
        key, origin, of = f"{table}{field.name}", get_origin(field.type), get_args(field.type)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from literal_keys(field.type, f"{key}.")
        elif origin is Literal:
            yield key, False, of
        elif origin is tuple and get_origin(of[0]) is Literal:
            yield key, True, get_args(of[0])


def test_a_wrong_choice_gets_the_choices_of_its_key() -> None:
    keys = list(literal_keys(Config))
    assert {"focus.strategy", "camera.kind", "lens.kind", "calibration.keep_play"} <= {
        key for key, *_ in keys
    }
    for key, is_list, choices in keys:
        told = f"= 'It\\'s': it must be one of {', '.join(map(repr, choices))}. Correct that key."
        given = '["It\'s"]' if is_list else '"It\'s"'
        with pytest.raises(ConfigError) as caught:
            config_from_toml(f"{key} = {given}\n", "t")
        where = f"{key}[0]" if is_list else key
        assert str(caught.value).replace('"It\'s"', "'It\\'s'") == f"invalid configuration t: {where} {told}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[focus]\nmodel = 'a'\nmodel = 'b'\n", "a key or table is there twice (at line 3, column 12): model = 'b'."),
        ("[board.z]\n[board.z]\n", "[board.z] is there twice (at line 2, column 9): [board.z]."),
        ("\n[focus\n", "at the end of a table declaration (at line 2, column 7): [focus."),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_told_by_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{told} Correct that line.")):
        config_from_toml(text, "t")


def test_a_byte_order_mark_at_the_begin_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[focus]\nthreads = 3\n")
    assert config_from_file(tmp_path / "a.toml").focus.threads == 3


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.toml", "No such file or directory"),
        ("folder", "Is a directory"),
        ("latin.toml", "not UTF-8 text"),
        ("stack.ome.tiff", "larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    (tmp_path / "stack.ome.tiff").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match=why) as caught:
        config_from_file(tmp_path / name)
    assert name in str(caught.value)


def test_gpio_lines_are_off_until_their_pins_are_configured() -> None:
    assert config_from_toml("", "empty").board.gpio == GpioConfig()
    config = config_from_toml("[board.gpio]\nestop_pin = 11\n", "instrument.toml")
    assert config.board.gpio == GpioConfig(estop_pin=11)
    with pytest.raises(ConfigError, match=r"instrument\.toml: .* must be 1\.\.40, each once"):
        config_from_toml("[board.gpio]\nestop_pin = 11\nreset_pin = 11\n", "instrument.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("min_ma = 10.0", "0 must lie between"),
        ("step_ma = 50.0", "six steps apart"),
        ("focuses = true", "set kind to 'board' or 'optotune'"),
        ("kind = 'liquid'", "lens.kind"),
    ],
)
def test_an_impossible_lens_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config_from_toml(f"[lens]\n{text}\n", "t")
