"""The settings of an objective follow from its name, and none is simulated that nobody described."""

import pytest

from parfocal.edge.cli.options import through
from parfocal.edge.config import Config, config_from_toml, simulated_through
from parfocal.edge.errors import ConfigError
from parfocal.edge.objectives import CAMERA_OF, FOCUS_OF
from parfocal.edge.simscope.objectives import SIMULATED, simulated_optics
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.shipped import model_path


def test_an_objective_brings_the_settings_of_its_paper_and_the_file_overrides_them() -> None:
    config = config_from_toml('[focus]\nobjective = "40x/0.65"\nz1_below_um = 9.0\n', "a file")
    assert (config.focus.model, config.focus.delta_um, config.focus.downsample) == ("difference-40x", 3.0, 4)
    assert (config.focus.z1_below_um, config.focus.max_distance_um) == (9.0, 12.0)
    assert config.camera == Config().camera, "the camera is what the owner has"


def test_the_reference_objective_is_the_defaults() -> None:
    assert config_from_toml('[focus]\nobjective = "20x/0.75"\n', "a file").focus == Config().focus
    away = simulated_through("40x/0.65", Config())
    assert away != Config()
    assert simulated_through("20x/0.75", away) == Config()


@pytest.mark.parametrize("objective", FOCUS_OF)
def test_the_model_of_an_objective_was_made_for_its_settings_and_its_camera(objective: str) -> None:
    config = simulated_through(objective, Config())
    contract = contract_from_onnx(model_path(config.focus.model))
    assert contract.objective == objective == config.focus.objective
    assert contract.delta_um == config.focus.delta_um
    assert contract.um_per_px == pytest.approx(config.camera.um_per_px * config.focus.downsample, rel=0.001)
    assert set(CAMERA_OF) == set(FOCUS_OF) == set(SIMULATED)


def test_an_objective_that_nobody_described_is_not_simulated_as_another() -> None:
    with pytest.raises(ConfigError, match="'4x/0.1' cannot be simulated"):
        simulated_optics("4x/0.1", 0.345)
    with pytest.raises(ConfigError, match="no two-shot model ships for objective '4x/0.1'"):
        simulated_through("4x/0.1", Config())


def test_the_objective_of_a_real_microscope_is_not_chosen_on_the_command_line() -> None:
    with pytest.raises(ConfigError, match="add --sim"):
        through("40x/0.65", Config(), sim=False)
    assert through(None, Config(), sim=False) == Config()
