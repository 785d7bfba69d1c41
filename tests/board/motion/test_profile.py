"""Speed profiles: edges in order, on time, and a stop that stays inside the move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.motion.profile import Trapezoid, stopping_edges_s

PROFILES = st.builds(Trapezoid, st.integers(0, 3000), st.floats(1.0, 10000.0), st.floats(10.0, 100000.0))


@given(PROFILES)
def test_every_step_has_one_edge_in_order_and_the_last_ends_the_move(profile: Trapezoid) -> None:
    times = profile.edge_times_s()
    assert times.shape == (profile.n_steps,)
    assert bool(np.all(np.diff(times, prepend=0.0) >= -1e-9))
    if profile.n_steps:
        assert times[-1] == pytest.approx(profile.duration_s)
        distance, _ = profile.progress_at(float(times[profile.n_steps // 2]))
        assert distance == pytest.approx(profile.n_steps // 2 + 1, rel=1e-6)


@given(PROFILES, st.floats(0.0, 1.5))
def test_a_stop_decelerates_within_the_move(profile: Trapezoid, fraction: float) -> None:
    time_s = fraction * profile.duration_s
    n_done = int(np.searchsorted(profile.edge_times_s(), time_s, side="right"))
    edges = stopping_edges_s(profile, time_s, n_done)
    assert n_done + len(edges) <= profile.n_steps
    assert bool(np.all(np.diff(edges, prepend=time_s) >= 0.0))
    _, speed = profile.progress_at(time_s)
    if len(edges):
        assert edges[-1] <= time_s + speed / profile.accel_steps_per_s2 + 1e-9


@pytest.mark.parametrize(("n_steps", "duration_s"), [(0, 0.0), (1, 0.2), (100, 2.0), (300, 4.0)])
def test_durations_by_hand(n_steps: int, duration_s: float) -> None:
    assert Trapezoid(n_steps, 100.0, 100.0).duration_s == pytest.approx(duration_s)
