"""The mutations still fit the code that they break."""

from tools.mutate import ROOMS, ROOT


def test_every_mutation_finds_what_it_changes_and_the_tests_that_must_fail() -> None:
    mutations = [mutation for room in ROOMS.values() for mutation in room]
    stale = [each.name for each in mutations if each.old not in (ROOT / each.file).read_text()]
    assert stale == []
    assert {
        name for each in mutations for name in each.tests if not (ROOT / name.split("::")[0]).exists()
    } == set()
