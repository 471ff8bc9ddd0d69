"""The house rules: style, types, layers and sizes hold for every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "acquisition", "inference", "tracking", "calibration", "configs")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

LONG_FILES: dict[str, str] = {}
"""Files of more than 400 lines, each with its reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def run_tool(*command: str) -> str:
    """Run a tool in the checkout; give its output, empty when it was content."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", *PACKAGES, "tests"),
        ("ruff", "format", "--check", *PACKAGES, "tests"),
        ("mypy",),
    ],
    ids=["ruff", "format", "mypy"],
)
def test_the_tools_are_content(command: tuple[str, ...]) -> None:
    """Lint, format and strict types pass on the whole tree."""
    complaint = run_tool(*command)

    assert complaint == ""


def test_imports_flow_one_way() -> None:
    """No layer imports a higher one; Qt, the core and torch stay where they belong."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@cache
def parsed(path: Path) -> ast.Module:
    """Give the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(paths: list[Path]) -> Iterator[tuple[Path, Function]]:
    """Give every function of the files, methods included."""
    for path in paths:
        for node in ast.walk(parsed(path)):
            if isinstance(node, Function):
                yield path, node


def is_exempt(function: Function) -> bool:
    """Fused Numba kernels and a network's forward may be long."""
    decorators = " ".join(ast.unparse(item) for item in function.decorator_list)
    return "njit" in decorators or function.name == "forward"


def body_lines(function: Function) -> int:
    """Count the lines of a body without its docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def depth(node: ast.AST) -> int:
    """Give the deepest nesting of blocks below a node."""
    blocks = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match)
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        # an elif is one If inside the orelse of another, but not one level deeper
        elif_chain = isinstance(node, ast.If) and [child] == node.orelse
        step = isinstance(child, blocks) and not elif_chain
        deepest = max(deepest, step + depth(child))
    return deepest


def test_functions_are_short() -> None:
    """At most 3 % of the functions have a body of more than 40 lines."""
    judged = [(p, f) for p, f in functions(SOURCES) if not is_exempt(f)]
    long = [f"{p.name}:{f.name}" for p, f in judged if body_lines(f) > 40]

    assert len(long) <= 0.03 * len(judged), long


def test_functions_take_few_arguments() -> None:
    """At most 2 % of the functions take more than six arguments."""
    judged = [(p, f) for p, f in functions(SOURCES) if not is_exempt(f)]
    wide = [
        f"{p.name}:{f.name}"
        for p, f in judged
        if len([a for a in f.args.args + f.args.kwonlyargs if a.arg != "self"]) > 6
    ]

    assert len(wide) <= 0.02 * len(judged), wide


def test_nothing_is_nested_deeply() -> None:
    """No function outside the kernels nests its blocks more than four deep."""
    deep = [
        f"{p.name}:{f.name}"
        for p, f in functions(SOURCES)
        if not is_exempt(f) and depth(f) > 4
    ]

    assert deep == []


def test_files_hold_one_idea() -> None:
    """No file is longer than 400 lines without a stated reason."""
    long = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]

    assert sorted(long) == sorted(LONG_FILES)


def test_every_test_states_its_promise() -> None:
    """Each test has a docstring and asserts something."""
    silent = []
    for path, function in functions(TESTS):
        if not function.name.startswith("test_"):
            continue
        text = ast.unparse(function)
        checks = ("assert", "raises", "check(", "assert_same")
        if ast.get_docstring(function) is None or not any(c in text for c in checks):
            silent.append(f"{path.name}:{function.name}")

    assert silent == []


def test_every_package_says_what_it_is() -> None:
    """Each folder of code begins with a sentence."""
    mute = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if ast.get_docstring(parsed(path)) is None
    ]

    assert mute == []
