"""Where a single-shot model takes its patches in a frame (liao2021 2.1: seven patches of 672 px)."""

Place = tuple[int, int]


def places(height_px: int, width_px: int, side_px: int) -> tuple[Place, ...]:
    """Top and left corner, px, of square patches.

    Nine where three by three fit, seven where two by three fit with some overlap, else one in the middle. Raises
    ValueError if not even one fits.
    """
    short_px, long_px = sorted((height_px, width_px))
    if short_px < side_px:
        raise ValueError(f"an image of {width_px} x {height_px} px is smaller than one patch of {side_px} px")
    middle = (height_px - side_px) // 2, (width_px - side_px) // 2
    if short_px >= 3 * side_px:
        return _grid(height_px, width_px, side_px, 3, 3)
    if 2 * short_px >= 3 * side_px and 2 * long_px >= 5 * side_px:
        rows, columns = (2, 3) if width_px >= height_px else (3, 2)
        return (*_grid(height_px, width_px, side_px, rows, columns), middle)
    return (middle,)


def spread_places(height_px: int, width_px: int, side_px: int) -> tuple[Place, ...]:
    """Places as `places` gives them, but seven in a smaller frame too, although they overlap by more than half.

    For the shape of a field, where many overlapping patches say more than one. Still one where no patch could be moved
    by a quarter of its side. Raises ValueError if not even one fits.
    """
    usual = places(height_px, width_px, side_px)
    if len(usual) > 1 or 4 * min(height_px, width_px) < 5 * side_px:
        return usual
    rows, columns = (2, 3) if width_px >= height_px else (3, 2)
    return (*_grid(height_px, width_px, side_px, rows, columns), *usual)


def _grid(height_px: int, width_px: int, side_px: int, rows: int, columns: int) -> tuple[Place, ...]:
    """Evenly spread from edge to edge; patches overlap where the frame is narrow."""
    return tuple(
        (
            round(row * (height_px - side_px) / (rows - 1)),
            round(column * (width_px - side_px) / (columns - 1)),
        )
        for row in range(rows)
        for column in range(columns)
    )
