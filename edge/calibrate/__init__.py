"""Calibration: moves the hardware, hands what it saw to parfocal.calib, and keeps the result in the store."""
