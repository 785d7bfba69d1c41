"""`parfocal engine` as a user types it."""

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.status import Status

from parfocal.edge.cli import app as cli
from parfocal.edge.cli import engine as cli_engine
from parfocal.edge.cli.engine import DETAIL_EVERY_S, _progress, outcomes_table, reasons, verdict
from parfocal.engines import build as build_module
from parfocal.engines.backends import OpenVinoMaker, maker_of
from parfocal.engines.build import Outcome
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.choose import Choice, Row, load_choices, save_choices
from parfocal.engines.gate import Deviation, refusal
from parfocal.engines.key import EngineKey
from parfocal.engines.model.golden import golden_path
from parfocal.engines.model.head import head_path
from parfocal.engines.model.shipped import list_models
from parfocal.engines.opening import open_chosen
from tests.compiled_once import share_compiled_models
from tests.engine_keys import KEY

Run = Callable[..., tuple[int, str, str]]


def parfocal_engine(arguments: tuple[object, ...]) -> int:
    """Run a command in this process; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["parfocal", "engine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command with an empty cache: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setattr(build_module, "N_TIMED", 3)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = parfocal_engine(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


BUILT = ("difference-20x", "spectral-20x")  # with convolutions, and without


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache with engines of two shipped models, not to be changed, and what the build printed on 80 columns."""
    folder, printed = tmp_path_factory.mktemp("built"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        share_compiled_models(patch)
        patch.setenv("COLUMNS", "80")
        patch.setattr(build_module, "N_TIMED", 3)
        code = parfocal_engine(
            ("build", *BUILT, "--backend", "openvino", "--threads", 1, "--json", folder / "built.json")
        )
    assert code == 0
    return folder, printed.getvalue()


@pytest.fixture
def run_built(run: Run, built: tuple[Path, str], tmp_path: Path) -> Run:
    """The same with these engines in the cache."""
    shutil.copytree(built[0] / "cache", tmp_path / "cache")
    return run


def test_engines_are_built_shown_and_kept(
    built: tuple[Path, str], run_built: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, printed = built
    assert "CHOSEN" in printed
    assert "nothing was built" not in printed
    outcomes = json.loads((folder / "built.json").read_text())
    assert all(outcome["built"] and outcome["row"]["ms_p50"] > 0 for outcome in outcomes)

    monkeypatch.setattr(build_module, "load_golden", pytest.fail)  # nothing is checked again
    code, printed, _ = run_built("build", *BUILT, "--backend", "openvino", "--threads", 1)
    assert (code, "nothing was built: every engine is up to date" in printed) == (0, True)

    code, printed, _ = run_built(
        "build", *BUILT, "--backend", "openvino", "--threads", 1, "--precision", "fp32"
    )
    assert (code, "CHOSEN as asked" in printed) == (0, True)

    code, printed, _ = run_built("list", "--json", "models.json")
    assert (code, "openvino fp32 (asked for)" in printed) == (0, True)
    assert json.loads((tmp_path / "models.json").read_text())[0]["choice"]["asked_for"]


def test_tables_fit_80_columns(
    built: tuple[Path, str], run_built: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, listed, _ = run_built("list")
    assert "…" not in built[1] + listed
    assert max(map(len, (built[1] + listed).splitlines())) <= 80
    assert "CHOSEN" in built[1]
    assert all(f"{name} on openvino, ms for a batch of" in built[1] for name in BUILT)
    assert all(model.contract.name in listed for model in list_models())


def test_the_largest_figures_and_all_reasons_fit_80_columns() -> None:
    far = Deviation(mean_um=19.5, max_um=19.537, error_growth_um=19.537, strayed_um=19.537, graph_um=9.5)
    row = Row(
        model="m", backend="openvino", precision="int8", int8_mode="explicit", batch=7, ms_p50=12345.67,
        ms_p95=23456.78, deviation=far, refused=refusal(far),
    )  # fmt: skip
    outcome = Outcome(row=row, built=True, chosen=True, asked_for=True)
    out = io.StringIO()
    Console(file=out, width=80).print(outcomes_table("difference-20x", "openvino", [outcome]))
    for shown in (
        "int8 (explicit)",
        "12345.7",
        "23456.8",
        "19.500",
        "19.537",
        "+19.537",
        "CHOSEN as asked",
    ):
        assert shown in out.getvalue()
    lines = reasons([outcome])
    assert len(lines) == 3
    assert max(map(len, [*lines, *out.getvalue().splitlines()])) <= 80


def test_the_steps_of_a_build_are_lines_without_a_terminal(built: tuple[Path, str]) -> None:
    steps = [line for line in built[1].splitlines() if line.endswith(("building", "checking"))]
    outcomes = json.loads((built[0] / "built.json").read_text())
    slots = [EngineKey(**{**o["row"]["key"], "batches": ()}).slot for o in outcomes]
    assert steps == [f"{slot}: {step}" for slot in slots for step in ("building", "checking")]
    assert "\x1b" not in built[1]


def test_the_details_of_a_step_are_lines_now_and_then() -> None:
    out, clock = io.StringIO(), [100.0]
    with _progress(Console(file=out, width=40), lambda: clock[0]) as (report, detail):
        report("m.tensorrt.fp16: building")
        for number in range(1, 26):
            clock[0] += DETAIL_EVERY_S / 4.0
            detail(f"[bold] layer {number}/25 of a name longer than the line")
    said = [f"[bold] layer {n}/25 of a name longer than the line" for n in (4, 8, 12, 16, 20, 24)]
    assert out.getvalue().splitlines() == ["m.tensorrt.fp16: building", *said]


def test_the_user_s_own_model_gets_an_engine_beside_the_shipped_one_of_that_name(
    run: Run, tmp_path: Path
) -> None:
    shipped = next(model for model in list_models() if model.contract.name == "difference-20x")
    own = tmp_path / "difference-20x.onnx"
    for part in (shipped.path, golden_path(shipped.path), head_path(shipped.path)):
        if part.exists():  # not the INT8 scales; a model without a head has no such file
            shutil.copy(part, tmp_path)
    cache = EngineCache(tmp_path / "cache" / "parfocal" / "engines")
    assert f"`parfocal engine build {own}`" in open_chosen(own, cache).description
    code, printed, _ = run("build", own, "--backend", "openvino", "--threads", 1)
    assert (code, "CHOSEN" in printed) == (0, True)
    assert "int8 failed: use of int8 of model difference-20x failed: it has no scales" in printed
    assert "no engine chosen yet" not in open_chosen(own, cache).description
    assert "no engine chosen yet" in open_chosen(shipped.path, cache).description


def test_a_model_without_a_working_engine_ends_with_the_engine_exit_code(run: Run) -> None:
    code, printed, error = run(
        "build", "--backend", "openvino", "--precision", "int8", "--int8-mode", "implicit"
    )
    assert code == 4
    assert "OpenVINO does not offer it" in printed
    assert error.startswith(
        "BuildFailed: no engine was built for difference-20x, difference-40x, single-10x, single-20x, "
        "single-40x, spectral-10x, spectral-20x; the reasons are above"
    )


def test_tensorrt_without_a_gpu_is_one_line(run: Run) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    code, _, error = run("build", "--backend", "tensorrt")
    assert code == 4
    assert error.startswith("BuildFailed: use of a CUDA device failed")
    assert error.count("\n") == 1


def test_layer_names_are_not_read_as_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = "model: Building {ForeignNode[/spectrum/MatMul...[/head/Add]]}"
    shown: list[str] = []
    update = Status.update

    def seen(status: Status, text: str) -> None:
        update(status, text)
        shown.append(str(status.renderable.text))

    monkeypatch.setattr(Status, "update", seen)
    with _progress(Console(file=io.StringIO(), force_terminal=True)) as (report, detail):
        report(layer)
        detail(layer)
    assert shown == [layer, layer]


def test_reasons_are_not_read_as_markup(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = "model: Building {ForeignNode[/spectrum/MatMul...[/head/Add]]}"
    maker, _ = maker_of("openvino", 1)
    monkeypatch.setattr(cli_engine, "maker_of", lambda *_: (maker, f"[/no] {layer}"))
    monkeypatch.setattr(cli_engine, "build_all", lambda *_, **__: [])
    _, printed, error = run("build")
    assert f"TensorRT is not used: [/no] {layer}" in printed
    assert error.startswith("BuildFailed: no engine was built for")


def test_tensorrt_engines_are_never_replaced_by_cpu_engines_unasked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = list_models()[0]
    key = msgspec.structs.replace(KEY, model=model.label)
    before = {model.label: Choice(key=key, asked_for=False, rows=())}
    save_choices(EngineCache(default_cache_folder()), before)
    monkeypatch.setattr(cli_engine, "maker_of", lambda *_: (OpenVinoMaker(1), "the driver refuses."))
    code, _, error = run("build")
    assert code == 4
    assert "the driver refuses. Nothing was changed." in error
    assert load_choices(EngineCache(default_cache_folder())) == before


def test_a_model_named_twice_is_built_once(run: Run) -> None:
    path = list_models()[0].path
    code, printed, _ = run("build", "difference-20x", path, "--backend", "openvino", "--precision", "fp32")
    assert (code, printed.count("difference-20x on openvino")) == (0, 1)
    assert "single-20x" not in printed


def test_build_reports_a_damaged_choice_and_chooses_again(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "parfocal" / "engines"
    folder.mkdir(parents=True)
    (folder / "choice.json").write_text("{")
    code, printed, _ = run("build", "difference-20x", "--backend", "openvino", "--precision", "fp32")
    assert code == 0
    assert "choice.json is invalid" in printed
    assert "Choosing again from scratch" in printed


def test_list_says_which_engine_is_damaged_or_gone(run_built: Run, tmp_path: Path) -> None:
    engines = tmp_path / "cache" / "parfocal" / "engines"
    first, second = (load_choices(EngineCache(engines))[name].key for name in BUILT)
    (engines / f"{first.slot}.{first.digest}.engine").write_bytes(b"damaged")
    (engines / f"{second.slot}.{second.digest}.engine").unlink()
    code, printed, _ = run_built("list", "--json", "models.json")
    assert (code, printed.count(": cannot be used")) == (0, 2)
    assert f"engine {first.slot} is damaged" in printed
    assert f"engine {second.slot} cannot be read" in printed
    listed = {one["name"]: one["problem"] for one in json.loads((tmp_path / "models.json").read_text())}
    assert [name for name, problem in listed.items() if problem is not None] == list(BUILT)


def test_list_reports_a_damaged_choice_on_one_line(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "parfocal" / "engines"
    folder.mkdir(parents=True)
    (folder / "choice.json").write_text("{")
    code, _, error = run("list")
    assert code == 4
    assert "choice.json is invalid" in error


@pytest.mark.parametrize(
    ("chosen", "asked_for", "refused", "failed", "said", "why"),
    [
        (True, False, "", "", "CHOSEN", []),
        (False, False, "", "", "passed", []),
        (False, False, "too far off", "", "refused", ["int8 refused: too far off"]),
        (False, False, "strays; far", "", "refused", ["int8 refused: strays", "int8 refused: far"]),
        (False, False, "", "no memory", "failed", ["int8 failed: no memory"]),
        (True, True, "too far off", "", "CHOSEN as asked", ["int8 refused: too far off"]),
    ],
)
def test_the_verdict_on_an_engine_has_its_reasons(
    chosen: bool, asked_for: bool, refused: str, failed: str, said: str, why: list[str]
) -> None:
    row = Row(
        model="m", backend="openvino", precision="int8", int8_mode="explicit", refused=refused, failed=failed
    )
    outcome = Outcome(row=row, built=False, chosen=chosen, asked_for=asked_for)
    assert verdict(outcome) == said
    assert reasons([outcome]) == why


def test_every_model_without_an_engine_is_named() -> None:
    models = list_models()
    assert cli_engine._without_engine(models, []) == [model.contract.name for model in models]
