"""The fault campaign of tests/bench in small. `make bench` runs it in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire.messages import Opcode
from parfocal.board.wire.packet import Packet, encode
from tests.bench import link_campaign, link_processes

pytestmark = pytest.mark.usefixtures("far_side")


def test_every_command_over_a_lossy_cable_acts_once_and_truly() -> None:
    figures = link_campaign.commands(300, seed=1)
    assert figures["resends"] > 75
    assert figures["reconnects"] == 0


def test_every_command_of_a_stalling_host_acts_once_and_truly() -> None:
    figures = link_campaign.stalled_commands(300, seed=3)
    assert figures["stalls"] >= 5
    assert figures["silences"] >= figures["stalls"] / 2


def test_a_cable_pulled_during_a_move_resumes_or_loses_the_position_and_never_reports_a_wrong_one() -> None:
    figures = link_campaign.unplugged(6, seed=4)
    assert (figures["resumed"], figures["position_lost"]) == (3, 3)


def test_the_first_frame_after_noise_is_received() -> None:
    assert link_campaign.noise(50_000, seed=5)["resends"] == 0


def test_random_packets_with_a_valid_crc_move_nothing_and_raise_nothing() -> None:
    assert link_campaign.fuzz(3_000, seed=6)["moved_steps"] == 0


@given(
    st.builds(
        Packet,
        st.integers(0, 255),
        st.sampled_from(Opcode) | st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.binary(max_size=49),
        st.integers(0, 255),
    )
)
def test_no_packet_moves_a_board_without_a_session(packet: Packet) -> None:
    bench = VirtualBench()
    bench.stub.receive(encode(packet), bench.clock.now_s())
    bench.stub.take_output()
    assert bench.stub.machine.motions_begun == 0
    assert bench.stub.decoder.errors.crc_errors == 0


def test_true_z_with_all_its_errors_never_passes_the_upper_limit() -> None:
    figures = link_campaign.limits(12)
    assert figures["plans"] == 12
    assert 0.0 <= figures["closest_to_the_limit_um"] < 2.0


def test_a_killed_host_leaves_a_stage_at_rest_a_dark_lamp_and_a_free_port(tmp_path: Path) -> None:
    link = tmp_path / "board"
    with link_processes.stub_process(link, speed=10.0):
        figures = link_processes.killed_host(link, speed=10.0)
    # The stub process may be late on a busy machine; the bench requires 250 ms.
    assert figures["motion_stopped_after_ms"] < 500.0
    assert figures["lamp_dark_after_ms"] < 500.0
