"""Documents stay true: their code runs, and their commands, keys, paths, links and messages exist."""

import ast
import contextlib
import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
import typer

import parfocal
from parfocal.board.stub.faults import load_faults
from parfocal.edge.cli import app as cli
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.focus.judging.rule import RuleName
from parfocal.edge.focus.result import Outcome as FocusOutcome
from tests.compiled_once import share_compiled_models
from tests.test_examples import SMALL
from tools import struct_tables

ROOT = Path(__file__).parent.parent
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
CODE_FOLDERS = ("board", "calib", "edge", "engines")
# Folders that a checkout has. Others named in a page, such as `build/`, are made by commands.
FOLDERS = (*CODE_FOLDERS, "docs", "examples", "parfocal", "tests", "tools", ".ci")
BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE_ENDINGS = (".json", ".md", ".png")
NOT_RUN, A_FAULTS_FILE, ROOMS = "not run: ", "a faults file", "the rooms"


class Block(NamedTuple):
    """A code block, with the text of the HTML comment in the line before it, if there is one."""

    page: Path
    line: int
    note: str
    language: str
    text: str

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every block of these languages, in all pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("text"))
            found.append(Block(page, line, match["note"] or "", match["language"], match["text"]))
    return [block for block in found if block.language in languages]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", page.read_text())


def inline_code() -> list[tuple[Path, str]]:
    """Everything between single backticks, with its page."""
    return [(page, code) for page in PAGES for code in INLINE.findall(prose(page))]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, str(block), "exec")
    if block.note.startswith(NOT_RUN):
        return
    share_compiled_models(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    Path("parfocal.toml").write_text(SMALL)
    exec(code, {"__name__": "__main__"})  # noqa: S102  # a reader does the same


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_accepted(block: Block, tmp_path: Path) -> None:
    if block.note == A_FAULTS_FILE:
        path = tmp_path / "faults.toml"
        path.write_text(block.text)
        load_faults(path)
    else:
        config_from_toml(block.text, str(block))


def test_every_block_has_a_language_that_is_checked() -> None:
    known = {"python", "toml", "sh", "console", "text"}
    for page in PAGES:
        fences = re.findall(r"^```(.*)$", page.read_text(), re.M)
        assert set(fences[::2]) <= known, page
        assert set(fences[1::2]) <= {""}, page


def shell_lines() -> Iterator[tuple[str, str]]:
    """Where, and what: every line of shell blocks, lines of output left out, continued lines joined."""
    for block in blocks("sh", "console"):
        text = block.text.replace("\\\n", " ")
        for line in text.splitlines():
            if block.language == "sh":
                yield str(block), line
            elif line.startswith("$ "):
                yield str(block), line.removeprefix("$ ")


def commands() -> list[tuple[str, list[str]]]:
    """Where, and the words of each command; pipelines come apart. Those in prose are included."""
    lines = [*shell_lines()]
    lines += [
        (str(page.relative_to(ROOT)), code)
        for page, code in inline_code()
        if code.startswith(("parfocal ", "make ", "python -m "))
    ]
    found = []
    for where, line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                found += [(where, words)] if words else []
                words = []
            else:
                words.append(word)
    return found


@cache
def command_tree() -> Any:  # noqa: ANN401  # click's, or typer's own of it
    """The command `parfocal`, as typer made it."""
    return typer.main.get_command(cli.app)


def check_parfocal(words: list[str]) -> None:
    """Refuse a verb or an option that `parfocal` does not have."""
    command = command_tree()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no verb {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    options |= {"--help", "-h"}
    for word in words:
        if word.startswith("-") and word != "-" and not word.lstrip("-").isdigit():
            assert word.partition("=")[0] in options, f"there is no option {word}"


def check_module(words: list[str]) -> None:
    """Refuse a module that is not there, or options that its text does not name."""
    module, *rest = words
    if module == "parfocal":
        check_parfocal(rest)
        return
    path = ROOT / f"{module.replace('.', '/')}.py"
    text = path.read_text()
    for word in rest:
        assert not word.startswith("--") or f'"{word}"' in text, f"{module} has no option {word}"


def test_every_command_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    checked = 0
    for where, (program, *words) in commands():
        with _naming(where, [program, *words]):
            if program == "parfocal":
                check_parfocal(words)
            elif program == "make":
                assert {word for word in words if "=" not in word} <= targets
            elif program == "python" and words[:1] == ["-m"]:
                check_module(words[1:])
            else:
                continue
        checked += 1
    assert checked > 50


def test_every_json_option_has_a_documented_struct() -> None:
    page = (ROOT / "docs" / "json.md").read_text()
    for name, command in _leaves(command_tree(), "parfocal"):
        if any("--json" in param.opts for param in command.params):
            assert f"`{name} --json`" in page, f"docs/json.md says nothing of `{name} --json`"
    marked = set(re.findall(r"<!-- struct: (\S+) -->", page))
    assert marked == set(struct_tables.json_structs())


def test_every_key_of_the_configuration_is_documented() -> None:
    marks = re.findall(r"<!-- keys: (.+?) -->", (ROOT / "docs" / "configuration.md").read_text())
    assert [name for mark in marks for name in mark.split()] == [*struct_tables.configuration_tables()]


@pytest.mark.parametrize("page", struct_tables.PAGES, ids=lambda page: page.name)
def test_tables_of_structs_are_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert struct_tables.written(text) == text, "run `python -m tools.struct_tables`"
    assert not struct_tables.without_meaning(text)


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for link in LINK.findall(prose(page)):
            if link.startswith("https://"):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name} links to {link}"
            if anchor:
                assert anchor in _anchors(target), f"{page.name} links to {link}: no such heading"


def test_every_path_exists() -> None:
    checked = 0
    for page, code in inline_code():
        if code.split("/")[0] in FOLDERS and "/" in code and " " not in code:
            assert [*ROOT.glob(code.rstrip("/"))], f"{page.name} names {code}, which is not there"
            checked += 1
    assert checked > 20


def test_the_readme_is_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    links = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= links


def test_the_drawn_rooms_are_those_of_the_tree() -> None:
    (drawing,) = (block.text for block in blocks("text") if block.note == ROOMS)
    assert _drawn_folders(drawing) == _folders_of_the_tree()


def test_every_quoted_message_is_one_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    assert len(quoted) > 40
    unsaid = []
    for message in quoted:
        parts = [part.strip() for part in message.split("...") if part.strip()]
        if not any(_is_in_order(parts, text) for text in _messages()):
            unsaid.append(message)
    assert not unsaid, "docs/troubleshooting.md quotes errors that the code does not say"


def test_every_key_that_is_named_exists() -> None:
    checked = 0
    for page, code in inline_code():
        if (
            re.fullmatch(r"(board|camera|focus|scan)\.[a-z0-9_.]+", code)
            and Path(code).suffix not in FILE_ENDINGS
        ):
            _value_of(code)  # raises AttributeError
            checked += page.name == "troubleshooting.md"
    assert checked > 10


def test_the_rules_and_outcomes_of_the_focus_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "focus.md").read_text()
    assert set(_first_cells(page, "What the rule decides")) == set(get_args(RuleName))
    assert set(_first_cells(page, "Outcomes")) == set(get_args(FocusOutcome))


