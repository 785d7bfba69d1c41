"""Sharp objects for synthetic stacks: real tiles as optical density, recoloured tiles, and drawn textures.

Every object is optical density, float32 (3, side, side), red-green-blue, at `UM_PER_PX`.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.arrays import FloatArray

Rng = np.random.Generator

UM_PER_PX = 0.345
MAX_DENSITY = 1.8  # an 8-bit camera sees black beyond it


def density_from_image(pixels: NDArray[np.uint8]) -> FloatArray:
    """Return the optical density (3, h, w) of an image (h, w, 3). The background is its 99.5th percentile."""
    background = np.percentile(pixels.reshape(-1, 3), 99.5, axis=0)
    # One logarithm for each of the 256 values instead of one for each pixel.
    table = np.clip(-np.log((np.arange(256)[:, None] + 1.0) / (background + 1.0)), 0.0, MAX_DENSITY)
    return np.stack([table[:, c].astype(np.float32)[pixels[..., c]] for c in range(3)])


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return an image file as RGB uint8 (h, w, 3). Raises ValueError if it is not an image."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"read {path} failed: it is not an image. Remove it from the folder of tiles.")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def window(density: FloatArray, side: int, scale: float, rng: Rng) -> FloatArray:
    """Return a random square of `density`, resized by `scale`. A tile that is too small is mirrored."""
    interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    need = int(np.ceil(side / scale)) + 2
    rows, columns = (_mirrored(length, need, rng) for length in density.shape[1:])
    part = np.stack([plane.take(columns, axis=1).take(rows, axis=0) for plane in density], axis=2)
    part = cv2.resize(part, (side, side), interpolation=interpolation)
    return np.ascontiguousarray(np.clip(part, 0.0, MAX_DENSITY).transpose(2, 0, 1), dtype=np.float32)


def _mirrored(length: int, need: int, rng: Rng) -> NDArray[np.int64]:
    """Return `need` neighbouring indices at a random place of an axis, which is continued by its mirror image."""
    first = int(rng.integers(0, length - need + 1)) if need <= length else int(rng.integers(0, 2 * length))
    phase = (first + np.arange(need)) % (2 * length)
    return np.where(phase < length, phase, 2 * length - 1 - phase)


def recoloured(density: FloatArray, rng: Rng) -> FloatArray:
    """Return the same structure in another stain: channels mixed and scaled, sometimes with inverted contrast."""
    if rng.random() < 0.5:
        mix = rng.dirichlet(np.full(3, 0.6), size=3).astype(np.float32)
        density = np.einsum("ck,khw->chw", mix, density).astype(np.float32)
    density = density * rng.uniform(0.4, 1.3, size=(3, 1, 1)).astype(np.float32)
    if rng.random() < 0.12:
        density = np.maximum(density.max(axis=(1, 2), keepdims=True) * 0.9 - density, 0.0)
    # The strongest structures range from a faint to a strong stain, whatever the tile was.
    top = max(float(np.percentile(density, 99.0)), 1e-3)
    wanted = float(np.exp(rng.uniform(np.log(0.15), np.log(1.5))))
    factor = np.clip(wanted / top, 0.3, 3.0)
    result: FloatArray = np.clip(density * factor, 0.0, MAX_DENSITY).astype(np.float32)
    return result


def _stain(rng: Rng) -> FloatArray:
    """Return the optical density of a dye per channel, (3,). The strongest channel is 1."""
    colour = rng.dirichlet(np.full(3, 1.2)).astype(np.float32)
    colour /= colour.max()
    return np.maximum(colour, 0.05).astype(np.float32)


def _noise(rng: Rng, side: int, exponent: float) -> FloatArray:
    """Return Gaussian noise (side, side) with the spectrum `1 / f**exponent`, mean 0 and deviation 1."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    f[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / f**exponent
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, (side, side))
    result: FloatArray = (noise / max(float(noise.std()), 1e-9)).astype(np.float32)
    return result


def _canvas(side: int) -> NDArray[np.float32]:
    return np.zeros(
        (2 * side, 2 * side), np.float32
    )  # drawn at twice the size and averaged down, for soft edges


