import os
from pathlib import Path

from parfocal.edge.words import counted, named, sized


def test_the_plural_follows_the_number() -> None:
    assert [counted(n, "field") for n in (0, 1, 2)] == ["0 fields", "1 field", "2 fields"]


def test_a_file_name_that_is_not_utf_8_can_be_printed() -> None:
    assert named(Path(os.fsdecode(b"a-\xe9"))) == "a-\\xe9"
    assert named(Path("a-\u00e9")) == "a-\u00e9"


def test_bytes_are_given_in_the_unit_that_fits() -> None:
    assert [sized(n) for n in (0, 154_200_000, 3_855_000_000, 2_500_000_000_000)] == [
        "0 MB",
        "154 MB",
        "3.9 GB",
        "2.5 TB",
    ]
