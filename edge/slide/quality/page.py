"""The page of a scan's quality: one HTML file with pictures and maps in it, for people; its figures are the JSON's."""

import base64
import html
from collections.abc import Sequence

import numpy as np

from parfocal.edge.images.chunks import jpeg_of
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.slide.quality.map import DIVERGING, RISING, Square, map_of
from parfocal.edge.slide.quality.report import Pictures, QualityReport, Shown, TileQuality
from parfocal.edge.stitch.stitching import Seam

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body{{font:14px/1.45 system-ui,sans-serif;color:#222;max-width:1180px;margin:1.5em auto;padding:0 1em}}
h1{{font-size:1.5em}}h2{{font-size:1.15em;margin-top:1.6em}}table{{border-collapse:collapse}}
td,th{{text-align:left;padding:.25em .8em;border-bottom:1px solid #ddd}}td.number{{text-align:right}}
.row{{display:flex;flex-wrap:wrap;gap:20px;align-items:flex-start}}figure{{margin:0}}
figcaption{{color:#555;max-width:360px}}img{{border:1px solid #ddd;max-width:100%}}.poor{{color:#a00}}
</style></head><body>
<h1>{title}</h1>
<p>{about}</p>
<div class="row"><figure>{thumbnail}<figcaption>the slide as the stage lays it out</figcaption></figure>
<table>{figures}</table></div>
<h2>Focus</h2>
<div class="row">{maps}</div>
<h2>Worst tiles</h2>
{worst}
<h2>Taken again, or uneven</h2>
{retaken}
<h2>Seams</h2>
{seams}
</body></html>
"""
MAX_ROWS = 40
N_WORST_SEAMS = 10


def page_of(report: QualityReport, pictures: Pictures, program_version: str) -> str:
    """The page, self-contained."""
    calibration = (
        "without a calibration" if report.calibration is None else f"calibration {report.calibration}"
    )
    return PAGE.format(
        title=html.escape(f"Scan of {report.slide}"),
        about=html.escape(f"{calibration}; page made by parfocal {program_version}"),
        thumbnail=_image(pictures.thumbnail, "the slide"),
        figures="".join(_figures(report)),
        maps="".join(_maps(report)),
        worst=_worst(pictures.worst),
        retaken=_retaken(report.tiles),
        seams=_seams(report),
    )


def _figures(report: QualityReport) -> list[str]:
    lines = [
        ("tiles", f"{report.finished} of {report.planned}", report.finished < report.planned),
        ("with tissue", str(report.tissue), False),
        ("damaged files", str(report.damaged), report.damaged > 0),
        ("depth of field", f"{report.depth_of_field_um:.2f} um", False),
        ("focus measured in", f"{report.measured} even tiles", False),
        ("... focused by two shots", str(report.by_two_shots), False),
        ("... not in", f"{report.unmeasured} with little tissue", False),
        ("focus error, mean", _um(report.mean_abs_focus_um), False),
        ("focus error, p95", _um(report.p95_abs_focus_um), False),
        ("within half a depth of field", _percent(report.within_half_depth), False),
        (
            "within one depth of field",
            _percent(report.within_depth),
            report.within_depth is not None and report.within_depth < 0.99,
        ),
        ("uneven", str(report.uneven), False),
        ("taken again", str(report.retaken), False),
        ("blurred by the independent measure", str(report.blurred), False),
        ("... though taken for sharp", str(report.slipped), report.slipped > 0),
        ("time for tiles", _seconds(report.tiles_s), False),
        ("... of these taken again", _seconds(report.retaken_s), False),
    ]
    if report.stitched_tiles is not None:
        of_all, is_outdated = f"{report.stitched_tiles} of {report.finished}", is_stitch_outdated(report)
        lines.append(("in the stitched slide as they are", of_all, is_outdated))
    if report.stitched is not None:
        lines.append(("time to stitch (computing)", _seconds(report.stitched.stitch_s), False))
        lines.append(("time to write the master", _seconds(report.stitched.write_s), False))
    return [
        f"<tr><td>{html.escape(name)}</td><td class='number{' poor' if is_poor else ''}'>{html.escape(value)}</td></tr>"
        for name, value, is_poor in lines
    ]


def _maps(report: QualityReport) -> list[str]:
    tissue = [tile for tile in report.tiles if tile.tissue]
    heights = np.array([tile.z_um for tile in tissue or report.tiles])
    limits = (float(heights.min()), float(heights.max())) if len(heights) else (0.0, 1.0)
    fine = np.array([tile.fineness for tile in report.tiles if tile.fineness is not None])
    usual = float(np.median(fine)) if len(fine) else 0.0
    depth_um = report.depth_of_field_um

    def squares(values: Sequence[float | None], marked: Sequence[bool]) -> list[Square]:
        return [Square(t.row, t.column, v, m) for t, v, m in zip(report.tiles, values, marked, strict=True)]

    return [
        map_of(
            "Focus map: height of each tile with tissue; framed: taken again",
            "um",
            squares(
                [t.z_um if t.tissue else None for t in report.tiles], [t.retaken > 0 for t in report.tiles]
            ),
            limits,
            RISING,
        ),
        map_of(
            "Focus error: the focus above the tile, as measured; framed: more than half a depth of field, uneven, "
            "or not measured",
            "um",
            squares(
                [t.focus_um for t in report.tiles],
                [t.fault in ("out of focus", "uneven", "not measured") for t in report.tiles],
            ),
            (-depth_um, depth_um),
            DIVERGING,
        ),
        map_of(
            "Fineness, an independent measure of sharpness, beside the median of the slide; framed: blurred",
            "",
            squares(
                [None if t.fineness is None else t.fineness - usual for t in report.tiles],
                [t.fault == "blurred" for t in report.tiles],
            ),
            (-0.6, 0.6),
            DIVERGING[::-1],
        ),
    ]


def _worst(shown: Sequence[Shown]) -> str:
    if not shown:
        return "<p>No tile is out of focus, blurred or uneven.</p>"
    figures = []
    for one in shown:
        tile = one.tile
        focus = "" if tile.focus_um is None else f", focus {tile.focus_um:+.2f} um"
        words = f"row {tile.row}, column {tile.column}: {tile.fault}{focus}"
        figures.append(
            f"<figure>{_image(one.pixels, words)}<figcaption>{html.escape(words)}</figcaption></figure>"
        )
    return f"<div class='row'>{''.join(figures)}</div>"


def _retaken(tiles: Sequence[TileQuality]) -> str:
    again = [tile for tile in tiles if tile.retaken or tile.reason]
    if not again:
        return "<p>No tile was taken again.</p>"
    rows = [
        [str(tile.row), str(tile.column), str(tile.retaken), tile.reason or "", _um(tile.focus_um)]
        for tile in again[:MAX_ROWS]
    ]
    more = f"<p>... and {len(again) - MAX_ROWS} more, see the JSON.</p>" if len(again) > MAX_ROWS else ""
    return _table(("row", "column", "times", "why", "focus error now"), rows) + more


def is_stitch_outdated(report: QualityReport) -> bool:
    """Whether tiles were taken after the slide was stitched."""
    return report.stitched_tiles is not None and report.stitched_tiles < report.finished


def _seams(report: QualityReport) -> str:
    if report.stitched is None:
        is_new = report.stitched_tiles is None
        return f"<p>{'The slide has not been stitched yet' if is_new else 'How it was stitched is not known'}.</p>"
    fit = report.stitched.stitch
    told = (
        f"{fit.seams_used} of {fit.seams} seams were used; the others hold by the stage. "
        f"Residual: median {_px(fit.median_residual_px)}, p95 {_px(fit.p95_residual_px)}. "
        f"Steps of the stage were off by {_um(fit.stage_step_error_um)} (rms)."
    )
    if is_stitch_outdated(report):
        older = (
            f"This is of a stitch that holds {report.stitched_tiles} of the {report.finished} tiles as they are now. "
            "Run parfocal stitch again."
        )
        return f"<p class='poor'>{html.escape(older)}</p><p>{html.escape(told)}</p>"
    if fit.tiles != report.finished:  # seams name their tiles by numbers of then, which are others by now
        return f"<p>{html.escape(told)}</p>"
    used = [seam for seam in report.stitched.seams if seam.used and seam.residual_px is not None]
    worst = sorted(used, key=_residual, reverse=True)[:N_WORST_SEAMS]
    names = [f"{tile.row}, {tile.column}" for tile in report.tiles]
    rows = [
        [names[s.first], names[s.second], f"{_residual(s):.2f}", f"{s.correlation or 0.0:.2f}"] for s in worst
    ]
    table = _table(("tile (row, column)", "neighbour", "residual px", "correlation"), rows) if rows else ""
    return f"<p>{html.escape(told)}</p>{table}"


def _residual(seam: Seam) -> float:
    return float(np.hypot(*(seam.residual_px or (0.0, 0.0))))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _image(pixels: UInt8Array, words: str) -> str:
    data = base64.b64encode(jpeg_of(pixels)).decode("ascii")
    return f'<img alt="{html.escape(words, quote=True)}" src="data:image/jpeg;base64,{data}">'


def _um(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f} um"


def _px(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f} px"


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{100.0 * value:.1f} %"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120.0 else f"{value / 60.0:.1f} min"
