"""``graphc doctor``: what this machine can do."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click
import numpy as np

from graphc import __version__
from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir import ops as ir_ops
from graphc.ir.tolerance import mismatch
from graphc.runtime import BACKENDS
from graphc.runtime.compile import compile_graph
from graphc.runtime.targets import Target, targets

PACKAGES = (
    *("numpy", "ml_dtypes", "jax", "jaxlib", "flatbuffers", "optree"),
    *("rich", "safetensors", "click", "scikit-learn", "triton", "torch", "keras"),
)


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Show versions and devices, and compile and run a small graph on each target."""
    click.echo(f"graphc {__version__}, Python {platform.python_version()}")
    click.echo(f"{platform.system()} {platform.release()} {platform.machine()}")
    for package in PACKAGES:
        click.echo(f"  {package:14} {_version(package)}")
    failed = False
    for target in targets():
        ok, says = check(target)
        failed |= target.available and not ok
        click.echo(f"  {target.name:14} {'works' if ok else 'no'}{says}")
    context.exit(1 if failed else 0)


def check(target: Target) -> tuple[bool, str]:
    """Whether a small graph gives right results on a target, and what to add to that."""
    if not target.available:
        helps = target.extra and target.backend in BACKENDS
        extra = f" (pip install '{target.extra}')" if helps else ""
        return False, f": {target.reason}{extra}"
    graph = small_graph()
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    try:
        executable = compile_graph(graph, target=target.name)
        seconds = sum(executable.compile_seconds.values())
        if target.kind == "architecture":
            return True, f" (compiled a small graph, {seconds:.2f} s)"
        found = np.asarray(executable(x)[0])
    except Exception as error:
        return False, f": {type(error).__name__}: {str(error).splitlines()[0]}"
    if mismatch(found, evaluate(graph, x)[0]):
        return False, ": wrong results"
    return True, f" (compiled and ran a small graph, {seconds:.2f} s)"


def small_graph() -> Graph:
    """A graph with a contraction, a reduction and elementwise ops."""
    graph = Graph("check")
    x = graph.add_parameter(tensor_type("f32[3,4]"), "x")
    with building(graph):
        product = ir_ops.dot_general(x, x, contract=[[1], [1]])
        graph.results = [ir_ops.reduce_sum(ir_ops.tanh(product), axes=[0])]
    return graph


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
