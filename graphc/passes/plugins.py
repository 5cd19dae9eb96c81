"""Passes, ops and rules of others: from a user's module or from installed packages.

A module registers what it has when it is imported: `graphc.passes.register` for passes,
`graphc.passes.register_rules` for rules, the decorators of `graphc.ir.register` for ops.
Importing runs code, so that nothing here follows a file that graphc reads: a user names
the module, or a pass or a set of rules in a pipeline. An installed package declares what
it has as entry points::

    [project.entry-points."graphc.passes"]
    fold_pairs = "my_package.passes:FoldPairs"
    [project.entry-points."graphc.rules"]
    pairs = "my_package.rules:RULES"
    [project.entry-points."graphc.ops"]
    pair = "my_package.ops"
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from graphc.ir.errors import PassError
from graphc.passes.graph_pass import PASSES
from graphc.passes.rule import RULE_SETS, RuleSet, register_rules

EXTRAS = {"saturate": ("graphc.passes.saturate", "egraph")}
"""Passes that need another package: their module, and what to install with pip."""


def load_module(source: str) -> ModuleType:
    """Imports a user's module, which registers its passes, ops and rules.

    Args:
        source: A ``.py`` file, or the dotted name of a module. What has been loaded
            already is not loaded again.

    Raises:
        PassError: If there is no such module, or importing it fails.
    """
    try:
        if source.endswith(".py"):
            return _load_file(Path(source).resolve())
        return import_module(source)
    except Exception as error:
        raise PassError(
            f"{source[:200]} cannot be loaded: {type(error).__name__}: {error}",
            hint="name a .py file or a module that Python finds",
        ) from error


def _load_file(path: Path) -> ModuleType:
    # By its own name, as an import would: what a file registers, it registers once.
    name = path.stem
    known = sys.modules.get(name)
    if getattr(known, "__file__", str(path)) != str(path):
        name = f"{name} of {path.parent}"  # the name is taken
        known = sys.modules.get(name)
    if known is not None:
        return known
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find_pass(name: str) -> bool:
    """Whether there is a pass called `name`, here or in an installed package.

    Raises:
        PassError: If the package that declares it has no such pass.
    """
    if name in EXTRAS and name not in PASSES:
        _import_extra(name)
    elif name not in PASSES and _load("graphc.passes", name) is not None:
        _require(name in PASSES, f"the pass {name!r}", "graphc.passes.register")
    return name in PASSES


def known_passes() -> list[str]:
    """The names of all passes, and of those that installed packages may add."""
    declared = () if _CLOSED.get() else entry_points(group="graphc.passes")
    return [*PASSES, *EXTRAS, *(entry.name for entry in declared)]


def _import_extra(name: str) -> None:
    """Imports a pass of graphc's own that needs another package."""
    module, extra = EXTRAS[name]
    try:
        import_module(module)
    except ImportError as error:
        raise PassError(
            f"the pass {name!r} needs another package: {error}",
            hint=f"pip install 'graphc[{extra}]'",
        ) from error


def find_rules(name: str) -> RuleSet | None:
    """The set of rules registered as `name`, here or in an installed package.

    Raises:
        PassError: If the package that declares it has no such set.
    """
    if name not in RULE_SETS:
        found = _load("graphc.rules", name)
        if isinstance(found, RuleSet) and name not in RULE_SETS:
            register_rules(name, found)
        if found is not None:
            _require(name in RULE_SETS, f"the rules {name!r}", "a RuleSet")
    return RULE_SETS.get(name)


def load_ops() -> list[str]:
    """Imports the ops of all installed packages that declare some.

    Graphs that use them can be read afterwards: a text that names an op makes nobody's
    code run by itself.

    Returns:
        The names of the entry points.
    """
    found = sorted(entry_points(group="graphc.ops"), key=lambda point: point.name)
    for point in found:
        _imported(point)
    return [point.name for point in found]


@contextmanager
def closed() -> Generator[None, None, None]:
    """Imports nothing of installed packages meanwhile: for pipelines that files name."""
    token = _CLOSED.set(True)
    try:
        yield
    finally:
        _CLOSED.reset(token)


_CLOSED: ContextVar[bool] = ContextVar("closed", default=False)


def _load(group: str, name: str) -> object | None:
    """What an installed package declares as `name`, imported; None if none does."""
    if _CLOSED.get():
        return None
    for point in entry_points(group=group, name=name):
        return _imported(point)
    return None


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise PassError(
            f"{point.group} {point.name!r} of an installed package cannot be loaded:"
            f" {type(error).__name__}: {error}",
            received=point.value,
        ) from error


def _require(found: bool, what: str, hint: str) -> None:
    if not found:
        raise PassError(
            f"an installed package declares {what} but does not register it",
            hint=f"its entry point must name {hint}",
        )
