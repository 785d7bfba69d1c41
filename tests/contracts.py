"""Contracts of models for tests: for the reference objective, apart from what a test changes."""

import msgspec

from parfocal.engines.model.contract import FORMAT_VERSION, SIGN, SIGN_OF_SINGLE, Contract

DIFFERENCE = Contract(
    name="small",
    input_name="difference",
    output_name="distance_um",
    kind="difference",
    channels_order="RGB",
    patch_px=224,
    normalisation="channel-standardised",
    delta_um=2.0,
    um_per_px=0.345,
    objective="20x/0.75",
    range_um=10.0,
    sign=SIGN,
    format_version=FORMAT_VERSION,
)


def difference_contract(**changes: object) -> Contract:
    """Return the contract of a model of the difference of two shots."""
    return msgspec.structs.replace(DIFFERENCE, **changes)


def single_contract(**changes: object) -> Contract:
    """Return the contract of a model of single shots."""
    single = msgspec.structs.replace(
        DIFFERENCE,
        name="single",
        input_name="shot",
        kind="single",
        patch_px=672,
        delta_um=0.0,
        sign=SIGN_OF_SINGLE,
    )
    return msgspec.structs.replace(single, **changes)
