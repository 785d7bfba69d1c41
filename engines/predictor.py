"""What the instrument predicts with: an engine that computes the features, and the head that reads them."""

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.head import Head, Prediction
from parfocal.engines.runner import Runner


class Predictor:
    """A model ready to predict. Use it from one thread at a time."""

    def __init__(self, runner: Runner, head: Head | None = None, condenser: float | None = None) -> None:
        """Join an engine and the head of its model.

        Args:
            runner: the engine.
            head: from `load_head`; None if the engine predicts distances by itself.
            condenser: aperture of the condenser over that of the objective; None for the default of the model.

        Raises:
            InputMismatch: the model does not take the condenser, or was not trained for it.
        """
        self.runner, self.head = runner, head
        self.condenser = checked_condenser(runner.contract, condenser)

    @property
    def contract(self) -> Contract:
        """The contract of the model."""
        return self.runner.contract

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        """Predict the distance to focus of each patch.

        Args:
            batch: float32 (n, channels, patch_px, patch_px), normalised as the contract says.

        Raises:
            InputMismatch: the batch does not have the type and shape that the engine takes.
        """
        outputs = self.runner.infer(batch)
        return Prediction(outputs[:, 0]) if self.head is None else self.head.predict(outputs, self.condenser)


def checked_condenser(contract: Contract, condenser: float | None) -> float | None:
    """Return the condenser that a head gets, None if it takes none.

    Args:
        contract: contract of the model.
        condenser: of the instrument, None for the default of the model.

    Raises:
        InputMismatch: the model does not take the condenser, or was not trained for it.
    """
    terms = None if contract.head is None else contract.head.condenser
    if terms is None:
        if condenser is None:
            return None
        raise InputMismatch(
            f"use of model {contract.name} refused: it does not take the condenser as an input, and focus.condenser is "
            f"{condenser:g}. Remove focus.condenser, or choose another model."
        )
    if condenser is None:
        return terms.default
    if not terms.least <= condenser <= terms.most:
        raise InputMismatch(
            f"use of model {contract.name} refused: it was trained for condensers of {terms.least:g} to {terms.most:g} "
            f"of the objective's aperture, and focus.condenser is {condenser:g}. Correct focus.condenser, or open or "
            "close the condenser's diaphragm."
        )
    return condenser
