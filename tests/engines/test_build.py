"""`build_all` on the CPU, with the real OpenVINO: building, caching, checking and choosing; and bad input."""

import errno
import os
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.engines import build as build_module
from parfocal.engines.backends import OpenVinoMaker
from parfocal.engines.build import Outcome
from parfocal.engines.cache import EngineCache
from parfocal.engines.choose import CHOICE_FILE, load_choices, save_choices
from parfocal.engines.cpu.openvino import cpu_and_precisions
from parfocal.engines.errors import EngineStale, InputMismatch
from parfocal.engines.gate import RULES_VERSION, predictions_um
from parfocal.engines.key import EngineKey
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.forms import int8_graph_um, int8_path
from parfocal.engines.model.golden import golden_path, load_golden
from parfocal.engines.model.shipped import Model, list_models, model_at
from parfocal.engines.opening import open_chosen
from parfocal.engines.predictor import Predictor
from parfocal.engines.runner import Runner
from tests.engines.building import build_all
from tests.engines.conftest import written_golden, written_model, written_scales

MakeModel = Callable[..., Path]
PRECISIONS = cpu_and_precisions()[1]


@pytest.fixture(autouse=True, scope="module")
def one_name() -> Iterator[None]:
    """Let copies of a model share their engines, as the shipped models do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "label", property(lambda model: model.contract.name))
        yield


@pytest.fixture
def model(equipped: Path) -> Model:
    return list_models(equipped.parent)[0]


@pytest.fixture(scope="module")
def built_once(equipped_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all engines of the model. Copy it; do not change it."""
    folder = tmp_path_factory.mktemp("engines")
    build_all(list_models(equipped_once), OpenVinoMaker(1), EngineCache(folder))
    return folder


@pytest.fixture
def cache(built_once: Path, tmp_path: Path) -> EngineCache:
    """Engines of the model, built and chosen."""
    shutil.copytree(built_once, tmp_path / "engines")
    return EngineCache(tmp_path / "engines")


class FixedRunner:
    """A runner that predicts given values for the golden patches."""

    def __init__(self, model: Model, fixed_um: NDArray[np.float32]) -> None:
        self.contract = model.contract
        self._patches, self._fixed_um = load_golden(model.path).batch, fixed_um

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        indices = [int((self._patches == patch).all(axis=(1, 2, 3)).argmax()) for patch in batch]
        return self._fixed_um[indices][:, None]


@pytest.fixture
def empty_cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "empty")


def built(model: Model, cache: EngineCache) -> list[Outcome]:
    return build_all([model], OpenVinoMaker(1), cache)


def test_every_precision_of_the_cpu_is_built_checked_and_timed(
    model: Model, empty_cache: EngineCache
) -> None:
    outcomes = built(model, empty_cache)
    assert tuple(outcome.row.precision for outcome in outcomes) == PRECISIONS
    assert all(outcome.built and not outcome.row.failed for outcome in outcomes)
    fp32 = outcomes[0].row
    assert fp32.deviation is not None
    assert fp32.deviation.max_um < 1e-3
    assert 0.0 < (fp32.ms_p50 or 0.0) <= (fp32.ms_p95 or 0.0)
    assert [outcome.chosen for outcome in outcomes].count(True) == 1


