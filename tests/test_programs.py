"""The programs of `tools` and `tests/bench`, which no other test runs: they load, and their defaults are possible."""

import argparse
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("tools", "tests/bench")
    for path in (ROOT / folder).rglob("*.py")
    if "parse_args(" in path.read_text()
)


class AskedFor(Exception):  # it is no error
    """A program has read its options; `args[0]` are those of a call without any that may be left out."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_begins_and_its_defaults_are_among_their_choices(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(parser: argparse.ArgumentParser, _args: object = None) -> argparse.Namespace:
        raise AskedFor(parser)

    try:
        module = importlib.import_module(program)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}, of an extra")
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", asked)
    with pytest.raises(AskedFor) as found:
        module.main()
    for action in found.value.args[0]._actions:
        if action.choices is not None and action.default is not None:
            given = action.default if action.nargs in ("*", "+") else [action.default]
            assert set(given) <= set(action.choices), f"{program} {action.option_strings}"
