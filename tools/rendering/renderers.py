"""Processes that render parts without end, while another one trains on what is done."""

import multiprocessing as mp
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tools.rendering.cameras import random_camera
from tools.rendering.imaging import Grid
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.parts import SAMPLE_PX, Frame, frames_of
from tools.tissue.sources import HeldOutObjects, TrainingObjects

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

HELD_OUT_EVERY = 12  # parts
WAITING = 150  # rendered parts that may wait to be taken, 60 to 120 MB each


class Renderers:
    """Processes of one objective."""

    def __init__(self, tiles: Path, objective: str, seed: int, workers: int, scratch: Path) -> None:
        """`scratch` is a folder for parts that wait, best in memory."""
        scratch.mkdir(parents=True, exist_ok=True)
        # Started anew, not forked: the libraries of this process have threads, which a fork does not copy.
        context = mp.get_context("spawn")
        self._done: Queue[tuple[bool, Path]] = context.Queue()
        self._processes = [
            context.Process(
                target=_render,
                args=(tiles, objective, seed, worker, workers, scratch, self._done),
                daemon=True,
            )
            for worker in range(workers)
        ]
        for process in self._processes:
            process.start()

    def taken(self) -> list[tuple[bool, list[Frame]]]:
        """Return the parts that are done since: whether held out, and the frames. Raises RuntimeError if none come."""
        parts = []
        while True:
            try:
                held_out, path = self._done.get_nowait()
            except queue.Empty:
                break
            parts.append((held_out, _frames_in(path)))
            path.unlink()
        if not parts and not any(process.is_alive() for process in self._processes):
            raise RuntimeError("every process that renders has ended: see its error above")
        return parts

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()


def _render(
    tiles: Path,
    objective: str,
    seed: int,
    worker: int,
    workers: int,
    scratch: Path,
    done: "Queue[tuple[bool, Path]]",
) -> None:
    """Render the parts `worker`, `worker + workers` and so on."""
    cv2.setNumThreads(1)
    chosen = OBJECTIVES[objective]
    training, held_out = (
        TrainingObjects(tiles, chosen.optics.um_per_px),
        HeldOutObjects(tiles, chosen.optics.um_per_px),
    )
    grid = Grid(SAMPLE_PX, chosen.margin_px)
    number = worker
    while True:
        if done.qsize() > WAITING:
            time.sleep(0.05)
            continue
        is_held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        draw = held_out.draw if is_held_out else training.draw
        rng = np.random.default_rng([seed, tuple(OBJECTIVES).index(objective), number])
        path = scratch / f"{number:06d}.npz"
        _write(frames_of(chosen, grid, draw, random_camera, rng), path)
        done.put((is_held_out, path))
        number += workers


def _write(frames: list[Frame], path: Path) -> None:
    save: Callable[..., None] = np.savez  # NumPy's stub would take an array for allow_pickle
    save(
        path,
        **{f"{name}-{k}": value for k, frame in enumerate(frames) for name, value in vars(frame).items()},
    )


def _frames_in(path: Path) -> list[Frame]:
    with np.load(path) as stored:
        n = 1 + max(int(name.rpartition("-")[2]) for name in stored.files)
        return [
            Frame(
                stored[f"shots-{k}"],
                stored[f"z_um-{k}"],
                stored[f"mass-{k}"],
                stored[f"height_um-{k}"],
                int(stored[f"objects-{k}"]),
                float(stored[f"condenser-{k}"]),
                bool(stored[f"odd-{k}"]),
            )
            for k in range(n)
        ]