def test_the_thresholds_of_the_focus_page_are_the_defaults() -> None:
    page = (ROOT / "docs" / "focus.md").read_text()
    checked = 0
    for key, default in re.findall(r"^\| `(\w+)` \| ([0-9.]+) \|", page, re.M):
        assert float(default) == _value_of(f"focus.{key}"), key
        checked += 1
    assert checked >= 8


def test_the_python_page_names_what_the_package_has() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    named = set(re.findall(r"parfocal\.(\w+)", page)) - {*CODE_FOLDERS, "toml"}
    assert named | {"Shot", "FieldResult", "__version__"} == set(parfocal.__all__)
    assert {*_first_cells(page, "Examples")} == {
        f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")
    }
    for kind in (parfocal.Microscope, parfocal.FieldResult, parfocal.Shot):
        for cell in _first_cells(page, kind.__name__):
            assert hasattr(kind, cell) or f"self.{cell} = " in inspect.getsource(kind), cell


def test_every_source_that_the_code_names_is_in_the_references() -> None:
    page = (ROOT / "docs" / "references.md").read_text()
    named = set()
    for folder in (*CODE_FOLDERS, "tools", "docs"):
        for path in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).glob("*.md")):
            named |= set(re.findall(r"\b[a-z]{3,}20\d\d\b|\b[A-Z][a-z]+ et al\. \d{4}", path.read_text()))
    assert {"dastidar2020", "liao2021"} <= named
    assert {name for name in named if f"**{name}**" not in page} == set()


def test_the_version_is_in_one_place() -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    assert parfocal.__version__ not in "".join(page.read_text() for page in PAGES)


@contextlib.contextmanager
def _naming(where: str, words: list[str]) -> Iterator[None]:
    """Say in a failure which command of which page it is about."""
    try:
        yield
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{where}: `{shlex.join(words)}`: {error}") from error


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # as above
    """Every command that does something, with its full name."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for verb, inner in command.commands.items():
        yield from _leaves(inner, f"{name} {verb}")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _value_of(key: str) -> object:
    """The default of a key such as `board.z.max_um`, or a table. Raises AttributeError where there is none."""
    value: object = Config()
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _first_cells(page: str, heading: str) -> list[str]:
    """What is between backticks in the first column of the first table whose heading, or section, is `heading`."""
    after = re.split(rf"^(?:#+ {heading}$|\| `{heading}` \|)", page, maxsplit=1, flags=re.M)[1]
    (table, *_) = re.findall(r"(?:^\|[^\n]*\n)+", after, re.M)
    cells = [line.split(" | ")[0] for line in table.splitlines()]
    return [name.partition("(")[0] for cell in cells for name in INLINE.findall(cell)]


def _drawn_folders(drawing: str) -> set[str]:
    """Paths of a drawing that indents each folder by two spaces more than the one it is in."""
    found, above = set(), [""]
    for line in drawing.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[: depth + 1], f"{above[depth]}{name}"]
        found.add(above[-1].rstrip("/"))
    return found


def _folders_of_the_tree() -> set[str]:
    """Every folder with code or models in it, below those that are drawn."""
    drawn = (*CODE_FOLDERS, "tools")
    code = {path.parent for name in drawn for path in (ROOT / name).rglob("*.py")}
    code |= {path.parent for path in (ROOT / "engines").glob("*/*.onnx")}
    code |= {path.parent for path in (ROOT / "board").rglob("*.c")}
    return {str(folder.relative_to(ROOT)) for folder in code}


@cache
def _messages() -> tuple[str, ...]:
    """The text of every string in the code; what an f-string inserts is a NUL."""
    found = []
    for name in CODE_FOLDERS:
        for path in (ROOT / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(
                            str(part.value) if isinstance(part, ast.Constant) else "\0"
                            for part in node.values
                        )
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return tuple(found)


def _is_in_order(parts: list[str], text: str) -> bool:
    """Whether `text` holds all `parts`, one after the other."""
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True
