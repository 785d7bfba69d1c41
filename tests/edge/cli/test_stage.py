"""`parfocal home`, `move` and `status` as a user types them."""

import json
from pathlib import Path

import pytest

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.cli import stage as cli_stage
from parfocal.edge.config import Config
from tests.edge.cli.typed import Run


@pytest.mark.parametrize(
    ("arguments", "z_um"),
    [
        (["z", "-5"], "-5.0"),
        (["z", "-5.25e-1"], "-0.525"),
        (["z", "-5", "--port", "/dev/parfocal-is-not-here"], "-5.0"),
        (["--", "z", "-5"], "-5.0"),
    ],
)
def test_a_negative_number_is_a_position_not_an_option(
    run: Run, bench: VirtualBench, arguments: list[str], z_um: str
) -> None:
    with bench.open_board(Config().board) as board:
        board.home()
    code, _, error = run("move", *arguments)
    assert code == 3
    assert f"MoveRefused: move to z={z_um} um refused: limit is 0.0" in error


@pytest.mark.parametrize("verb", [["status"], ["home"], ["move", "z", "10"]])
def test_every_stage_command_refuses_a_missing_port(run: Run, verb: list[str]) -> None:
    code, _, error = run(*verb, "--port", "/dev/parfocal-is-not-here")
    assert code == 3
    assert "BoardNotFound" in error


def test_home_clears_a_latched_emergency_stop_only_on_request(run: Run, bench: VirtualBench) -> None:
    bench.stub.machine.press_estop(pressed=True)
    bench.stub.machine.press_estop(pressed=False)
    code, _, error = run("home")
    assert (code, "emergency stop is latched" in error) == (3, True)
    code, printed, error = run("home", "--clear-faults")
    assert (code, printed) == (0, "homed: x=0.00 um, y=0.00 um, z=0.00 um\n"), error


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> VirtualBench:
    """The board at the configured port of the stage commands, in virtual time."""
    bench = VirtualBench()
    monkeypatch.setattr(cli_stage, "opened_board", lambda config: bench.open_board(config.board))
    return bench


def test_status_gives_positions_in_um_and_faults_by_name_in_text_and_json(
    run: Run, bench: VirtualBench
) -> None:
    assert run("home")[0] == 0
    assert run("move", "z", 2500.2)[1] == "z=2500.31 um\n"
    bench.stub.machine.press_estop(pressed=True)
    code, printed, error = run("status", "--json", "-")
    assert code == 0
    assert error.startswith(f"x: not homed, limits 0.00..{Config().board.x.highest_um:.2f} um\n")
    assert "lamp: 0 %\nfaults: estop; find the cause, then run `parfocal home --clear-faults`\n" in error
    assert "last motion: done\n`parfocal home` homes the axes" in error
    found = json.loads(printed)
    assert (found["faults"], found["last_result"]) == (["estop"], "done")
    assert (found["z"]["position_um"], found["z"]["is_homed"]) == (None, False)


@pytest.mark.usefixtures("bench")
def test_status_of_a_homed_board_shows_its_positions_and_no_fault(run: Run) -> None:
    run("home")
    run("move", "z", 2500.0)
    code, printed, error = run("status", "--json", "status.json")
    assert (code, error) == (0, "")
    highest_um = [axis.highest_um for axis in (Config().board.x, Config().board.y, Config().board.z)]
    assert printed.splitlines() == [
        f"x: 0.00 um, limits 0.00..{highest_um[0]:.2f} um",
        f"y: 0.00 um, limits 0.00..{highest_um[1]:.2f} um",
        f"z: 2500.00 um, limits 0.00..{highest_um[2]:.2f} um",
        "lamp: 0 %",
        "faults: none",
        "last motion: done",
    ]
    assert json.loads(Path("status.json").read_text())["z"]["position_um"] == 2500.0
