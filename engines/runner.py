"""The seam between a network and what computes it, and the checks that all engines share."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, InputMismatch
from parfocal.engines.model.contract import Contract


class Runner(Protocol):
    """An engine that is ready to predict. Use it from one thread at a time."""

    @property
    def contract(self) -> Contract:
        """The contract of the model: its input and output."""

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the outputs of the graph for each patch. `Predictor` turns them into distances.

        Args:
            batch: float32 (n, channels, patch_px, patch_px), normalised as the contract says.

        Returns:
            The features, float32 (n, head.features), or without a head distance_um, float32 (n, 1); a copy that the
            caller owns.

        Raises:
            InputMismatch: the batch does not have the type and shape that the engine takes.
        """


def check_graph(
    contract: Contract, input_shapes: dict[str, list[int | None]], output_names: list[str]
) -> int | None:
    """Refuse a graph that contradicts its own contract.

    Args:
        contract: the contract in the metadata of the model.
        input_shapes: shape of each input of the graph, by name; None for a free dimension.
        output_names: outputs of the graph.

    Returns:
        The batch size that the graph is fixed to, None if it takes any.

    Raises:
        BuildFailed: states what the contract promises and what the graph has.
    """
    wanted = _input_shape(contract)
    shape = input_shapes.get(contract.input_name, [])
    fits = len(shape) == len(wanted) and all(
        found is None or asked in (None, found) for found, asked in zip(shape, wanted, strict=True)
    )
    if not fits or len(input_shapes) != 1 or contract.output_name not in output_names:
        raise BuildFailed(
            f"build of model {contract.name} failed: its contract promises "
            f"{contract.input_name} {_shown(wanted)} -> {contract.output_name}, its graph has "
            f"{', '.join(f'{name} {_shown(sizes)}' for name, sizes in input_shapes.items())} -> "
            f"{', '.join(output_names)}. Export the model again with the programs in tools/."
        )
    return shape[0]


def check_batch(contract: Contract, batch: NDArray[np.float32], n_fixed: int | None) -> None:
    """Refuse a batch that the model does not take. `n_fixed` is the batch size it is fixed to, if any.

    Raises:
        InputMismatch: states what was given and what the model takes.
    """
    n = batch.shape[0] if batch.ndim == 4 else 0
    wanted = _input_shape(contract)
    if batch.dtype != np.float32 or list(batch.shape[1:]) != wanted[1:] or n == 0 or n_fixed not in (None, n):
        raise InputMismatch(
            f"inference with model {contract.name} refused: the batch is {batch.dtype} "
            f"{_shown([*batch.shape])}, the model takes float32 {_shown([n_fixed, *wanted[1:]])}. "
            "Prepare the patches as the contract of the model says."
        )


def checked_output(contract: Contract, output: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return a copy, float32 (n, outputs), of the output of the graph.

    Raises:
        InputMismatch: the output does not have the values that the contract promises for each patch.
    """
    if output.shape[0:1] != (n,) or output.size != n * contract.n_outputs:
        raise InputMismatch(
            f"inference with model {contract.name} refused: {n} patches gave an output "
            f"{_shown([*output.shape])}, not {promised_output(contract)}. Export the model again."
        )
    return output.reshape(n, contract.n_outputs).astype(np.float32)


def promised_output(contract: Contract) -> str:
    """Return what the graph computes for each patch, in words."""
    return "one distance for each" if contract.head is None else f"{contract.n_outputs} features for each"


def _input_shape(contract: Contract) -> list[int | None]:
    return [None, contract.channels, contract.patch_px, contract.patch_px]


def _shown(shape: list[int | None]) -> str:
    return f"({', '.join('n' if size is None else str(size) for size in shape)})"
