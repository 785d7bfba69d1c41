"""What the instrument predicts with: an engine that computes the features, and the head that reads them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.head import Head, Prediction
from parfocal.engines.runner import Runner


@dataclass(frozen=True)
class Correction:
    """What fits a model to one instrument: `distance = gain * predicted + offset_um`.

    Attributes:
        gain, offset_um: of the predicted distances.
        condenser: given to the head; None leaves the one that it gets without a correction.
        weights, bias_um: added to the last layer of the head for the distance, float32 (M, H3) and the same for all
            members; None leaves the head as it is.
        strangeness_limit: in place of that of the head, if it is higher; None leaves it.
        sigma_scale: the uncertainty that the head predicts is multiplied by it, and by the gain.
    """

    gain: float = 1.0
    offset_um: float = 0.0
    condenser: float | None = None
    weights: NDArray[np.float32] | None = None
    bias_um: float = 0.0
    strangeness_limit: float | None = None
    sigma_scale: float = 1.0


AS_SHIPPED = Correction()


class Predictor:
    """A model ready to predict. Use it from one thread at a time."""

    def __init__(
        self,
        runner: Runner,
        head: Head | None = None,
        condenser: float | None = None,
        correction: Correction = AS_SHIPPED,
    ) -> None:
        """Join an engine and the head of its model.

        Args:
            runner: the engine.
            head: from `load_head`; None if the engine predicts distances by itself.
            condenser: aperture of the condenser over that of the objective; None for the default of the model.
            correction: fits the model to an instrument.

        Raises:
            InputMismatch: the model does not take the condenser or the correction, or was not trained for them.
        """
        self.runner, self.head, self.correction = runner, head, correction
        self._shipped = head, condenser
        given = condenser if correction.condenser is None else correction.condenser
        self.condenser = checked_condenser(runner.contract, given)
        if correction.weights is not None:
            self.head = _taught(runner.contract, head, correction.weights, correction.bias_um)

    def corrected(self, correction: Correction) -> "Predictor":
        """Return a predictor with the same engine and another correction in place of its own.

        Raises:
            InputMismatch: the model does not take it.
        """
        return Predictor(self.runner, *self._shipped, correction)

    @property
    def contract(self) -> Contract:
        """The contract of the model."""
        return self.runner.contract

    @property
    def range_um(self) -> float:
        """Largest distance that it can tell. A gain below 1 also reduces the distance at which the model saturates."""
        return self.contract.range_um * min(1.0, self.correction.gain)

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        """Predict the distance to focus of each patch.

        Args:
            batch: float32 (n, channels, patch_px, patch_px), normalised as the contract says.

        Raises:
            InputMismatch: the batch does not have the type and shape that the engine takes.
        """
        return self.read(self.runner.infer(batch))

    def read(self, outputs: NDArray[np.float32]) -> Prediction:
        """Predict from what the engine computes, float32 (n, outputs)."""
        found = Prediction(outputs[:, 0]) if self.head is None else self.head.predict(outputs, self.condenser)
        return _corrected(found, self.correction)


def _corrected(found: Prediction, correction: Correction) -> Prediction:
    gain, offset_um = np.float32(correction.gain), np.float32(correction.offset_um)
    scale = gain * np.float32(correction.sigma_scale)
    return replace(
        found,
        distance_um=found.distance_um * gain + offset_um,
        sigma_um=None if found.sigma_um is None else found.sigma_um * scale,
        strangeness_limit=max(found.strangeness_limit, correction.strangeness_limit or 0.0),
    )


def _taught(contract: Contract, head: Head | None, weights: NDArray[np.float32], bias_um: float) -> Head:
    """Return the head with `weights` and `bias_um` added to its last layer."""
    wanted = None if head is None else (len(head.layers[-1][0]), head.layers[-1][0].shape[2])
    if head is None or weights.shape != wanted:
        raise InputMismatch(
            f"use of model {contract.name} refused: the correction changes a head with a last layer of "
            f"{weights.shape}, the model's is {wanted or 'inside of its graph'}. Run `parfocal calibrate optics`."
        )
    return head.with_last(weights, bias_um)


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
