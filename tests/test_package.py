"""`import parfocal`: few names, each imported when it is first used; and the microscope behind them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import parfocal
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.simscope.simulated import simulated_microscope
from tests.compiled_once import share_compiled_models
from tests.edge.scope import small_for_models, with_focus


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after `statement`."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_or_the_board_needs_neither_opencv_nor_openvino() -> None:
    heavy = {"cv2", "openvino", "onnxruntime", "tensorrt", "matplotlib"}
    assert not modules_after("import parfocal") & (heavy | {"numpy"})
    assert not modules_after("import parfocal.board.own.board, parfocal.board.guarded") & heavy
    assert "cv2" in modules_after("import parfocal; parfocal.simulated")


def test_every_public_name_is_there_and_an_unknown_one_is_told_with_the_known_ones() -> None:
    for name in parfocal.__all__:
        assert getattr(parfocal, name) is not None
    assert dir(parfocal) == parfocal.__all__
    with pytest.raises(AttributeError, match=r"no attribute 'simulate'.*simulated"):
        _ = parfocal.simulate


@pytest.fixture(autouse=True)
def no_engines_or_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No engine of the user's decides a test, and no parfocal.toml of the folder that the tests run in."""
    share_compiled_models(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def quick() -> parfocal.Config:
    """A camera just large enough to judge focus by, and a short first sweep."""
    return with_focus(
        small_for_models(parfocal.Config()),
        first_sweep_start_um=2440.0,
        first_sweep_stop_um=2560.0,
    )


@pytest.fixture
def scope() -> Iterator[parfocal.Microscope]:
    with parfocal.simulated(seed=1, config=quick()) as opened:
        yield opened


def test_five_lines_focus_a_field_and_results_print_without_arrays(scope: parfocal.Microscope) -> None:
    result = scope.focus(x_um=20_000, y_um=10_000)
    assert result.outcome == "focused"
    assert result.error_um is not None
    assert abs(result.error_um) < 0.6
    assert result.z_um == pytest.approx(scope.position.z_um)
    assert len(repr(result)) < 200
    assert "array" not in repr((result, result.start, result.focus))
    assert result == result  # structs with arrays in them would raise here
    assert result != scope.focus()
    page = result._repr_html_()
    assert page.count("data:image/png;base64,") == 2
    assert "<p>FieldResult(focused at" in page


def test_moves_and_shots_are_where_they_were_asked_for(scope: parfocal.Microscope) -> None:
    scope.move(x_um=20_000, y_um=10_000)
    assert scope.move_px(100, -40)[:2] == pytest.approx((20_034.5, 9_986.2), abs=1.0)
    here = scope.move(x_um=20_000, y_um=10_000, z_um=2470)
    assert here == pytest.approx((20_000, 10_000, 2470), abs=0.4)
    shot = scope.shot()
    assert shot.z_um == here.z_um
    assert shot.pixels.mean() > 50.0  # the lamp is on
    with pytest.raises(parfocal.BoardError, match="refused"):
        scope.move(x_um=21_000, z_um=1e6)
    assert scope.position == here  # not even x moved


def test_a_shot_after_a_move_shows_the_place_that_was_moved_to() -> None:
    config = quick()
    # X comes to rest sooner than the camera's two oldest frames are given away.
    x = msgspec.structs.replace(config.board.x, settle_s=0.03)
    config = msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, x=x))
    with parfocal.simulated(seed=1, config=config) as scope:
        scope.move(x_um=20_000, y_um=10_000, z_um=2464)
        scope.shot()
        scope.move(x_um=20_400)
        first, second = scope.shot().pixels.astype(float), scope.shot().pixels.astype(float)
    assert np.abs(first - second).mean() < 5.0  # noise alone


def test_a_closed_microscope_is_dark_and_says_that_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    benches: list[VirtualBench] = []

    def made(*arguments: object) -> VirtualBench:
        benches.append(VirtualBench(*arguments))  # type: ignore[arg-type]
        return benches[-1]

    monkeypatch.setattr("parfocal.edge.simscope.bench.VirtualBench", made)
    scope = simulated_microscope(seed=1, config=quick())
    scope.shot()
    (bench,) = benches
    assert bench.lamp_duty(bench.clock.now_s()) > 0.0
    scope.close()
    scope.close()
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0
    assert repr(scope) == "Microscope(closed)"
    with pytest.raises(RuntimeError, match="closed"):
        scope.shot()


def test_a_lost_field_raises_with_the_whole_trace(
    scope: parfocal.Microscope, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope.focus(x_um=20_000, y_um=10_000)
    black = np.zeros((452, 452, 3), np.uint8)
    monkeypatch.setattr(scope._opened.camera, "_render", lambda *_: black)
    with pytest.raises(parfocal.FocusLost, match="black") as caught:
        scope.focus()
    assert caught.value.result is not None
    assert caught.value.result.path_um


def test_a_path_a_configuration_and_nothing_open_the_same_microscope(tmp_path: Path) -> None:
    text = "[camera]\nwidth_px = 460\nheight_px = 460\n"
    (tmp_path / "parfocal.toml").write_text(text)
    (tmp_path / "other.toml").write_text(text.replace("460", "470"))
    for given, width_px in ((None, 460), ("other.toml", 470), (tmp_path / "other.toml", 470), (quick(), 452)):
        with parfocal.simulated(config=given) as scope:
            assert scope.config.camera.width_px == width_px
    with pytest.raises(parfocal.ConfigError, match="no-such"):
        parfocal.simulated(config="no-such.toml")


@pytest.mark.parametrize(
    "asked",
    [
        {"seed": -1},
        {"seed": 2**31},
        {"seed": 1.5},
        {"um_per_px": float("nan")},
        {"um_per_px": 0.0},
        {"z_play_um": float("nan")},
        {"z_play_um": -1.0},
    ],
    ids=str,
)
def test_an_argument_that_no_simulated_microscope_has_is_a_config_error_that_names_it(
    asked: dict[str, Any],
) -> None:
    (name,) = asked
    with pytest.raises(parfocal.ConfigError, match=f"{name} = .*: it must be"):
        parfocal.simulated(config=quick(), **asked)


def test_a_real_microscope_without_a_board_says_what_to_do() -> None:
    config = parfocal.Config()
    nowhere = msgspec.structs.replace(
        config, board=msgspec.structs.replace(config.board, port="/dev/no-such-port")
    )
    with pytest.raises(parfocal.BoardError, match="no-such-port"):
        parfocal.open(nowhere)
