"""Calibrations of motors and gears: `calibrate backlash` and `calibrate stage`."""
