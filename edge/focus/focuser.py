"""Focuses field after field: by the paper's rule, or by a controller that takes as few shots as it can."""

from parfocal.board.axis import Axis
from parfocal.edge.camera.frame import Camera
from parfocal.edge.config import FocusConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus import first_plane
from parfocal.edge.focus.controlled.loop import ControlledLoop
from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.first_plane import FirstSweep
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.judging.proof import CALIBRATED, Proof
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.focus.search import leaves_trace, search
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.two_shot import focused_by_pairs
from parfocal.engines.predictor import Predictor


class Focuser:
    """Focuses field after field. The stage only ever arrives at a height from below."""

    def __init__(
        self,
        axis: Axis,
        camera: Camera,
        predictor: Predictor,
        config: FocusConfig,
        single: Predictor | None = None,
        proof: Proof = CALIBRATED,
        measures: bool = False,
        above_sharpest_um: float | None = None,
    ) -> None:
        """`predictor` takes two shots; `single`, for the controller, takes one. Nothing moves.

        `proof`: `Proof()` if it is not known that the predictions hold on this microscope. `measures`: only the height
        of the focus is wanted, so a field may be left out of focus by what `FocusResult.left_um` says.
        `above_sharpest_um`: how far the focus is above the sharpest plane, None if that was not calibrated.
        """
        self._work = FieldWork(axis, camera, config, proof)
        self._predictor = predictor
        self._config = config
        self._reach = rule.reach_of(predictor.contract.range_um, config, predictor.range_um)
        self._controlled = (
            ControlledLoop(self._work, predictor, single, self._reach, measures, above_sharpest_um)
            if config.strategy == "controller"
            else None
        )

    def use(self, predictor: Predictor) -> None:
        """Predict from two shots with `predictor` from the next field on."""
        self._predictor = predictor
        self._reach = rule.reach_of(predictor.contract.range_um, self._config, predictor.range_um)
        if self._controlled is not None:
            self._controlled.use(predictor, self._reach)

    def check_first_sweep(self) -> None:
        """Refuse a first sweep that would leave the limits. Raises MoveRefused; nothing moves."""
        first_plane.check_first_sweep(self._work)

    def coarse_look(self) -> FirstSweep:
        """Find where the slide's focus may be from a few shots in this field."""
        return first_plane.coarse_look(self._work, self._reach)

    def first_sweep(self) -> FirstSweep:
        """Find the slide's focus in this field by an upward sweep from a low start (dastidar2020 4.3.1)."""
        return first_plane.whole_sweep(self._work)

    def without_focus(self) -> FocusResult:
        """The result of a field in which no first plane was found: "blank" if the field is empty, else "lost"."""
        shots = self._work.shots
        shot = shots.take(shots.z_um)
        reason = exposure_fault(shot.pixels)
        if reason is None and not shot.part.is_blank:
            reason = "the first sweep of the slide found no peak in this field"
        return self._work.result("blank" if reason is None else "lost", reason=reason)

    @property
    def is_taught(self) -> bool:
        """Whether `measured` may tell the height of a focus by one picture."""
        return self._controlled is not None and self._controlled.is_taught

    def verify_next(self) -> None:
        """Let two shots settle the next field, whatever a single one says."""
        if self._controlled is not None:
            self._controlled.verify_next()

    def measured(self, passed: Shot) -> FocusResult | None:
        """What one picture tells of a field, taken while the stage passed it: "focused", with the height, or "blank".

        None if it does not tell: go there. Nothing moves. Raises EngineError.
        """
        work = self._work
        work.begin(passed.z_um)
        if exposure_fault(passed.pixels) is not None or not passed.part.contrasts.any():
            return None
        if passed.part.is_blank:
            # Something far out of focus leaves a trace, and is looked for at rest.
            return None if leaves_trace(work, passed) else work.passed("blank", passed)
        return None if self._controlled is None else self._controlled.measured(passed)

    def focus(self, pivot_um: float) -> FocusResult:
        """Focus this field, whose focus is expected near `pivot_um`.

        Raises:
            FocusLost: predictions and sweep failed, and the stage is back at `pivot_um`; or a picture shows nothing,
                and it is there or below. Carries the result.
            CameraFailed: as it comes. The stage has not gone up since, and is not above `pivot_um`.
            BoardError, EngineError: as they come.
        """
        work = self._work
        work.begin(pivot_um)
        try:
            return self._focused()
        except CameraFailed:
            work.retreat()
            raise

    def _focused(self) -> FocusResult:
        work, pivot_um = self._work, self._work.pivot_um
        # The field before anything is tried. It shows best whether the field is empty, and the final shot must not
        # be less sharp than this one.
        start = work.lit_shot(pivot_um)
        if start.part.is_blank:
            found = search(work, start)
            if found is None:
                return work.ended("blank", pivot_um, start, start)
            start = found
        if self._controlled is not None:
            return self._controlled.focused(start)
        return focused_by_pairs(work, start, self._predictor, self._reach)
