"""Cameras of the USB3 Vision and GigE Vision standards."""
