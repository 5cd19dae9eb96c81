"""Makes mutants by rules: one small wrong thing in an expression, drawn with a seed.

``python -m tests.mutation.generate 3`` fills the table up to three such mutants for each
source file, and drops those whose source has changed. Run what it added, look at what
survives, and write the page again.
"""

from __future__ import annotations

import ast
import copy
import random
import sys
from collections.abc import Iterator

from tests.mutation.mutants import (
    ROOT,
    Mutant,
    extent,
    functions,
    mutated,
    read_mutants,
    write_mutants,
)

FOLDERS = (
    "graphc/ir/ops",
    "graphc/passes",
    "graphc/codegen/stablehlo",
    "graphc/importers",
)

WRONG_CALL = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "divide",
    "divide": "multiply",
    "maximum": "minimum",
    "minimum": "maximum",
    "reduce_sum": "reduce_max",
    "reduce_max": "reduce_sum",
    "floor": "ceil",
    "ceil": "floor",
    "cosine": "sine",
    "sine": "cosine",
    "and_": "or_",
    "or_": "and_",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
}
"""Functions and what may stand for them by mistake."""

SYMMETRIC = (
    *("add", "multiply", "maximum", "minimum", "min", "max"),
    *("and_", "or_", "require"),
)
"""Functions of which swapped operands are no bug, or one that Python notices."""

DROPPED = ("negate", "convert", "reverse", "in_dtype", "widen", "sorted", "abs", "abs_")
"""Functions whose first argument stands for the call by mistake."""

WRONG_OPERATOR: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def wrong(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand for an expression by mistake, each with the name of the mistake."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = copy.deepcopy(node)
        other.ops = [WRONG_OPERATOR[type(node.ops[0])]()]  # type: ignore[list-item]
        yield "wrong comparison", other
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in WRONG_OPERATOR:
        other = copy.deepcopy(node)
        other.op = WRONG_OPERATOR[type(node.op)]()  # type: ignore[assignment]
        yield "wrong operator", other
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "wrong sign", node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool, float):
        value = not node.value if type(node.value) is bool else node.value + 1
        yield "off by one", ast.Constant(value)
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        yield "swapped pair", ast.Tuple(node.elts[::-1], ast.Load())
    if isinstance(node, ast.Call):
        yield from _wrong_calls(node)


def _wrong_calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = getattr(node.func, "id", "")
    if name in WRONG_CALL:
        other = copy.deepcopy(node)
        other.func = ast.Name(WRONG_CALL[name])
        yield f"{WRONG_CALL[name]} for {name}", other
    if name in DROPPED and node.args:
        yield f"{name} left out", node.args[0]
    if len(node.args) >= 2 and name not in ("isinstance", "zip", "getattr", "range"):
        other = copy.deepcopy(node)
        other.args[0], other.args[1] = other.args[1], other.args[0]
        yield "swapped operands", other


def mutants_of(file: str) -> Iterator[Mutant]:
    """Every mutant that the rules make of a file."""
    source = (ROOT / file).read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    for name, function in functions(source).items():
        if name == "main":
            continue  # it runs in a process of its own, without the bug
        first, end = extent(function)
        text = "".join(lines[first:end])
        skipped = _unexecuted(function)
        for node in ast.walk(function):
            if node in skipped or not isinstance(node, ast.expr):
                continue
            cut = lines[node.lineno - 1 : node.end_lineno]
            find = "".join(cut).rstrip("\n")
            if text.count(find) != 1:
                continue
            last = cut[-1].encode()[node.end_col_offset :].decode()
            for mistake, other in wrong(node):
                spelled = ast.unparse(ast.fix_missing_locations(other))
                start = cut[0].encode()[: node.col_offset].decode()
                replace = f"{start}({spelled}){last}".rstrip("\n")
                yield Mutant(file, name, find, replace, mistake)


def _unexecuted(function: ast.FunctionDef) -> set[ast.AST]:
    """What only annotates, declares or describes."""
    roots: list[ast.AST] = [function.args]
    roots += [function.returns] if function.returns else []
    for node in ast.walk(function):
        if isinstance(node, (ast.JoinedStr, ast.Raise, ast.arguments)):
            roots.append(node)
        if isinstance(node, ast.AnnAssign):
            roots.append(node.annotation)
        if isinstance(node, ast.FunctionDef) and node is not function:
            roots.append(node)  # it has mutants of its own
    for decorator in function.decorator_list:
        # Of a record only the functions in it run: the rest was read at import.
        inside = {n for lam in ast.walk(decorator) if isinstance(lam, ast.Lambda)
                  for n in ast.walk(lam.body)}  # fmt: skip
        roots += [n for n in ast.walk(decorator) if n not in inside]
        return {n for r in roots for n in ast.walk(r)} - inside | _samples(decorator)
    return {n for root in roots for n in ast.walk(root)}


def _samples(decorator: ast.expr) -> set[ast.AST]:
    """The samples and examples in a record: tests, not the product."""
    keywords = getattr(decorator, "keywords", [])
    named = [k for k in keywords if k.arg in ("samples", "examples", "errors")]
    return {n for keyword in named for n in ast.walk(keyword)}


def drawn(file: str, count: int) -> list[Mutant]:
    """Mutants of a file that are worth a run, no mistake twice in a function."""
    found = [mutant for mutant in mutants_of(file) if _is_bug(mutant)]
    random.Random(file).shuffle(found)
    different = {(mutant.function, mutant.bug): mutant for mutant in found}
    return list(different.values())[:count]


def _is_bug(mutant: Mutant) -> bool:
    if mutant.bug == "swapped operands":
        return not any(f"({name}(" in mutant.replace for name in SYMMETRIC)
    if any(word in mutant.find for word in ("Sample(", "Arg(", "IllTyped(")):
        return False
    return "strict=(" not in mutant.replace


def is_present(mutant: Mutant) -> bool:
    """Whether the source still has what the mutant replaces."""
    try:
        mutated(mutant, (ROOT / mutant.file).read_text(encoding="utf-8"))
    except (LookupError, FileNotFoundError):
        return False
    return True


def main() -> None:
    """Fills the table up to so many mutants for each file."""
    count = int(sys.argv[1])
    table = [mutant for mutant in read_mutants() if is_present(mutant)]
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            missing = count - sum(mutant.file == file for mutant in table)
            added = [m for m in drawn(file, count) if m not in table]
            table += added[: max(0, missing)]
    write_mutants(table)


if __name__ == "__main__":
    main()
