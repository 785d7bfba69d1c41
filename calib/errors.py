"""Errors of calibration, sorted by what the caller does next."""


class CalibError(Exception):
    """Root of every error that leaves `parfocal.calib`."""


class CalibMissing(CalibError):
    """The value was never measured on this microscope. Run the command that the message names."""


class CalibPoor(CalibError):
    """A measurement is too poor to keep. Remove the reason and measure again; an earlier value stays in force."""


class CalibRefused(CalibError):
    """A stored calibration is invalid, or belongs to another microscope. Correct the file, or calibrate again."""
