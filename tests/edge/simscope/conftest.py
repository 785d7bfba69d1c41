"""Here the drawing itself is tried."""

import pytest


@pytest.fixture(autouse=True)
def each_picture_is_drawn_once() -> None:
    """No: each one anew."""
