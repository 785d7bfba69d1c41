"""The output of `parfocal scan`: its plan, each tile, and the result."""

from collections.abc import Callable
from functools import partial

from rich.console import Console

from parfocal.edge.cli.showing.say import say
from parfocal.edge.scan.continuous.plan import ForetoldSweeps, SweepPlan
from parfocal.edge.scan.tiling.plan import Foretold, TilePlan
from parfocal.edge.scan.tiling.report import ScanReport
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.words import counted, sized


def show_plan(console: Console, plan: TilePlan, foretold: Foretold, *, surveys: bool) -> None:
    """The tiles, how they are swept, and the time and space that they take. `surveys`: a survey comes first."""
    x_um, y_um = plan.overlap_um
    tiles, n_bytes = counted(len(plan.tiles), "tile"), sized(foretold.n_tiles * foretold.tile_bytes)
    say(console, f"plan: {tiles}, {plan.n_left_out} left out; overlap {x_um:.0f} x {y_um:.0f} um")
    is_swept, survey = isinstance(foretold, ForetoldSweeps), " and the survey" if surveys else ""
    if isinstance(foretold, ForetoldSweeps):
        _show_sweeps(console, foretold.sweeps)
    say(
        console,
        f"time: about {_clock(foretold.scan_s)}{survey}; the least that this stage allows is "
        f"{_clock(foretold.limit_s)}{', stopping for each tile' if is_swept else ''}",
    )
    say(
        console,
        f"space: about {n_bytes} for the tiles, {sized(foretold.needed_bytes)} with the slide made from them",
    )


def _show_sweeps(console: Console, sweeps: SweepPlan) -> None:
    alone = f", {counted(sweeps.n_alone, 'tile')} one by one" if sweeps.n_alone else ""
    say(
        console,
        f"sweeps: {counted(sweeps.n_rows, 'row')} along {sweeps.along.upper()}{alone}; "
        f"{sweeps.speed_um_per_s / 1000.0:.1f} mm/s, limited by the "
        f"{sweeps.limited_by}; flashes of {sweeps.flash_s * 1e6:.0f} us at a duty of {sweeps.duty:.2f}, "
        f"{sweeps.trigger}",
    )
    if sweeps.trigger.remark is not None:
        say(console, f"calibration: {sweeps.trigger.remark}")
    say(
        console,
        f"between rows: {_clock(sweeps.row_change_s)}; where Z turns round in a row it costs "
        f"{sweeps.reversal_s:.2f} s",
    )


def words_of(done: TileDone) -> str:
    """A tile that is finished."""
    tile = done.tile
    told = "uneven" if tile.uneven else "empty" if not tile.tissue else "taken"
    return (
        f"row {tile.row} column {tile.column} {told}{' again' if tile.retaken else ''} at {tile.z_um:.1f} um"
    )


def show_report(console: Console, report: ScanReport) -> None:
    """How a scan ended."""
    show: Callable[[str], None] = partial(say, console)
    show(
        f"{report.finished} of {counted(report.planned, 'tile')} finished in {report.out}: {report.tissue} with "
        f"tissue, {report.refocused} focused anew, {report.retaken} taken again, {report.uneven} uneven"
    )
    if report.s_per_tile is not None:
        show(
            f"{_clock(report.elapsed_s)} of microscope time, {report.s_per_tile:.3f} s a tile; survey "
            f"{_clock(report.survey_s)}"
        )
    if report.mean_abs_error_um is not None and report.within_depth_of_field is not None:
        show(
            f"focus error {report.mean_abs_error_um:.2f} um in the mean, "
            f"{100.0 * report.within_depth_of_field:.1f} % within a depth of field"
        )
    for due in report.due:
        show(due.told)


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120.0 else f"{seconds / 60.0:.1f} min"
