"""One mutation."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """One change of one file that a test must detect. Paths are relative to the repository root."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
