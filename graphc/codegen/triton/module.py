"""Kernel graphs as kernels: which body each gets, and the text of its file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from graphc.codegen.triton.attention import attention_kernel, supports
from graphc.codegen.triton.blocks import HELPERS
from graphc.codegen.triton.bodies import Body, Template, generated_body
from graphc.codegen.triton.contraction import contraction_body
from graphc.codegen.triton.elementwise import FORMS
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.mathematics import helper_source
from graphc.codegen.triton.ordering import ordering_body
from graphc.codegen.triton.scatter import scatter_body
from graphc.codegen.triton.writer import RESERVED
from graphc.ir.collection import collection_paused
from graphc.ir.cost import graph_cost
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.ir.location import Location
from graphc.ir.ops import OPS
from graphc.ir.values import Value, sanitize_name
from graphc.passes import run
from graphc.passes.inline import kernel_graphs

DEFAULT_ARCHITECTURE = "sm_90"
"""The GPU that kernels are made for unless another is named."""


_FORMED = sorted(name for name in FORMS if OPS[name].is_composite)
"""The composites that are one expression."""


@collection_paused()
def emit_kernels(graph: Graph) -> dict[str, Kernel]:
    """The kernels of all kernel graphs that `graph` and its callees call, by name.

    Raises:
        UnsupportedError: If something in a kernel graph has no Triton form.
    """
    return {each.name: emit_kernel(each) for each in kernel_graphs(graph)}


def emit_kernel(
    graph: Graph,
    template: Template | None = None,
    architecture: str = DEFAULT_ARCHITECTURE,
) -> Kernel:
    """The kernel of a kernel graph: one launch that computes all of its results.

    Args:
        graph: Primitives, and composites that have a kernel of their own, without
            dimension symbols.
        template: What makes the body, if that is to be another than the default one:
            one with other tile sizes, say.
        architecture: The GPU whose tile sizes attention gets, such as ``sm_80``.

    Raises:
        UnsupportedError: If something in it has no Triton form.
    """
    name = function_name(graph.name)
    composites = [
        n for n in graph.nodes if n.op.is_composite and n.op.name not in FORMS
    ]
    if len(graph) == 1 and composites and supports(composites[0]) is None:
        return attention_kernel(composites[0], name, architecture)
    if composites:
        graph = run(graph, f"decompose{{keep=[{','.join(_FORMED)}]}},dce")
    pointers = _pointer_names(graph)
    results = [value.type for value in graph.results]
    try:
        body = _body(graph, pointers, template)
    except GraphcError as error:
        error.location = error.location or _location(graph)
        raise
    inputs = len(graph.parameters)
    pointers = [
        pointer
        for number, pointer in enumerate(pointers)
        if number - inputs not in body.in_place
    ]
    layers = _layers(graph)
    cost = graph_cost(graph)
    return Kernel(
        name=name,
        source=_file(name, graph, layers, pointers, body),
        parameters=tuple(p.type for p in graph.parameters),
        results=tuple(results),
        grid=body.grid,
        arguments=tuple(pointers),
        constants=body.schedule.constants,
        num_warps=body.schedule.num_warps,
        num_stages=body.schedule.num_stages,
        descriptors=body.schedule.descriptors,
        warp_specialize=body.schedule.warp_specialize,
        overwrites=body.overwrites,
        in_place=body.in_place,
        zeroed=body.zeroed,
        layers=tuple(layers),
        flops=cost.flops if isinstance(cost.flops, int) else 0,
        bytes=sum(t.nbytes for t in (*(p.type for p in graph.parameters), *results)),
    )


TEMPLATES: Sequence[Template] = (scatter_body, ordering_body, contraction_body)
"""Bodies that are not generated from loops, in the order in which they are tried."""


def _body(
    graph: Graph, pointers: Sequence[str], template: Template | None = None
) -> Body:
    for make in TEMPLATES if template is None else (template,):
        body = make(graph, pointers)
        if body is not None:
            return body
    return generated_body(graph, pointers)


def function_name(name: str) -> str:
    """The name of the function for a kernel graph: its own, if Python takes it."""
    found = sanitize_name(name).replace(".", "_")
    return f"{found}_kernel" if found in RESERVED else found


# -- text ------------------------------------------------------------------------------


def _file(
    name: str,
    graph: Graph,
    layers: Sequence[str],
    pointers: Sequence[str],
    body: Body,
) -> str:
    own = {helper for helper in body.helpers if helper in HELPERS}
    helpers = [HELPERS[helper] for helper in sorted(own)]
    others = helper_source(sorted(body.helpers - own))
    arguments = [*pointers, *(f"{c}: tl.constexpr" for c in body.schedule.constants)]
    parts = [
        _header(graph, layers),
        "import triton\nimport triton.language as tl\n",
        *helpers,
        *([others] if others else []),
        "\n".join(["@triton.jit", *_signature(name, arguments), *body.lines]) + "\n",
    ]
    return "\n\n".join(part.strip("\n") + "\n" for part in parts)


def _header(graph: Graph, layers: Sequence[str]) -> str:
    """Comments that say what the kernel computes, and for which layers."""
    results = ", ".join(str(value.type) for value in graph.results)
    operands = ", ".join(f"{_name(p)}: {p.type}" for p in graph.parameters)
    text = [f"{graph.name}({operands}) -> {results}"]
    if layers:
        text.append(f"Layers: {', '.join(layers)}")
    lines = [
        f"# {line}"
        for paragraph in text
        for line in textwrap.wrap(paragraph, 84, break_long_words=False)
    ]
    return "\n".join(lines) + "\n"


def _signature(name: str, arguments: Sequence[str]) -> list[str]:
    whole = f"def {name}({', '.join(arguments)}):"
    if len(whole) <= 88:
        return [whole]
    return [f"def {name}(", *[f"    {argument}," for argument in arguments], "):"]


def _name(value: Value) -> str:
    return value.name or f"x{value.index}"


def _pointer_names(graph: Graph) -> list[str]:
    """The arguments: what parameters and results are called, each with ``_ptr``."""
    taken: set[str] = set()
    names: list[str] = []
    for base in (
        *(_name(p) for p in graph.parameters),
        *(_result_name(value, n) for n, value in enumerate(graph.results)),
    ):
        word = sanitize_name(base).replace(".", "_")
        name, number = f"{word}_ptr", 0
        while name in taken:
            number += 1
            name = f"{word}_{number}_ptr"
        taken.add(name)
        names.append(name)
    return names


def _result_name(value: object, number: int) -> str:
    if isinstance(value, Value) and value.name:
        return value.name
    return "out" if number == 0 else f"out{number}"


def _layers(graph: Graph) -> list[str]:
    paths = [node.location.path for node in graph.nodes if node.location]
    return list(dict.fromkeys(path for path in paths if path))


def _location(graph: Graph) -> Location | None:
    return next((node.location for node in graph.nodes if node.location), None)