def test_nothing_is_built_or_checked_when_nothing_changed(
    model: Model, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_choices(cache)["small"].rows
    monkeypatch.setattr(build_module, "load_golden", pytest.fail)  # every check starts by loading the patches
    before = {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()}
    again = built(model, cache)
    assert tuple(outcome.row for outcome in again) == first
    assert not any(outcome.built for outcome in again)
    assert {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()} == before


@pytest.mark.parametrize("precision", PRECISIONS)
def test_requested_precision_is_used_and_says_so(model: Model, cache: EngineCache, precision: str) -> None:
    (outcome,) = build_all([model], OpenVinoMaker(1), cache, precision=precision)  # type: ignore[arg-type]
    assert (outcome.chosen, outcome.asked_for, outcome.built) == (True, True, False)
    opened = open_chosen(model.path, cache)
    assert f"openvino in {precision}" in opened.description
    assert "precision asked for" in opened.description
    assert len(load_choices(cache)["small"].rows) == len(PRECISIONS)
    (back, *_) = [outcome for outcome in built(model, cache) if outcome.chosen]
    assert not back.asked_for


def test_chosen_engine_predicts_what_was_checked(model: Model, cache: EngineCache) -> None:
    (chosen,) = [outcome.row for outcome in built(model, cache) if outcome.chosen]
    golden = load_golden(model.path)
    found_um = open_chosen(model.path, cache).predictor.predict(golden.batch[:4]).distance_um
    assert chosen.deviation is not None
    assert np.abs(found_um - golden.reference_um[:4]).max() <= chosen.deviation.max_um + 1e-5


def test_inaccurate_engine_is_refused_with_the_figures_and_not_chosen(
    model: Model, cache: EngineCache
) -> None:
    """With references that are wrong by 9 um, every engine deviates by 9 um."""
    golden = load_golden(model.path)
    written_golden(model.path, golden.distance_um, golden.distance_um + 9.0)
    outcomes = built(model, cache)
    assert all("um off within +-5 um, limit 0.5 um" in outcome.row.refused for outcome in outcomes)
    assert not any(outcome.chosen for outcome in outcomes)
    (forced,) = build_all([model], OpenVinoMaker(1), cache, precision="fp32")
    assert forced.chosen
    assert "although the accuracy gate refuses it: " in open_chosen(model.path, cache).description


def test_int8_engine_that_deviates_from_its_graph_is_refused_even_if_closer_to_the_truth(
    model: Model, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = OpenVinoMaker.open

    def straying(maker: OpenVinoMaker, engine: bytes, key: EngineKey, contract: Contract) -> Runner:
        if key.precision == "int8":
            return FixedRunner(model, int8_graph_um(model.path) + np.float32(0.2))
        return opened(maker, engine, key, contract)

    monkeypatch.setattr(OpenVinoMaker, "open", straying)
    choice = load_choices(cache)["small"]
    save_choices(cache, {"small": msgspec.structs.replace(choice, rows=())})
    rows = {outcome.row.precision: outcome.row for outcome in built(model, cache)}
    assert rows["int8"].refused.startswith("deviates 0.200 um from its own graph, limit")
    assert rows["int8"].deviation is not None
    assert rows["int8"].deviation.error_growth_um < 0.0
    assert not rows["fp32"].refused


def test_int8_engine_computes_its_graph_or_is_refused(model: Model, cache: EngineCache) -> None:
    (row,) = [outcome.row for outcome in built(model, cache) if outcome.row.precision == "int8"]
    engine = OpenVinoMaker(1).open(cache.load(row.key), row.key, model.contract)  # type: ignore[arg-type]
    found_um = predictions_um(Predictor(engine), load_golden(model.path), 4)
    strayed_um = float(np.abs(found_um - int8_graph_um(model.path)).mean())
    assert row.deviation is not None
    assert row.deviation.strayed_um == pytest.approx(strayed_um, abs=1e-5)
    assert strayed_um < 0.03 or "from its own graph" in row.refused


def test_engine_checked_by_older_rules_is_checked_again_without_building(
    model: Model, cache: EngineCache
) -> None:
    choice = load_choices(cache)["small"]
    older = tuple(msgspec.structs.replace(row, rules=1, refused="") for row in choice.rows)
    save_choices(cache, {"small": msgspec.structs.replace(choice, rows=older)})
    outcomes = built(model, cache)
    assert not any(outcome.built for outcome in outcomes)
    assert [o.row.refused for o in outcomes] == [row.refused for row in choice.rows]
    assert all(o.row.rules == RULES_VERSION for o in outcomes)


def test_engine_is_checked_on_new_golden_patches_without_building(model: Model, cache: EngineCache) -> None:
    golden = load_golden(model.path)
    written_golden(model.path, golden.distance_um, golden.reference_um + 2.0)
    outcomes = built(model, cache)
    assert not any(outcome.built for outcome in outcomes)
    assert all(outcome.row.refused for outcome in outcomes)


def test_new_model_makes_every_engine_stale_until_it_is_built(model: Model, cache: EngineCache) -> None:
    written_scales(written_model(model.path.parent, msgspec.structs.replace(model.contract, range_um=12.0)))
    (longer,) = list_models(model.path.parent)
    with pytest.raises(EngineStale, match="the engine chosen for small is stale: onnx_sha256 was"):
        open_chosen(longer.path, cache)
    assert all(outcome.built for outcome in built(longer, cache))
    assert open_chosen(longer.path, cache).predictor.contract.range_um == 12.0


def test_number_of_threads_is_part_of_the_key(model: Model, cache: EngineCache) -> None:
    assert all(outcome.built for outcome in build_all([model], OpenVinoMaker(2), cache))
    assert load_choices(cache)["small"].key.n_threads == 2


def test_damaged_engine_is_built_again(model: Model, cache: EngineCache) -> None:
    key = load_choices(cache)["small"].key
    (engine,) = cache.folder.glob(f"*.{key.digest}.engine")
    engine.write_bytes(b"nothing")
    with pytest.raises(EngineStale, match="is damaged"):
        open_chosen(model.path, cache)
    assert [outcome.built for outcome in built(model, cache)].count(True) == 1
    open_chosen(model.path, cache)


def test_engine_that_openvino_refuses_is_stale(model: Model) -> None:
    maker = OpenVinoMaker(1)
    key = maker.key(model, "fp32", "none")
    with pytest.raises(EngineStale, match="OpenVINO refuses the engine of model small") as stale:
        maker.open(b"no engine", key, model.contract)
    assert "\n" not in str(stale.value)


def test_damaged_choice_says_what_to_delete(model: Model, cache: EngineCache) -> None:
    (cache.folder / CHOICE_FILE).write_text('{"format_version": 2, "models": {}}')
    with pytest.raises(EngineStale, match=r"choice\.json is invalid: .*Delete it"):
        open_chosen(model.path, cache)


def test_damaged_choice_is_made_again_without_building(model: Model, cache: EngineCache) -> None:
    (cache.folder / CHOICE_FILE).write_text("{")
    said: list[str] = []
    outcomes = build_all([model], OpenVinoMaker(1), cache, report=said.append)
    assert any("is invalid" in text for text in said)
    assert [outcome.built for outcome in outcomes] == [False] * len(PRECISIONS)
    open_chosen(model.path, cache)


def test_unreadable_choice_is_not_treated_as_missing(model: Model, cache: EngineCache) -> None:
    (cache.folder / CHOICE_FILE).unlink()
    (cache.folder / CHOICE_FILE).mkdir()
    with pytest.raises(EngineStale, match="Grant access"):
        open_chosen(model.path, cache)


def test_old_engine_keeps_predicting_if_no_new_one_is_chosen(model: Model, cache: EngineCache) -> None:
    golden = load_golden(model.path)
    written_golden(model.path, golden.distance_um, golden.reference_um + 9.0)
    refused = build_all([model], OpenVinoMaker(2), cache)
    assert not any(outcome.chosen for outcome in refused)
    assert open_chosen(model.path, cache).predictor.predict(
        np.zeros((4, 3, 32, 32), np.float32)
    ).distance_um.shape == (4,)
    assert not any(outcome.built for outcome in build_all([model], OpenVinoMaker(2), cache))


def test_golden_patches_far_from_the_focus_are_refused(model: Model, cache: EngineCache) -> None:
    golden = load_golden(model.path)
    written_golden(model.path, np.full(6, 8.0, np.float32), golden.reference_um)
    assert all("none of its 6 golden patches is within 5 um" in o.row.failed for o in built(model, cache))


def test_parallel_builds_keep_each_other_s_engines(
    model: Model, empty_cache: EngineCache, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other_path = written_model(tmp_path / "elsewhere", msgspec.structs.replace(model.contract, name="other"))
    written_scales(other_path)
    other = model_at(other_path)
    threads = [
        threading.Thread(target=build_all, args=([m], OpenVinoMaker(n), empty_cache))
        for m, n in ((model, 1), (other, 1), (model, 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in (model.path, other.path):
        assert "no engine chosen yet" not in open_chosen(path, empty_cache).description


def test_engines_that_no_choice_uses_are_removed(model: Model, cache: EngineCache) -> None:
    build_all([model], OpenVinoMaker(2), cache)
    keys = {row.key.digest for row in load_choices(cache)["small"].rows if row.key is not None}
    assert {path.name.split(".")[-2] for path in cache.folder.glob("*.engine")} == keys


def corrupt_scales(model: Model) -> None:
    path = int8_path(model.path)
    path.write_bytes(path.read_bytes()[:-90])


def no_scales(model: Model) -> None:
    int8_path(model.path).unlink()


def no_golden(model: Model) -> None:
    golden_path(model.path).unlink()


@pytest.mark.parametrize(
    ("damage", "failing", "said"),
    [
        (corrupt_scales, {"int8"}, "small.int8.json failed: Input data was truncated"),
        (no_scales, {"int8"}, "it has no scales"),
        (no_golden, set(PRECISIONS), "Restore the file"),
    ],
)
def test_bad_input_fails_only_the_engines_that_need_it(
    model: Model, cache: EngineCache, damage: Callable[[Model], None], failing: set[str], said: str
) -> None:
    damage(model)
    outcomes = built(model, cache)
    assert {outcome.row.precision for outcome in outcomes if outcome.row.failed} == failing & set(PRECISIONS)
    assert all(said in outcome.row.failed for outcome in outcomes if outcome.row.failed)
    assert open_chosen(model.path, cache).predictor.predict(
        np.zeros((4, 3, 32, 32), np.float32)
    ).distance_um.shape == (4,)


def test_full_disk_fails_each_build_and_the_old_engine_keeps_predicting(
    model: Model, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:

        def no_room(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(os, "fsync", no_room)
        outcomes = build_all([model], OpenVinoMaker(2), cache)
    assert all("No space left on device" in outcome.row.failed for outcome in outcomes)
    assert not any(outcome.chosen for outcome in outcomes)
    open_chosen(model.path, cache).predictor.predict(np.zeros((4, 3, 32, 32), np.float32))


def test_engine_with_a_fixed_batch_refuses_another(model: Model, cache: EngineCache) -> None:
    with pytest.raises(
        InputMismatch, match=r"the batch is float32 \(5, 3, 32, 32\), the model takes float32 \(4,"
    ):
        open_chosen(model.path, cache).predictor.predict(np.zeros((5, 3, 32, 32), np.float32))


def test_openvino_refuses_implicit_int8(model: Model, cache: EngineCache) -> None:
    outcomes = build_all([model], OpenVinoMaker(1), cache, int8_mode="implicit")
    (implicit,) = [outcome for outcome in outcomes if outcome.row.int8_mode == "implicit"]
    assert "--int8-mode explicit" in implicit.row.failed
    assert any(outcome.chosen for outcome in outcomes)


def test_prediction_allocates_nothing_but_its_result(model: Model, cache: EngineCache) -> None:
    runner = open_chosen(model.path, cache).predictor.runner
    batch = np.zeros((4, 3, 32, 32), np.float32)
    for _ in range(3):
        runner.infer(batch)
    tracemalloc.start()
    runner.infer(batch)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < batch.nbytes / 4


def test_choices_of_other_models_are_kept(model: Model, cache: EngineCache) -> None:
    choices = load_choices(cache)
    other = msgspec.structs.replace(choices["small"].key, model="other")
    cache.write(
        CHOICE_FILE,
        msgspec.json.encode(
            {
                "format_version": 1,
                "models": {**choices, "other": msgspec.structs.replace(choices["small"], key=other)},
            }
        ),
    )
    build_all([model], OpenVinoMaker(1), cache, precision="fp32")
    assert load_choices(cache)["other"].key == other
