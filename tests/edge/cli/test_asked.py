"""The options that verbs on the microscope share: declared once, the same everywhere."""

import inspect
from pathlib import Path

import pytest

from parfocal.edge.cli.asked import Asked, asked_for, on_microscope
from parfocal.edge.cli.calibrating.trigger_verb import trigger
from parfocal.edge.cli.focusing.focus import focus
from parfocal.edge.cli.record import record
from parfocal.edge.cli.slides.scan import scan
from parfocal.edge.cli.slides.survey import survey
from parfocal.edge.errors import ConfigError
from parfocal.edge.objectives import FOCUS_OF
from tests.edge.cli.typed import Run

SHARED = inspect.signature(asked_for).parameters


@pytest.mark.parametrize("verb", [focus, scan, survey, record])
def test_a_verb_has_its_own_options_then_the_shared_ones_with_their_defaults(verb: object) -> None:
    assert callable(verb)
    parameters = list(inspect.signature(verb).parameters.values())
    assert [one.name for one in parameters[-len(SHARED) :]] == list(SHARED)
    assert parameters[-len(SHARED) :] == list(SHARED.values())
    assert "asked" not in [one.name for one in parameters]


def test_a_verb_leaves_out_what_means_nothing_to_it() -> None:
    assert set(SHARED) - set(inspect.signature(trigger).parameters) == {"z_play_um"}


def test_a_verb_receives_what_was_asked_for_first_and_its_own_options_after_it(tmp_path: Path) -> None:
    received: list[tuple[Asked, int]] = []

    @on_microscope("slide", "um_per_px")
    def verb(asked: Asked, number: int) -> None:
        received.append((asked, number))

    result = tmp_path / "result.json"
    verb(number=3, sim=True, seed=5, z_play_um=None, config=None, port="/dev/ttyS7", json=result)
    ((asked, number),) = received
    assert (number, asked.json, asked.virtual) == (3, result, False)
    assert (asked.simulation.is_asked_for, asked.simulation.seed) == (True, 5)
    assert asked.settings.board.port == "/dev/ttyS7"


@pytest.mark.parametrize("verb", [("focus",), ("calibrate", "all")])
def test_the_help_names_every_objective_that_can_be_simulated(run: Run, verb: tuple[str, ...]) -> None:
    _, printed, _ = run(*verb, "--help")
    assert all(objective in printed for objective in FOCUS_OF)


def test_a_simulation_looks_through_another_objective_with_its_camera_and_models() -> None:
    settings = asked_for(sim=True, objective="40x/0.65").settings
    assert (settings.focus.model, settings.focus.single_model) == ("difference-40x", "single-40x")
    assert settings.camera.width_px == 4208
    with pytest.raises(ConfigError, match="add --sim"):
        asked_for(objective="40x/0.65")


def test_an_uneven_slide_under_a_real_microscope_is_refused() -> None:
    asked = asked_for()
    assert asked.uneven(None).simulation == asked.simulation
    with pytest.raises(ConfigError, match="describe a virtual slide: add --sim"):
        asked.uneven("fold")
    with pytest.raises(ConfigError, match="describe a virtual slide: add --sim"):
        asked.uneven(None, 0.1)
