"""Trapezoidal speed profiles in whole steps: durations for the host's deadlines, step edges for the stub."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray


class Trapezoid(msgspec.Struct, frozen=True):
    """A move of `n_steps` >= 0 from rest to rest."""

    n_steps: int
    speed_steps_per_s: float
    accel_steps_per_s2: float

    @property
    def peak_steps_per_s(self) -> float:
        """Top speed reached; lower than `speed_steps_per_s` when the move is short."""
        return min(self.speed_steps_per_s, math.sqrt(self.accel_steps_per_s2 * self.n_steps))

    @property
    def duration_s(self) -> float:
        """Time of the last step after the start."""
        if self.n_steps == 0:
            return 0.0
        peak = self.peak_steps_per_s
        return self.n_steps / peak + peak / self.accel_steps_per_s2

    def edge_times_s(self) -> NDArray[np.float64]:
        """Time of every step after the start, shape (n_steps,)."""
        peak, accel = self.peak_steps_per_s, self.accel_steps_per_s2
        ramp = peak * peak / (2.0 * accel) if self.n_steps else 0.0
        n_up = min(math.floor(ramp), self.n_steps)
        n_down = min(math.ceil(ramp), self.n_steps - n_up)
        up, flat, down = np.split(np.arange(1.0, self.n_steps + 1.0), [n_up, self.n_steps - n_down])
        return np.concatenate(
            [
                np.sqrt(2.0 * up / accel),
                peak / accel + (flat - ramp) / max(peak, 1e-300),
                self.duration_s - np.sqrt(2.0 * (self.n_steps - down) / accel),
            ]
        )

    def edge_speeds_steps_per_s(self) -> NDArray[np.float64]:
        """Speed at every step, shape (n_steps,). Below the peak the motor accelerates or decelerates."""
        done = np.arange(1, self.n_steps + 1, dtype=np.float64)
        ramp = np.sqrt(2.0 * self.accel_steps_per_s2 * np.minimum(done, self.n_steps - done + 1.0))
        return np.minimum(ramp, self.peak_steps_per_s)

    def time_s(self, distance_steps: float) -> float:
        """When it has gone so far, s after the start."""
        peak, accel = self.peak_steps_per_s, self.accel_steps_per_s2
        left_steps = self.n_steps - distance_steps
        ramp_steps = peak * peak / (2.0 * accel)
        if distance_steps <= 0.0:
            return 0.0
        if distance_steps < ramp_steps:
            return math.sqrt(2.0 * distance_steps / accel)
        if left_steps < ramp_steps:
            return self.duration_s - math.sqrt(2.0 * max(left_steps, 0.0) / accel)
        return peak / accel + (distance_steps - ramp_steps) / peak

    def progress_at(self, time_s: float) -> tuple[float, float]:
        """Distance (steps, fractional) and speed (steps/s) `time_s` after the start."""
        if self.n_steps == 0 or time_s <= 0.0:
            return 0.0, 0.0
        if time_s >= self.duration_s:
            return float(self.n_steps), 0.0
        peak, accel = self.peak_steps_per_s, self.accel_steps_per_s2
        ramp_s = peak / accel
        left_s = self.duration_s - time_s
        if time_s < ramp_s:
            return accel * time_s * time_s / 2.0, accel * time_s
        if left_s < ramp_s:
            return self.n_steps - accel * left_s * left_s / 2.0, accel * left_s
        return peak * (time_s - ramp_s / 2.0), peak


def stopping_edges_s(profile: Trapezoid, time_s: float, n_done: int) -> NDArray[np.float64]:
    """Times of the steps that a move still makes when it is stopped `time_s` after its start, after `n_done` steps.

    It decelerates with the acceleration of the profile, and never passes the profile's own end.
    """
    distance, speed = profile.progress_at(time_s)
    accel = profile.accel_steps_per_s2
    last = min(profile.n_steps, math.floor(distance + speed * speed / (2.0 * accel)))
    done = np.arange(n_done + 1, last + 1, dtype=np.float64)
    under_root = np.maximum(speed * speed - 2.0 * accel * (done - distance), 0.0)
    return time_s + np.maximum((speed - np.sqrt(under_root)) / accel, 0.0)
