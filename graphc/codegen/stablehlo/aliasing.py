"""Modules whose results may take the memory of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.codegen.stablehlo.text import type_text, types_text
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.opdef import operand_types

_MAIN = "  func.func public @main("


def with_aliases(text: str, graph: Graph, aliases: Mapping[int, int]) -> str:
    """The text of a module whose ``@main`` gives memory of parameters to results.

    ``@main`` becomes a private function, which the new one calls.

    Args:
        text: What `emit_stablehlo` wrote for `graph`.
        graph: The graph.
        aliases: For some parameters the result that takes the parameter's memory.
    """
    if not aliases:
        return text
    parameters, results = (
        [p.type for p in graph.parameters],
        operand_types(graph.results),
    )
    name = fresh_name("program", [each.name for each in graph.reachable()])
    taken = [
        f"%{place}: {type_text(type)}"
        + (
            f" {{tf.aliasing_output = {aliases[place]} : i32}}"
            if place in aliases
            else ""
        )
        for place, type in enumerate(parameters)
    ]
    returned = types_text(results)
    values = ", ".join(f"%{place}" for place in range(len(parameters)))
    called = f"%r:{len(results)}"
    given = ", ".join(f"%r#{place}" for place in range(len(results)))
    entry = [
        f"{_MAIN}{', '.join(taken)}) -> ({returned}) {{",
        f"    {called} = func.call @{name}({values})"
        f" : ({types_text(parameters)}) -> ({returned})",
        f"    return {given} : {returned}",
        "  }",
    ]
    first, rest = text.split("\n", 1)
    assert rest.startswith(_MAIN), "the graph's own function stands first"
    private = f"  func.func private @{name}({rest.removeprefix(_MAIN)}"
    return "\n".join([first, *entry, private])
