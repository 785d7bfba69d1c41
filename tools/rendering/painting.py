"""Worker processes that draw objects into memory that is shared."""

import math
import multiprocessing as mp
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.tissue.sources import TrainingObjects

SLOTS_PER_WORKER = 4
Density = NDArray[np.float16]


class _Queue(Protocol):
    """A queue of slots between processes."""

    def put(self, item: int) -> None:
        """Add a slot."""

    def get(self) -> int:
        """Wait for a slot."""


class Painters:
    """Processes that draw training objects 0 .. `count` - 1, (3, side, side).

    They are started anew, not forked: the libraries of this process have threads, which a fork does not copy.
    """

    def __init__(self, tiles: Path, side_px: int, count: int, seed: int, workers: int) -> None:
        context = mp.get_context("spawn")
        self.side_px, self.count = side_px, count
        slots = SLOTS_PER_WORKER * workers
        self._memory = SharedMemory(create=True, size=slots * 3 * side_px**2 * 2)
        self._free, self._ready = context.SimpleQueue(), context.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)
        shared = (self._memory.name, self._free, self._ready)
        self._processes = [
            context.Process(
                target=_paint,
                args=(tiles, side_px, seed, range(worker, count, workers), *shared),
                daemon=True,
            )
            for worker in range(workers)
        ]
        for process in self._processes:
            process.start()

    def close(self) -> None:
        """Stop the processes and free the memory."""
        for process in self._processes:
            process.terminate()
            process.join()
        self._memory.close()
        self._memory.unlink()

    def take(self) -> Density:
        """Wait for an object and return its density, float16. There are `count` of them."""
        slot = self._ready.get()
        density: Density = _view(self._memory, slot, self.side_px).copy()
        self._free.put(slot)
        return density


def _view(memory: SharedMemory, slot: int, side_px: int) -> Density:
    if memory.buf is None:
        raise RuntimeError("the shared memory of the painters is closed")
    shape = (3, side_px, side_px)
    view: Density = np.ndarray(shape, np.float16, memory.buf, slot * 2 * math.prod(shape))
    return view


def _paint(
    tiles: Path, side_px: int, seed: int, numbers: range, memory_name: str, free: _Queue, ready: _Queue
) -> None:
    cv2.setNumThreads(1)
    memory = SharedMemory(memory_name)
    objects = TrainingObjects(tiles)
    for number in numbers:
        _, density = objects.draw(side_px, np.random.default_rng([seed, number]))
        slot = free.get()
        _view(memory, slot, side_px)[:] = density
        ready.put(slot)
