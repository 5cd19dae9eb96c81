"""The kernels of a lowered graph as data for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import function_name
from graphc.codegen.triton.planning import make_plan
from graphc.codegen.triton.tuning import emit_tuned_kernels, load_table
from graphc.ir.graph import Graph
from graphc.passes.cost_model import Rates
from graphc.passes.fusion.outlining import KERNEL
from graphc.runtime.kernel_costs import KernelCost
from graphc.runtime.plan_costs import plan_kernels


def kernel_costs(graph: Graph, architecture: str) -> dict[str, KernelCost]:
    """What each kernel of a graph is and how often it is launched, by its graph's name.

    Raises:
        UnsupportedError: If the graph is not one of kernels alone.
    """
    emitted: Mapping[str, Kernel] = emit_tuned_kernels(
        graph, load_table(architecture), architecture
    )
    costs = plan_kernels(make_plan(graph, emitted)).costs
    launched = {cost.kernel.name: cost for cost in costs}
    return {
        name: launched[function_name(name)]
        for name in emitted
        if function_name(name) in launched
    }


def kernel_data(
    graph: Graph, costs: Mapping[str, KernelCost], gpu: Rates
) -> list[dict[str, Any]]:
    """The kernels, in the order of the first launches."""
    return [
        {
            "graph": name,
            "kind": str(graph.module.graphs[name].attributes.get(KERNEL, "")),
            "nodes": len(graph.module.graphs[name]),
            "launches": cost.launches,
            "grid": list(cost.kernel.programs),
            "tiles": dict(cost.kernel.constants),
            "warps": cost.kernel.num_warps,
            "flops": cost.kernel.flops,
            "bytes": cost.kernel.bytes,
            "seconds": cost.roofline(gpu),
            "layers": list(cost.kernel.layers),
            "source": cost.kernel.source,
        }
        for name, cost in costs.items()
    ]
