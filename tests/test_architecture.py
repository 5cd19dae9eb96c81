"""Layers, imports, names, sizes and docstrings of the package, checked by reading it.

A rule is a function from the package's directory to the list of its violations. Every
rule is run on graphc, and on a small planted package that breaks it.
"""

import ast
import functools
import io
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pytest

GRAPHC = Path(__file__).parents[1] / "graphc"

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 100

BACKENDS = {"jax", "jaxlib", "torch", "triton"}
IR = {"numpy", "ml_dtypes"}
FRONTEND = IR | {"rich", "safetensors", "optree"}
ANY = None


@dataclass(frozen=True)
class Layer:
    """What one subpackage may import: subpackages of graphc, and other packages."""

    graphc: set[str]
    third_party: set[str] | None


LAYERS = {
    "ir": Layer({"ir"}, IR),
    "files": Layer({"ir", "files"}, IR),
    "passes": Layer({"ir", "passes"}, IR),
    "passes/equivalent_forms.py": Layer({"ir", "passes"}, IR | {"egglog"}),
    "codegen": Layer({"ir", "passes", "codegen"}, IR),
    "runtime": Layer(
        {"ir", "files", "passes", "codegen", "runtime"},
        IR | BACKENDS | {"flatbuffers"},
    ),
    "frontend": Layer({"ir", "files", "frontend"}, FRONTEND),
    "frontend/execution.py": Layer(
        {"ir", "frontend", "runtime", "artifacts", "tuning"}, FRONTEND
    ),
    "artifacts": Layer(
        {"ir", "files", "passes", "codegen", "runtime", "tuning", "artifacts"}, IR
    ),
    "importers": Layer({"ir", "files", "frontend", "importers"}, ANY),
    "fuzz": Layer({"ir", "passes", "runtime", "fuzz"}, IR | {"click"}),
    "debug": Layer({"ir", "passes", "runtime", "fuzz", "debug"}, IR),
    "testing": Layer({"ir", "passes", "runtime", "testing"}, IR),
    "tuning": Layer({"ir", "files", "passes", "codegen", "runtime", "tuning"}, IR),
    "tuning/bayesian.py": Layer({"ir", "tuning"}, IR | {"optuna"}),
    "tuning/plot.py": Layer({"ir", "files"}, IR | {"matplotlib"}),
    "tuning/cluster.py": Layer({"ir", "tuning"}, IR | {"ray"}),
    "viewer": Layer({"ir", "passes", "codegen", "runtime", "viewer"}, IR),
    "utils": Layer({"ir", "frontend", "utils"}, FRONTEND),
}
# What users import by Keras's names: re-exports, each a file or a folder of its own.
NAMESPACES = {
    *("activations.py", "backend.py", "callbacks.py", "config.py", "constraints.py"),
    *("dtype_policies.py", "errors.py", "initializers.py", "layers.py", "losses.py"),
    *("metrics.py", "mixed_precision.py", "models.py", "ops", "optimizers"),
    *("random.py", "regularizers.py", "saving.py", "tree.py"),
}
LAYERS |= dict.fromkeys(
    NAMESPACES, Layer({"ir", "frontend", "ops", "optimizers"}, FRONTEND)
)
TOP = {*LAYERS, "cli", "__init__.py"}
LAYERS["cli"] = Layer(TOP, FRONTEND | {"click", "sklearn", "pydoc_data"})
LAYERS["__init__.py"] = Layer(TOP, set())
LAYERS["__main__.py"] = Layer({"cli"}, set())

LAZY_DOORS = {"__init__.py", "runtime/__init__.py", "artifacts/compiler.py"}
JUNK_DRAWERS = {"utils", "helpers", "common", "misc"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef)


# Reading a package.


@dataclass(frozen=True)
class Source:
    """One file of the package under test."""

    root: Path
    path: Path

    @property
    def relative(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @property
    def module(self) -> str:
        parts = self.path.relative_to(self.root.parent).with_suffix("").parts
        return ".".join(parts).removesuffix(".__init__")

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @functools.cached_property
    def code_lines(self) -> set[int]:
        """Line numbers that hold code: no blank lines, comments or docstrings."""
        layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
        layout |= {tokenize.DEDENT, tokenize.ENDMARKER}
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in layout:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Module, *DOCUMENTED)) and ast.get_docstring(node):
                docstring = node.body[0]
                lines -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
        text = self.text.splitlines()
        return {line for line in lines if text[line - 1].strip()}

    @property
    def layer(self) -> Layer | None:
        if self.path.name == "__main__.py":  # an entry point, above all layers
            return LAYERS["cli"]
        by_folder = LAYERS.get(self.relative.split("/")[0])
        return LAYERS.get(self.relative, by_folder)

    def at(self, node: ast.AST, message: str) -> str:
        return (
            f"{self.root.name}/{self.relative}:{getattr(node, 'lineno', 1)}: {message}"
        )