def _down(canvas: NDArray[np.float32], side: int) -> FloatArray:
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _blob(centre: NDArray[np.float64], radius: float, rng: Rng, wobble: float) -> NDArray[np.int32]:
    """Return an irregular closed outline around `centre`."""
    angle = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    r = np.full_like(angle, radius)
    for k in range(2, 6):
        r += radius * wobble / k * rng.standard_normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    stretch, turn = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    x, y = r * np.cos(angle), stretch * r * np.sin(angle)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return np.round(points + centre).astype(np.int32)


def _draw_leaves(side: int, rng: Rng) -> FloatArray:
    """Draw overlapping opaque shapes of every size: the statistics of dense tissue without its appearance."""
    canvases = [_canvas(side) + rng.uniform(0, 0.5), _canvas(side) + rng.uniform(0, 0.5)]
    n = int(rng.integers(150, 900))
    smallest, largest = 3.0, side * rng.uniform(0.15, 0.6)
    radii = smallest / (1.0 - rng.random(n) * (1.0 - smallest / largest)) ** rng.uniform(0.6, 1.1)
    for radius in np.clip(radii, smallest, largest):
        outline = _blob(rng.uniform(0, 2 * side, 2), float(radius), rng, 0.3)
        for canvas in canvases:
            cv2.fillPoly(canvas, [outline], float(rng.random() ** 2))
    first, second = (_down(c, side) for c in canvases)
    leaves: FloatArray = first * _stain(rng)[:, None, None] + 0.6 * second * _stain(rng)[:, None, None]
    return leaves


def _draw_cells(side: int, rng: Rng) -> FloatArray:
    """Draw cells with cytoplasm, a nucleus and granular chromatin, from sparse to crowded."""
    body, nuclei = _canvas(side), _canvas(side)
    radius_px = rng.uniform(12, 70)
    for _ in range(int(rng.integers(2, 60))):
        centre = rng.uniform(0, 2 * side, 2)
        radius = radius_px * rng.uniform(0.7, 1.3)
        cv2.fillPoly(body, [_blob(centre, radius, rng, 0.2)], float(rng.uniform(0.15, 0.5)))
        offset = rng.uniform(-0.25, 0.25, 2) * radius
        share = rng.uniform(0.3, 0.75)
        cv2.fillPoly(nuclei, [_blob(centre + offset, radius * share, rng, 0.1)], float(rng.uniform(0.5, 1.0)))
    granules = np.clip(1.0 + rng.uniform(0.1, 0.6) * _noise(rng, side, 0.8), 0.1, 2.0)
    cloud = np.clip(1.0 + rng.uniform(0.0, 0.4) * _noise(rng, side, 1.2), 0.1, 2.0)
    bodies = _down(body, side) * cloud * _stain(rng)[:, None, None]
    cells: FloatArray = (bodies + _down(nuclei, side) * granules * _stain(rng)[:, None, None]).astype(
        np.float32
    )
    return cells


def _draw_fibres(side: int, rng: Rng) -> FloatArray:
    """Draw bundles of curved fibres."""
    canvas = _canvas(side)
    direction = rng.uniform(0, np.pi)
    spread_rad = rng.uniform(0.05, 0.9)
    for _ in range(int(rng.integers(20, 160))):
        heading = direction + spread_rad * rng.standard_normal()
        point, points = rng.uniform(-0.2 * side, 2.2 * side, 2), []
        for _ in range(24):
            points.append(point.copy())
            heading += 0.12 * rng.standard_normal()
            point = point + side / 10.0 * np.array([np.cos(heading), np.sin(heading)])
        path = np.round(np.stack(points)).astype(np.int32)
        cv2.polylines(canvas, [path], False, float(rng.uniform(0.2, 1.0)), int(rng.integers(1, 12)))
    grain = np.clip(1.0 + rng.uniform(0.0, 0.5) * _noise(rng, side, 0.9), 0.1, 2.0)
    fibres: FloatArray = (_down(canvas, side) * grain * _stain(rng)[:, None, None]).astype(np.float32)
    return fibres


