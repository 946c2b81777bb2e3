"""The house stays as planned: who may import whom, how long things get, one word everywhere."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import click
import pytest
from source import (
    ROOT,
    Module,
    functions,
    imported,
    lines_of_code,
    modules,
    outside,
    parameters,
    repository_files,
)

import streamlearn
from streamlearn import cli, schema
from streamlearn.bench import BENCHMARKS
from streamlearn.heads import HEADS
from streamlearn.prepare import STEPS
from streamlearn.rules import RULES

ORDER = (
    ("streamlearn", "errors", "failpoints", "kernels", "prequential", "wire", "part", "schema"),
    ("options", "options_outside", "config"),
    (
        "rules",
        "heads",
        "prepare",
        "pipeline",
        "store",
        "data",
        "client",
    ),
    ("plan",),
    ("learner",),
    (
        "wire.watch",
        "wire.gate",
        "wire.door",
        "wire.credit",
        "wire.backlog",
        "wire.source",
        "wire.router",
        "wire.ingest",
        "wire.publish",
        "wire.control",
        "observe",
        "live",
        "growth",
    ),
    ("instruments",),
    (
        "precompile",
        "garbage",
        "saver",
        "orders",
        "signals",
        "durable",
        "change_over",
        "commands",
        "daemon",
        "evaluate",
        "bench",
        "picture",
        "picture_codes",
        "fields",
        "codes",
        "demo",
    ),
    ("cli", "__main__"),
)
"""A module imports from its own group or from one before it, never from one after it."""

NUMBA_FREE = ("client", "wire.message", "wire.control", "config", "errors", "cli")
"""What a producer, a subscriber or one control request loads: no compiler."""


def floor(name: str) -> int:
    """The number of a module's group; the longest prefix that the order names decides."""
    inner = name.removeprefix("streamlearn.")
    parts = inner.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, group in enumerate(ORDER):
            if prefix in group:
                return number
    pytest.fail(f"{name} has no place in the import order; add it to ORDER where it belongs")


def ids(module: Module) -> str:
    """Name a test after its module."""
    return module.name.removeprefix("streamlearn.")


every_module = pytest.mark.parametrize("module", modules(), ids=ids)


@every_module
def test_imports_point_down(module: Module) -> None:
    """No module imports from a group after its own, not even inside a function."""
    upward = [name for name in imported(module) if floor(name) > floor(module.name)]
    assert not upward, f"{module.name} imports {', '.join(upward)} from above"


def test_no_import_goes_in_a_circle() -> None:
    """Within a group too, following imports never leads back to where one began."""
    graph = {module.name: imported(module) for module in modules()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("name", NUMBA_FREE)
def test_no_compiler_is_loaded(name: str) -> None:
    """Programs that only talk to a daemon start in no time and stay small."""
    code = f"import sys, streamlearn.{name}; print('numba' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", f"importing streamlearn.{name} loads numba; {done.stderr}"


@every_module
def test_modules_and_functions_stay_small(module: Module) -> None:
    """A module has at most 400 lines, a function 60 without its docstring and 7 parameters."""
    wrong = [f"{n} lines" for n in [module.text.count("\n")] if n > 400]
    for function in functions(module.tree):
        if (length := lines_of_code(function)) > 60:
            wrong.append(f"{function.name}: {length} lines")
        if (count := parameters(function)) > 7:
            wrong.append(f"{function.name}: {count} parameters")
    assert not wrong, f"{module.name}: {'; '.join(wrong)}"


def test_tests_and_tools_stay_small() -> None:
    """A file of tests or a tool has at most 400 lines, as a module has."""
    files = [path for folder in ("tests", "tools") for path in (ROOT / folder).rglob("*.py")]
    long = [path.name for path in files if path.read_text("utf-8").count("\n") > 400]
    assert files
    assert not long, f"{', '.join(long)}: split them"


@every_module
def test_no_pickle(module: Module) -> None:
    """Nothing is ever read that could run code: no pickle, nor what is built on it."""
    assert not outside(module) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
    allowed = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle"
        if not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert not allowed, f"{module.name}: pickle allowed in line {allowed}"


def test_one_version() -> None:
    """The package has one version; the newest entry of the changelog is about it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert versions[0] == streamlearn.__version__


def parts() -> Iterator[tuple[str, str, str]]:
    """Kind, name and import string of everything that a configuration can name."""
    for kind, registry in (("rules", RULES), ("heads", HEADS), ("prepare", STEPS)):
        for name, target in registry.items():
            yield kind, name, target


@pytest.mark.parametrize(("kind", "name", "target"), [*parts()], ids=lambda value: value)
def test_one_word_everywhere(kind: str, name: str, target: str) -> None:
    """A part's name in a configuration is that of its module, its class and its naive twin."""
    class_name = "".join(word.title() for word in name.split("_"))
    assert target == f"streamlearn.{kind}.{name}:{class_name}"
    schema.resolve(target)
    assert (ROOT / "tests" / "naive" / f"{name}.py").exists(), f"{name} has no naive twin"


@pytest.mark.parametrize("target", BENCHMARKS.values(), ids=BENCHMARKS.keys())
def test_benchmarks_are_there(target: str) -> None:
    """Every name that `bench` takes leads to something that measures."""
    assert callable(schema.resolve(target))


def test_no_one_elses_machine() -> None:
    """No file of the repository names a folder of the machine that it was written on."""
    foreign = re.compile("|".join(f"(?<![\\w.])/{top}/" for top in ("work", "root", r"home/\w+")))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in repository_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if foreign.search(line)
    ]
    assert not found, "\n".join(found)


def shown_commands() -> list[tuple[str, str]]:
    """`streamlearn` and `make` lines of every code block in README and docs, with their file."""
    found = []
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        blocks = re.findall(
            r"^```(\w*)\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
        for language, block in blocks:
            lines = block.replace("\\\n", " ").splitlines()
            bare = [line.strip().removeprefix("$ ").partition("#")[0] for line in lines]
            typed = [line for line in bare if re.match(r"(streamlearn|make) ", line)]
            found += [(path.name, line) for line in typed if language in ("", "bash", "sh")]
    return found


def test_shown_commands_exist() -> None:
    """What README and docs tell people to type is there: verbs, their options, make's targets."""
    commands = shown_commands()
    assert {line.split()[1] for _, line in commands} >= {"demo", "run"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for file, line in commands:
        program, verb, *words = line.split()
        if program == "make":
            assert verb in targets, f"{file}: {line}"
        elif not verb.startswith("-"):
            command = cli.main.commands.get(verb)
            if isinstance(command, click.Group):
                command = command.commands.get(words[0])
            assert isinstance(command, click.Command), f"{file}: {line}"
            known = {option for parameter in command.params for option in parameter.opts}
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= known | {"--help"}, f"{file}: {line}"


def called_names(module: Module) -> dict[str, tuple[str, str]]:
    """What a module imports by name → the module that it is from, and its name there."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_a_kernel_never_calls_another_kernel() -> None:
    """Helpers are taken in whole; else a first start and a warm one may round differently."""
    marks = {
        (module.name, node.name): {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
        for module in modules()
        for node in functions(module.tree)
    }
    kernels = {place for place, own in marks.items() if "kernel" in own}
    meant = {module.name: called_names(module) for module in modules()}
    calls = [
        f"{module.name}: {node.name} calls {call.func.id}"
        for module in modules()
        for node in functions(module.tree)
        if marks[module.name, node.name] & {"kernel", "inlined"}
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if meant[module.name].get(call.func.id, (module.name, call.func.id)) in kernels
    ]
    assert not calls
