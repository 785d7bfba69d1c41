"""Features are computed once per stack, and again if the stack or the body has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from tests.tools.learning.test_examples import SIDE_PX, written  # noqa: E402
from tools.learning.data import kept_features  # noqa: E402
from tools.learning.data.examples import Examples  # noqa: E402
from tools.learning.data.features import Features, features_of  # noqa: E402
from tools.networks.focus import FocusNet  # noqa: E402
from tools.networks.two_shot import TwoShotNet  # noqa: E402

Heard = Callable[[], tuple[Features, int]]


@pytest.fixture
def net() -> FocusNet:
    torch.manual_seed(1)
    net = FocusNet(TwoShotNet(6), 6, SIDE_PX)
    net.eval()
    return net


@pytest.fixture
def heard(tmp_path: Path, net: FocusNet, monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Return the features of five stacks in three parts, and how many parts were computed."""
    monkeypatch.setattr(kept_features, "STACKS_AT_ONCE", 2)
    for number, focus_z_um in enumerate((97.0, 98.0, 99.0, 100.0, 101.0)):
        written(tmp_path / "data", f"field-{number}", focus_z_um)
    computed = []

    def counted(net: FocusNet, examples: Examples, device: str) -> Features:
        computed.append(1)
        return features_of(net, examples, device)

    monkeypatch.setattr(kept_features, "features_of", counted)

    def heard() -> tuple[Features, int]:
        computed.clear()
        examples = Examples(tmp_path / "data", "pair", 2.0, SIDE_PX)
        found = kept_features.of_folder(net, examples, "cpu", tmp_path / "kept", lambda _: None)
        return found, len(computed)

    return heard


def test_a_stopped_run_resumes(heard: Heard, tmp_path: Path) -> None:
    whole, computed = heard()
    assert computed == 3
    assert len(set(whole.plane)) == len(whole) == 10  # two pairs of shots per stack, one patch per pair
    (tmp_path / "kept" / "0001.npz").unlink()
    (tmp_path / "kept" / "0002.npz").write_bytes(b"PK cut off")
    again, computed = heard()
    assert computed == 2
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(vars(again)[name], values, err_msg=name)


def test_features_of_a_changed_stack_are_computed_again(heard: Heard, tmp_path: Path) -> None:
    before, _ = heard()
    written(tmp_path / "data", "field-2", focus_z_um=97.5)
    os.utime(
        tmp_path / "data" / "field-2.ome.tiff", ns=(1, 1)
    )  # whatever the resolution of the file system clock
    after, computed = heard()
    assert computed == 1
    changed = before.distance_um != after.distance_um
    np.testing.assert_array_equal(np.flatnonzero(changed), [4, 5])


def test_features_do_not_depend_on_the_linear_head_of_the_body(heard: Heard, net: FocusNet) -> None:
    heard()
    assert net.body is not None
    with torch.no_grad():
        net.body.head.weight.add_(1.0)
    assert heard()[1] == 0


def test_features_of_another_body_are_computed_again(heard: Heard, net: FocusNet) -> None:
    before, _ = heard()
    assert net.body is not None
    with torch.no_grad():
        next(net.body.parameters()).add_(0.1)
    after, computed = heard()
    assert computed == 3
    assert not np.allclose(before.pooled, after.pooled)
    np.testing.assert_array_equal(before.spectral, after.spectral)


def test_an_empty_folder_is_named(net: FocusNet, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="contains no usable stack"):
        kept_features.of_folder(
            net, Examples(tmp_path, "pair", 2.0, SIDE_PX), "cpu", tmp_path / "k", lambda _: None
        )