def _draw_bacteria(side: int, rng: Rng) -> FloatArray:
    """Draw Gram-stained rods and cocci of 0.6..3 um, on a smear with a few cells."""
    dots = _canvas(side)
    px_per_um = 2.0 / UM_PER_PX
    rods = rng.random() < 0.5
    for _ in range(int(rng.integers(3, 40))):
        cluster = rng.uniform(0, 2 * side, 2)
        for _ in range(int(rng.integers(1, 14))):
            centre = cluster + rng.normal(0, rng.uniform(5, 40), 2)
            width = rng.uniform(0.5, 1.1) * px_per_um
            value = float(rng.uniform(0.5, 1.0))
            length = rng.uniform(1.0, 3.0) * px_per_um if rods else 0.0
            heading = rng.uniform(0, np.pi)
            step = 0.5 * length * np.array([np.cos(heading), np.sin(heading)])
            a, b = np.round(centre - step).astype(int), np.round(centre + step).astype(int)
            cv2.line(dots, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), value, max(1, round(float(width))))
    smear = np.clip(_noise(rng, side, 1.6) * 0.1 + 0.05, 0.0, 0.5)
    cells = _draw_cells(side, rng) * rng.uniform(0.0, 0.8) if rng.random() < 0.5 else np.float32(0.0)
    stain = _stain(rng)[:, None, None]
    ground = smear * _stain(rng)[:, None, None] + cells
    bacteria: FloatArray = (_down(dots, side) * stain + ground).astype(np.float32)
    return bacteria


def _draw_discs(side: int, rng: Rng) -> FloatArray:
    """Draw red cells: discs of 6..8 um with a paler centre."""
    canvas = _canvas(side)
    for _ in range(int(rng.integers(5, 70))):
        centre = rng.uniform(0, 2 * side, 2)
        radius = rng.uniform(3.0, 4.2) * 2.0 / UM_PER_PX
        value = float(rng.uniform(0.4, 1.0))
        cv2.fillPoly(canvas, [_blob(centre, radius, rng, 0.05)], value)
        cv2.fillPoly(
            canvas, [_blob(centre, radius * rng.uniform(0.3, 0.6), rng, 0.05)], value * rng.uniform(0.2, 0.9)
        )
    soft = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 4.0)).astype(np.float32)
    return _down(soft, side) * _stain(rng)[:, None, None]


def _draw_tissue(side: int, rng: Rng) -> FloatArray:
    """Draw dense tissue: fibres and a cloudy background with many nuclei."""
    ground = np.clip(rng.uniform(0.2, 0.6) * (1.0 + 0.5 * _noise(rng, side, rng.uniform(0.8, 1.5))), 0.0, 1.5)
    fibres = _draw_fibres(side, rng) * rng.uniform(0.2, 0.7)
    cells = _draw_cells(side, rng)
    tissue: FloatArray = (ground * _stain(rng)[:, None, None] + fibres + cells).astype(np.float32)
    return tissue


def _draw_noise(side: int, rng: Rng) -> FloatArray:
    """Draw a cloudy or grainy background without outlines."""
    field = _noise(rng, side, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        field = np.where(field > rng.uniform(-0.5, 1.5), 1.0, 0.1 * field)
    first = np.clip(0.5 + 0.4 * field, 0.0, 2.0)
    clouds: FloatArray = (first * _stain(rng)[:, None, None]).astype(np.float32)
    return clouds


DRAWN: tuple[Callable[[int, Rng], FloatArray], ...] = (
    _draw_leaves,
    _draw_cells,
    _draw_fibres,
    _draw_bacteria,
    _draw_discs,
    _draw_tissue,
    _draw_noise,
)


def drawn(side: int, rng: Rng) -> FloatArray:
    """Return a drawn texture of a random kind, in random stains."""
    draw = DRAWN[int(rng.integers(len(DRAWN)))]
    return recoloured(np.clip(draw(side, rng), 0.0, MAX_DENSITY), rng)
