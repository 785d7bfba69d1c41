"""Move the Z axis of a motor board, without a camera or a model.

`parfocal.board` needs neither OpenCV nor OpenVINO. The stub board behaves like the real one, with the play of a real
gear, in virtual time. A real board opens with `open_guarded(BoardConfig(port="/dev/ttyACM0"), MonotonicClock())`, from
`parfocal.board.guarded`, `.config` and `.clock`.
"""

from parfocal.board.errors import MoveRefused
from parfocal.board.stub.virtual_bench import VirtualBench

bench = VirtualBench()
with bench.open_board() as board:
    board.home()
    for to_um in (100.0, 250.0, 100.0):
        board.z.approach_up(to_um)
        true_um = bench.true_um(bench.clock.now_s())[2]
        print(f"asked for {to_um:.0f} um: commanded {board.z.position_um:.2f} um, true {true_um:.2f} um")
    try:
        board.z.approach_up(1e6)
    except MoveRefused as refused:
        print(refused)
