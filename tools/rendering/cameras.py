"""Cameras in torch: noise and 8 bits, and what a cheap camera does to its pixels. See `tools.cameras`."""

import math

import torch
from torch.nn import functional

from tools.cameras import FLICKER, Camera

# Annex K of the JPEG standard (ITU-T T.81): quantisation of luminance and chrominance at quality 50.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def shots_of(densities: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Return shots in grey levels, float32 (n, planes, 3, h, w), of images of optical density of the same shape.

    Each object has its own light, full well and read noise; each shot its own flicker.
    """
    n, planes, _, height, width = densities.shape
    device = densities.device

    def drawn(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, 1, 1, device=device)

    white = drawn(205.0, 248.0, n, 1, 1) * drawn(0.9, 1.0, n, 1, 3)
    full_well = torch.exp(drawn(math.log(7000.0), math.log(30000.0), n, 1, 1))
    read_noise = drawn(0.3, 1.2, n, 1, 1)
    flicker = 1.0 + (FLICKER + camera.gain_step) * torch.randn(n, planes, 1, 1, 1, device=device)
    signal = white * flicker * torch.exp(-densities)
    deviation = torch.sqrt(signal * (255.0 / full_well) + read_noise**2)
    shots = (signal + deviation * torch.randn_like(signal)).clamp_(0.0, 255.0)
    if camera.gamma != 1.0:
        shots = 255.0 * (shots / 255.0) ** camera.gamma
    flat = shots.round_().reshape(n * planes, 3, height, width)
    return processed(flat, camera).reshape(n, planes, 3, height, width)


def processed(shots: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Return shots (n, 3, h, w) in whole grey levels as the camera delivers them; h and w are multiples of 16."""
    if camera.demosaiced:
        shots = demosaiced(shots)
    if camera.sharpening:
        shots = sharpened(shots, camera.sharpening)
    if camera.jpeg_quality is not None:
        shots = compressed(shots, camera.jpeg_quality, camera.full_chroma)
    return shots


def demosaiced(shots: torch.Tensor) -> torch.Tensor:
    """Return what bilinear demosaicing makes of a mosaic RGGB of the shots."""
    height, width = shots.shape[-2:]
    row = torch.arange(height, device=shots.device)[:, None] % 2
    column = torch.arange(width, device=shots.device)[None, :] % 2
    masks = torch.stack([(row == 0) & (column == 0), row != column, (row == 1) & (column == 1)]).float()
    ring = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], device=shots.device) / 4.0
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]], device=shots.device) / 4.0
    kernels = torch.stack([ring, cross, ring])[:, None]
    padded = functional.pad(shots * masks, (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(padded, kernels, groups=3)[..., 1:-1, 1:-1].round()


def sharpened(shots: torch.Tensor, strength: float) -> torch.Tensor:
    """Return the shots under an unsharp mask with a Gaussian of 1 px."""
    place = torch.arange(-3.0, 4.0, device=shots.device)
    kernel = torch.exp(-(place**2) / 2.0)
    kernel = kernel / kernel.sum()
    rows = functional.pad(shots, (3, 3, 3, 3), mode="reflect")
    rows = functional.conv2d(rows, kernel.reshape(1, 1, 1, 7).expand(3, 1, 1, 7), groups=3)
    blurred = functional.conv2d(rows, kernel.reshape(1, 1, 7, 1).expand(3, 1, 7, 1), groups=3)
    return (shots * (1.0 + strength) - blurred.round() * strength).round().clamp(0.0, 255.0)


def compressed(shots: torch.Tensor, quality: int, full_chroma: bool) -> torch.Tensor:
    """Return the shots after JPEG compression with the tables of libjpeg for `quality`."""
    device = shots.device
    ycc = torch.einsum("kc,nchw->nkhw", torch.tensor(TO_YCC, device=device), shots)
    luminance, chrominance = ycc[:, :1].round() - 128.0, ycc[:, 1:]
    if not full_chroma:
        chrominance = functional.avg_pool2d(chrominance, 2)
    luminance = _quantised(luminance, LUMINANCE, quality) + 128.0
    chrominance = _quantised(chrominance.round(), CHROMINANCE, quality)
    if not full_chroma:
        chrominance = functional.interpolate(
            chrominance, scale_factor=2, mode="bilinear", align_corners=False
        )
    decoded = torch.cat(
        [luminance.round().clamp(0.0, 255.0), chrominance.round().clamp(-128.0, 127.0)], dim=1
    )
    rgb = torch.einsum("ck,nkhw->nchw", torch.tensor(TO_RGB, device=device), decoded)
    return rgb.round().clamp(0.0, 255.0)


def _quantised(plane: torch.Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> torch.Tensor:
    """Return planes (n, k, h, w) with the cosine transform of each 8 x 8 block quantised."""
    n, k, height, width = plane.shape
    device = plane.device
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = ((torch.tensor(table, device=device) * scale + 50) // 100).clamp(1, 255).float()
    place = torch.arange(8, device=device)
    cosines = torch.cos((2 * place[None, :] + 1) * place[:, None] * math.pi / 16.0) / 2.0
    cosines[0] /= math.sqrt(2.0)
    blocks = plane.reshape(n, k, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    coefficients = (cosines @ blocks @ cosines.T / steps).round() * steps
    back = cosines.T @ coefficients @ cosines
    return back.permute(0, 1, 2, 4, 3, 5).reshape(n, k, height, width)
