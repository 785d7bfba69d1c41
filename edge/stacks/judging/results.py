"""Results of an evaluation, as `parfocal evaluate --json` writes them."""

from typing import Literal

import msgspec

from parfocal.calib.value import UsedCalibration


class PlaneResult(msgspec.Struct, frozen=True):
    """The prediction at the second shot of a pair, or at the only shot (then z1 is z2).

    `error_um` is predicted minus true distance; distances are positive upwards. A shot without any contrast (black, or
    of one colour) gives no prediction: the plane is blank, and prediction, error and spread are None. `sigma_um`,
    `believed` and `doubt` as in Attempt.
    """

    z1_um: float
    z2_um: float
    true_um: float
    predicted_um: float | None
    error_um: float | None
    spread_um: float | None
    rule: str
    accepted: bool
    blank: bool
    in_range: bool
    sigma_um: float | None = None
    believed: bool | None = None
    doubt: str | None = None


class Figures(msgspec.Struct, frozen=True):
    """Summary of planes that are not blank and lie within the model's range. Shares are 0..1.

    Mean, standard deviation and median are those of the absolute error (dastidar2020 table 1, liao2021 table 1).
    """

    planes: int
    mean_um: float
    sd_um: float
    median_um: float
    bias_um: float
    mean_per_depth_of_field: float
    within_depth_of_field: float
    wrong_sign: float | None
    accepted: float
    accepted_mean_um: float | None


class BinFigures(msgspec.Struct, frozen=True):
    """Summary of the planes whose true distance to focus is at least `from_um` and less than `to_um`."""

    from_um: float
    to_um: float
    figures: Figures


class StackResult(msgspec.Struct, frozen=True):
    """One stack. Where its focus is not certain it has no planes, and `review` gives the reason.

    `truth` says where its focus comes from. `notes` say how its file was interpreted. `calibration` is the one it was
    recorded with, where it names one.
    """

    stack: str
    focus_z_um: float | None
    truth: Literal["stack", "label", "none"]
    review: str | None
    figures: Figures | None
    planes: tuple[PlaneResult, ...]
    notes: tuple[str, ...] = ()
    calibration: UsedCalibration | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """All stacks with one model. `condenser` is the one that the model was given, None if it takes none."""

    model: str
    depth_of_field_um: float
    range_um: float
    figures: Figures | None
    bins: tuple[BinFigures, ...]
    stacks: tuple[StackResult, ...]
    condenser: float | None = None
