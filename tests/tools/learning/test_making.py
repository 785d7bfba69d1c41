"""Parts of features depend on their number only. Needs the training extra."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training extra is not installed")

from tools.learning.data import making
from tools.learning.data.features import Features
from tools.learning.data.making import Making


def made_of(out: Path, body: Path | None = None) -> Making:
    return Making(Path("tiles"), "pair", body, "20x/0.75", out, seed=1)


class Maker:
    """Makes pairs with random features, in some parts none of those whose maps were not computed."""

    def part(self, rng: np.random.Generator) -> dict[str, Features]:
        def some(n: int) -> Features:
            spectral, pooled = (rng.normal(size=(n, k)).astype(np.float32) for k in (2, 3))
            distance_um, contrast, condenser = rng.normal(size=(3, n)).astype(np.float32)
            return Features(
                spectral, pooled, distance_um, contrast, condenser, np.full(n, "made"), np.arange(n)
            )

        return {"pair": some(4), "spectral": some(2)} if rng.random() < 0.5 else {"pair": some(3)}


def test_a_stopped_run_goes_on_and_makes_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "maker_of", lambda _: Maker())
    one, two = made_of(tmp_path / "one"), made_of(tmp_path / "two")
    making.make_parts(one, range(8))
    making.make_parts(two, [1, 5])
    before = {path: path.stat().st_mtime_ns for path in two.out.rglob("*.npz")}
    making.make_parts(two, range(8))
    said: list[str] = []
    for kind in making.KINDS["pair"]:
        ours, theirs = (making.made(folder, kind, said.append) for folder in (one.out, two.out))
        for name, values in vars(ours).items():
            np.testing.assert_array_equal(values, vars(theirs)[name], err_msg=f"{kind} {name}")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(making.made(one.out, "pair", said.append)) > len(making.made(one.out, "spectral", said.append))
    with pytest.raises(SystemExit, match="has no parts of kind pair"):
        making.made(tmp_path, "pair", said.append)


def test_parts_name_what_they_are_made_from() -> None:
    assert making.source_of(made_of(Path("out"), Path("one.onnx"))) == "1 20x/0.75 pair of 448 px one.onnx"
    assert making.source_of(made_of(Path("out"))) == "1 20x/0.75 pair of 448 px spectra"
