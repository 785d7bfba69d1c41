"""The option `--composite`: all-in-focus pictures of the uneven fields of a run, in a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from parfocal.edge.cli.showing.output import check_writable, result_file
from parfocal.edge.config import Config
from parfocal.edge.focus.uneven.field import UnevenField
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.shapes import with_shapes
from parfocal.engines.predictor import Predictor

OPTION = "--composite"

Examine = Callable[[Instrument, Iterator[FieldResult]], Iterator[FieldResult]]


def check_folder(folder: Path | None) -> None:
    """Refuse a folder in which no picture could be written, before anything moves. Raises ConfigError."""
    if folder is not None:
        check_writable(folder / _name(1), OPTION)


def examine_into(folder: Path, predictor: Predictor, config: Config) -> Examine:
    """What passes the fields of a run on, with their shapes, and writes the pictures of the uneven ones to `folder`.

    `predictor` takes two shots; it is corrected as it was measured on the instrument.

    It raises what `UnevenField.examine` raises, and ConfigError where a picture is not writable.
    """

    def examine(instrument: Instrument, run: Iterator[FieldResult]) -> Iterator[FieldResult]:
        um_per_px = config.camera.um_per_px
        corrected, focus = instrument.calibrated(predictor, config.focus)
        uneven = UnevenField(instrument.board.z, instrument.camera, corrected, focus, um_per_px)
        return with_shapes(run, uneven, um_per_px, lambda number, picture: _kept(folder, number, picture))

    return examine


def _kept(folder: Path, number: int, picture: UInt8Array) -> str:
    name = _name(number)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with result_file(folder / name, OPTION) as file:
        file.write(encoded.tobytes())
    return name


def _name(number: int) -> str:
    return f"field-{number:04d}.png"
