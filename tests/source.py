"""The package's own source, parsed, for the tests that hold its structure."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "streamlearn"

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One file of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package, in order of name."""
    return tuple(_parsed(path) for path in sorted(PACKAGE.rglob("*.py")))


def _parsed(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    text = path.read_text(encoding="utf-8")
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, text, ast.parse(text))


def imported(module: Module) -> set[str]:
    """The package's modules that one imports, inside functions and type checks too."""
    known = {other.name for other in modules()}
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name}:{node.lineno}: imports are absolute here"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in full}
    return {name for name in found if name.split(".")[0] == "streamlearn"} - {module.name}


def outside(module: Module) -> set[str]:
    """Top-level names of everything else that it imports."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names - {"streamlearn"}


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of_code(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    docstring = ast.get_docstring(function, clean=False)
    end = function.end_lineno or function.lineno
    return end - function.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)


def parameters(function: Function) -> int:
    """How many parameters a caller may give."""
    args = function.args
    named = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def repository_files() -> list[Path]:
    """Every text file that is, or is about to be, part of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else _walked()
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8000]]


def _walked() -> list[str]:
    """The files of an unpacked source archive, where git knows nothing."""
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if not any(part in ("dist", "build", "__pycache__") for part in path.parts)
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