@functools.lru_cache(maxsize=1)  # parsing all of graphc for each rule would take long
def read_package(root: Path) -> list[Source]:
    """All source files below `root`."""
    return [Source(root, path) for path in sorted(root.rglob("*.py"))]


def imported_modules(source: Source, node: ast.AST) -> list[str]:
    """The absolute names that an import statement, or import_module("..."), imports."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            base = node.module or ""
            if node.level:
                is_package = source.path.name == "__init__.py"
                parents = source.module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base]).rstrip(".")
            return [f"{base}.{alias.name}" for alias in node.names]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def imports(source: Source, top: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each import anywhere in `top`, as its statement and the module's name."""
    for node in ast.walk(top):
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)):
            for name in imported_modules(source, node):
                yield node, name


def is_type_checking(node: ast.AST) -> bool:
    """Whether `node` is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


# The rules.


def every_folder_is_a_known_layer(root: Path) -> list[str]:
    return [
        f"{source.relative}: belongs to no layer; add its folder to LAYERS"
        for source in read_package(root)
        if source.layer is None
    ]


def layers_import_downwards(root: Path) -> list[str]:
    violations = []
    for source in read_package(root):
        for node, name in imports(source, source.tree):
            package, _, rest = name.partition(".")
            target = rest.split(".")[0]
            target = target if target in LAYERS else "__init__.py"
            if (
                package == root.name
                and source.layer
                and target not in source.layer.graphc
            ):
                violations.append(source.at(node, f"must not import {name}"))
    return violations


def layers_import_only_their_third_party_packages(root: Path) -> list[str]:
    violations = []
    for source in read_package(root):
        if source.layer is None or source.layer.third_party is ANY:
            continue
        allowed = source.layer.third_party | sys.stdlib_module_names | {root.name}
        for node, name in imports(source, source.tree):
            if name.split(".")[0] not in allowed:
                violations.append(source.at(node, f"must not import {name}"))
    return violations


def no_import_hides_in_a_function(root: Path) -> list[str]:
    return [
        source.at(node, f"import {name} at the top of the module")
        for source in read_package(root)
        if source.relative not in LAZY_DOORS
        for function in ast.walk(source.tree)
        if isinstance(function, FUNCTIONS)
        for node, name in imports(source, function)
        if name.split(".")[0] == root.name
    ]


def modules_import_without_cycles(root: Path) -> list[str]:
    sources = {source.module: source for source in read_package(root)}
    graph = nx.DiGraph()
    for module, source in sources.items():
        top = [node for node in source.tree.body if not is_type_checking(node)]
        for node in top:
            for _, name in imports(source, node):
                while name and name not in sources:  # a name in a module
                    name = name.rpartition(".")[0]
                # What a function of a lazy door imports loads later.
                if name and not (
                    isinstance(node, FUNCTIONS) and source.relative in LAZY_DOORS
                ):
                    graph.add_edge(module, name)
    return [
        "import cycle: " + " -> ".join(edge[0] for edge in nx.find_cycle(component))
        for component in map(graph.subgraph, nx.strongly_connected_components(graph))
        if len(component) > 1
    ]


def no_junk_drawers(root: Path) -> list[str]:
    violations = []
    for source in read_package(root):
        parts = Path(source.relative).with_suffix("").parts
        if parts[0] == "utils":  # the user's namespace of that name in Keras
            parts = parts[1:]
        if JUNK_DRAWERS & set(parts):
            violations.append(
                f"{source.relative}: name the module for what lives there"
            )
    return violations


def files_are_short(root: Path) -> list[str]:
    return [
        f"{source.relative}: {count} code lines, at most {MAX_FILE_LINES}"
        for source in read_package(root)
        if (count := len(source.code_lines)) > MAX_FILE_LINES
    ]


def functions_are_short(root: Path) -> list[str]:
    violations = []
    for source in read_package(root):
        lines = source.code_lines
        for node in ast.walk(source.tree):
            if isinstance(node, FUNCTIONS):
                body = range(node.lineno, (node.end_lineno or 0) + 1)
                count = len(lines.intersection(body))
                if count > MAX_FUNCTION_LINES:
                    message = (
                        f"{node.name}: {count} code lines, at most {MAX_FUNCTION_LINES}"
                    )
                    violations.append(source.at(node, message))
    return violations


def lines_are_narrow(root: Path) -> list[str]:
    return [
        f"{source.relative}:{number}: {len(line)} columns, at most {MAX_COLUMNS}"
        for source in read_package(root)
        for number, line in enumerate(source.text.splitlines(), start=1)
        if len(line) > MAX_COLUMNS
    ]


def public_names_have_docstrings(root: Path) -> list[str]:
    violations = []
    for source in read_package(root):
        tree = source.tree
        if not ast.get_docstring(tree):
            violations.append(source.at(tree, "the module has no docstring"))
        violations += [
            source.at(node, f"{node.name} has no docstring")
            for node in tree.body
            if isinstance(node, DOCUMENTED)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    return violations


def importing_loads_no_backend(root: Path) -> list[str]:
    script = f"import sys, {root.name}; print(*{BACKENDS} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root.parent, capture_output=True, text=True
    )
    if result.returncode:
        return [f"import {root.name} fails:\n{result.stderr}"]
    return [f"import {root.name} loads {name}" for name in result.stdout.split()]


Rule = Callable[[Path], list[str]]
RULES: list[Rule] = [
    every_folder_is_a_known_layer,
    layers_import_downwards,
    layers_import_only_their_third_party_packages,
    no_import_hides_in_a_function,
    modules_import_without_cycles,
    no_junk_drawers,
    files_are_short,
    functions_are_short,
    lines_are_narrow,
    public_names_have_docstrings,
    importing_loads_no_backend,
]


@pytest.mark.parametrize("rule", RULES)
def test_graphc_keeps(rule: Rule):
    violations = rule(GRAPHC)
    assert not violations, "\n" + "\n".join(violations)


# Planted packages. Every file gets a docstring unless it starts with one or with "#".

LONG_BODY = "".join(f"    x{i} = {i}\n" for i in range(MAX_FUNCTION_LINES))
HIDDEN = "def _f():\n    {}\n"

GOOD: list[dict[str, str]] = [
    {
        "frontend/execution.py": "import graphc.runtime.compile",
        "runtime/compile.py": "",
    },
    {"runtime/xla.py": "import jax.export", "importers/onnx.py": "import onnx"},
    {"cli/main.py": "import click\nimport graphc.codegen\nfrom graphc import Model"},
    {"__init__.py": HIDDEN.format("import graphc.runtime"), "ir/types.py": ""},
    {"ir/ops/__main__.py": "import graphc.cli.ops", "cli/ops.py": ""},
    {
        "utils/__init__.py": "from graphc.frontend import saving",
        "frontend/saving.py": "",
    },
    {"ir/graph.py": HIDDEN.format("import json"), "ir/_private.py": "class _A: pass"},
    {"ir/long.py": '"""Doc.' + "\n  line" * 600 + '"""\n' + "# why\n\n" * 600},
    {
        "ir/a.py": "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from graphc.ir.b import B\n",
        "ir/b.py": "import graphc.ir.a\n",
    },
]

BAD: list[tuple[Rule, dict[str, str], str]] = [
    (every_folder_is_a_known_layer, {"misplaced/a.py": ""}, "misplaced/a.py: belongs"),
    (layers_import_downwards, {"ir/a.py": "import graphc.passes.cse"}, "ir/a.py:2:"),
    (
        layers_import_downwards,
        {"ir/a.py": "from graphc import passes"},
        "graphc.passes",
    ),
    (layers_import_downwards, {"ir/a.py": "from ..passes import c"}, "graphc.passes.c"),
    (layers_import_downwards, {"ir/__init__.py": "from ..passes import c"}, "passes.c"),
    (
        layers_import_downwards,
        {"passes/a.py": "import graphc.codegen"},
        "graphc.codegen",
    ),
    (
        layers_import_downwards,
        {"codegen/a.py": "import graphc.runtime"},
        "graphc.runtime",
    ),
    (layers_import_downwards, {"runtime/a.py": "import graphc.frontend"}, "frontend"),
    (layers_import_downwards, {"frontend/a.py": "import graphc.runtime"}, "runtime"),
    (layers_import_downwards, {"frontend/a.py": "import graphc.passes"}, "passes"),
    (
        layers_import_downwards,
        {"frontend/execution.py": "import graphc.codegen"},
        "codegen",
    ),
    (layers_import_downwards, {"ir/a.py": "import graphc"}, "must not import graphc"),
    (layers_import_downwards, {"importers/a.py": "import graphc.runtime"}, "runtime"),
    (layers_import_only_their_third_party_packages, {"ir/a.py": "import jax"}, "jax"),
    (
        layers_import_only_their_third_party_packages,
        {"codegen/a.py": HIDDEN.format("import triton.language")},
        "codegen/a.py:3: must not import triton.language",
    ),
    (
        layers_import_only_their_third_party_packages,
        {"frontend/a.py": "import torch"},
        "torch",
    ),
    (
        layers_import_only_their_third_party_packages,
        {"__init__.py": "import numpy"},
        "numpy",
    ),
    (
        no_import_hides_in_a_function,
        {"ir/a.py": HIDDEN.format("from graphc.ir import b"), "ir/b.py": ""},
        "ir/a.py:3: import graphc.ir.b at the top",
    ),
    (
        no_import_hides_in_a_function,
        {"ir/a.py": HIDDEN.format("importlib.import_module('graphc.ir')")},
        "import graphc.ir at the top",
    ),
    (
        modules_import_without_cycles,
        {"ir/a.py": "import graphc.ir.b", "ir/b.py": "from graphc.ir.a import f"},
        "graphc.ir.a",
    ),
    (
        modules_import_without_cycles,
        {f"ir/m{i}.py": f"import graphc.ir.m{(i + 1) % 9}" for i in range(9)},
        "graphc.ir.m3 -> graphc.ir.m4",
    ),
    (
        modules_import_without_cycles,
        {
            "ir/__init__.py": "from graphc.ir import a",
            "ir/a.py": "from graphc.ir import A",
        },
        "graphc.ir -> graphc.ir.a",
    ),
    (no_junk_drawers, {"ir/utils.py": ""}, "ir/utils.py"),
    (no_junk_drawers, {"passes/common/a.py": ""}, "passes/common/a.py"),
    (no_junk_drawers, {"utils/helpers.py": ""}, "utils/helpers.py"),
    (files_are_short, {"ir/a.py": "x = 1\n" * 501}, "501 code lines"),
    (functions_are_short, {"ir/a.py": f"def _f():\n{LONG_BODY}"}, "_f: 81 code lines"),
    (lines_are_narrow, {"ir/a.py": f"# {'x' * 99}"}, "ir/a.py:1: 101 columns"),
    (
        public_names_have_docstrings,
        {"ir/a.py": "# none"},
        "the module has no docstring",
    ),
    (public_names_have_docstrings, {"ir/a.py": "class A: ..."}, "A has no docstring"),
    (public_names_have_docstrings, {"ir/a.py": "def f(): ..."}, "f has no docstring"),
    (
        importing_loads_no_backend,
        {"__init__.py": "import jax", "../jax.py": ""},
        "loads jax",
    ),
    (importing_loads_no_backend, {"__init__.py": "1 / 0"}, "ZeroDivisionError"),
]


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Writes a package named graphc from its files' texts and returns its directory."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "graphc"
        for name, text in {"__init__.py": "", **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            start = "" if text.startswith(("#", '"""')) else '"""Planted."""\n'
            path.write_text(start + text, encoding="utf-8")
        return root

    return write


@pytest.mark.parametrize("files", GOOD, ids=lambda files: "+".join(files))
def test_rules_accept(files: dict[str, str], plant: Callable[[dict[str, str]], Path]):
    root = plant(files)
    assert [violation for rule in RULES for violation in rule(root)] == []


@pytest.mark.parametrize(
    ("rule", "files", "message"),
    [pytest.param(*case, id=f"{case[0].__name__}-{i}") for i, case in enumerate(BAD)],
)
def test_rules_reject(
    rule: Rule,
    files: dict[str, str],
    message: str,
    plant: Callable[[dict[str, str]], Path],
):
    violations = rule(plant(files))
    assert any(message in violation for violation in violations), violations


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _, _ in BAD} == set(RULES)
