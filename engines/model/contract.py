"""The contract of a model, in the metadata of its ONNX file: what the model takes and predicts.

A network maps arrays to arrays. On shots taken at another distance or through another objective it would still run, and
predict nonsense. So each model carries its contract as JSON in one metadata entry, and `require` compares it with the
configuration of the instrument.
"""

import math
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from parfocal.engines.errors import BuildFailed, InputMismatch
from parfocal.engines.model.onnx_metadata import metadata_from_onnx, opset_from_onnx

METADATA_KEY: Final = "parfocal.contract"
FORMAT_VERSION: Final = 2
READ_FORMATS: Final = (1, FORMAT_VERSION)  # format 1 has no head outside of the graph
# From the first opset with Q/DQ nodes per channel (13) to the one that the FP16 form of INT8 needs (19).
OPSETS: Final = range(13, 20)
SIGN: Final = "distance_um to focus from the second shot, positive up"
SIGN_OF_SINGLE: Final = "distance_um to focus from the shot, positive up"


Kind = Literal["difference", "pair", "single"]
TWO_SHOT_KINDS: Final = ("difference", "pair")
CHANNELS: Final[dict[str, int]] = {"difference": 3, "pair": 6, "single": 3}

_Positive = Annotated[float, msgspec.Meta(gt=0.0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]


class CondenserTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The condensers that a head takes: aperture of the condenser over aperture of the objective.

    Attributes:
        default: for an instrument that names none.
        least: smallest of the training.
        most: largest of the training.
    """

    default: _Positive
    least: _Positive
    most: _Positive

    def __post_init__(self) -> None:
        """Raises ValueError if `default` is not within the range."""
        if not self.least <= self.default <= self.most:
            raise ValueError(f"default {self.default:g} is not within {self.least:g}..{self.most:g}")


class HeadTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head that turns the features of a model into distances, see `parfocal.engines.model.head`.

    Attributes:
        sha256: SHA-256 of the file of the head, `<name>.head.npz`.
        features: number of features, the outputs of the graph.
        condenser: the condensers that the head takes as an input; None if it takes none.
    """

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    features: Annotated[int, msgspec.Meta(gt=0)]
    condenser: CondenserTerms | None


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model takes and predicts. No value but `head` has a default: a model must state all of them.

    Attributes:
        name: name of the model; its file is `<name>.onnx`.
        input_name: input of the graph, float32 (n, channels, patch_px, patch_px).
        output_name: output of the graph: features, float32 (n, head.features), or without a head distance_um,
            float32 (n,) or (n, 1).
        kind: "difference" of two shots (dastidar2020), "pair" for that difference followed by the second shot, or
            "single" for one shot (liao2021).
        channels_order: "RGB".
        patch_px: width and height of a patch.
        normalisation: "channel-standardised": each channel of each patch to mean 0, deviation 1.
        delta_um: z of the second shot minus z of the first; 0 for a single shot.
        um_per_px: size of a pixel of the patch, on the sample.
        objective: magnification and numerical aperture, "20x/0.75".
        range_um: largest distance from the focus that the model was trained on.
        sign: what a positive prediction means, see `SIGN` and `SIGN_OF_SINGLE`.
        format_version: version of this structure.
        head: the head, applied outside of the graph; None if the graph predicts distances.
    """

    name: str
    input_name: str
    output_name: str
    kind: Kind
    channels_order: str
    patch_px: Annotated[int, msgspec.Meta(gt=0)]
    normalisation: str
    delta_um: _NotNegative
    um_per_px: _Positive
    objective: str
    range_um: _Positive
    sign: str
    format_version: int
    head: HeadTerms | None = None

    @property
    def channels(self) -> int:
        """Channels of the input: three colours per image."""
        return CHANNELS[self.kind]

    @property
    def n_outputs(self) -> int:
        """Values that the graph computes for each patch: its features, or one distance."""
        return 1 if self.head is None else self.head.features


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What the instrument feeds a model, and how it reads the prediction."""

    kind: Kind
    delta_um: float
    um_per_px: float
    objective: str
    patch_px: int
    channels_order: str = "RGB"
    normalisation: str = "channel-standardised"
    sign: str = SIGN


class _FormatVersion(msgspec.Struct):
    """The part of a contract that is read before the rest."""

    format_version: int


def contract_from_onnx(path: Path) -> Contract:
    """Read the contract from the metadata of a model. Needs no inference runtime.

    Raises:
        BuildFailed: the file is missing, damaged, or has no contract that this version reads.
    """
    try:
        content = path.read_bytes()
        metadata, opset = metadata_from_onnx(content), opset_from_onnx(content)
    except OSError as error:
        raise BuildFailed(
            f"read model {path} failed: {error.strerror}. `parfocal engine list` shows the available models."
        ) from error
    except ValueError as error:
        raise BuildFailed(
            f"read model {path} failed: the file {error}; it is damaged or not ONNX. "
            "Copy it again from its source."
        ) from error
    if METADATA_KEY not in metadata:
        raise BuildFailed(
            f"read model {path} failed: it is ONNX, but its metadata has no {METADATA_KEY}. "
            "Use a model exported by the programs in tools/."
        )
    if opset not in OPSETS:
        raise BuildFailed(
            f"read model {path} failed: its opset is {opset}, this program reads {OPSETS[0]}..{OPSETS[-1]}. "
            "Export it again with opset 17, the highest that every TensorRT reads."
        )
    return _contract_from_json(metadata[METADATA_KEY], path)


def _contract_from_json(text: str, path: Path) -> Contract:
    try:
        version = msgspec.json.decode(text, type=_FormatVersion).format_version
        if version not in READ_FORMATS:
            raise BuildFailed(
                f"read model {path} failed: its contract has format {version}, this program reads formats "
                f"{' and '.join(map(str, READ_FORMATS))}. Export the model again, or use the version of parfocal it "
                "was made for."
            )
        return msgspec.json.decode(text, type=Contract)
    except msgspec.MsgspecError as error:
        raise BuildFailed(
            f"read model {path} failed: its {METADATA_KEY} is invalid: {error}. "
            "Export the model again with the programs in tools/."
        ) from error


def require(contract: Contract, expected: Expectation) -> None:
    """Refuse a model that was made for another instrument.

    Raises:
        InputMismatch: names every value that differs, in the model and in the configuration.
    """
    differing = [
        f"{value} is {_shown(getattr(contract, value))} in the model, "
        f"{_shown(getattr(expected, value))} in the configuration"
        for value in expected.__struct_fields__
        if not _equal(getattr(contract, value), getattr(expected, value))
    ]
    if differing:
        raise InputMismatch(
            f"use of model {contract.name} refused: {'; '.join(differing)}. "
            "Choose a model that fits (`parfocal engine list`) or correct the configuration."
        )


def _equal(found: float | str, wanted: float | str) -> bool:
    if isinstance(found, str) or isinstance(wanted, str):
        return found == wanted
    return math.isclose(found, wanted, rel_tol=1e-9)  # allows for rounding: 0.345 computed in two ways


def _shown(value: float | str) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"
