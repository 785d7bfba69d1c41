"""The head that a training begins with: a new one, one that is trained further, or new members beside trained ones."""

from dataclasses import dataclass, replace
from pathlib import Path

from parfocal.engines.model.contract import CondenserTerms, contract_from_onnx
from parfocal.engines.model.head import Head as HeadArrays
from parfocal.engines.model.head import load_head
from tools.learning import fit
from tools.learning.data.features import Features
from tools.learning.start import summary_from
from tools.networks.focus import FocusNet, Head, head_of


@dataclass(frozen=True)
class Begun:
    """What is trained.

    Attributes:
        head: to be trained.
        condensers: condensers that it takes.
        is_new: whether it has learned nothing yet.
        kept: trained head whose members join it afterwards.
    """

    head: Head
    condensers: CondenserTerms | None
    is_new: bool = True
    kept: HeadArrays | None = None


def new_head(net: FocusNet, training: Features, unit_um: float) -> Begun:
    """Return a new head, and set how `net` summarises its maps. It computes in units of `unit_um`."""
    condensers = fit.condensers_of(training)
    fit.prepare_summary(net, training)
    return Begun(
        _prepared(net, training, condensers, Head(net.n_features, condensers is not None, unit_um)),
        condensers,
    )


def head_from(
    net: FocusNet,
    start: Path,
    training: Features,
    unit_um: float,
    added: int | None = None,
    kept: int | None = None,
) -> Begun | None:
    """Return the head of the model `start`, or `added` new members that are to join it; None if it has no head.

    Of the head's members the first `kept` stay, None for all.
    `net` then summarises its maps as that model does. Raises ValueError if it cannot, or if there is nothing to join.
    """
    contract = contract_from_onnx(start)
    trained = load_head(start, contract)
    if trained is None or contract.head is None:
        if added is not None:
            raise ValueError(f"{start} has no head that members could join: leave out --add-members")
        return None
    condensers = contract.head.condenser
    if net.summary is not None:
        summary_from(net, start)
    if added is None:
        return Begun(head_of(trained, condensers is not None), condensers, is_new=False)
    members = Head(net.n_features, condensers is not None, unit_um, added)
    return Begun(_prepared(net, training, condensers, members), condensers, kept=_first(trained, kept))


def _first(head: HeadArrays, members: int | None) -> HeadArrays:
    return replace(head, layers=tuple((weight[:members], bias[:members]) for weight, bias in head.layers))


def _prepared(net: FocusNet, training: Features, condensers: CondenserTerms | None, head: Head) -> Head:
    fit.prepare_head(head, fit.inputs_of(net, training, condensers))
    return head
