"""Plans survive being written as JSON."""

import json
import math
from typing import Any

import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.kernel import Kernel, Tiles
from graphc.codegen.triton.plan import Plan
from graphc.codegen.triton.plan_json import plan_from_json, plan_to_json
from graphc.codegen.triton.planning import make_plan
from graphc.ir import GraphcError
from graphc.ir.types import tensor_type
from tests.evaluator_device import kernels_of, lowered


def plan_of_everything() -> Plan:
    def function(h: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return ops.matmul(h, h) + x, ops.sum(h)

        h, sums = ops.scan(step, h, xs)
        h = ops.cond(ops.sum(h) > math.inf, lambda: h, lambda: h * 2.0)
        ops.print("{:.1f}", ops.sum(h))
        return ops.while_loop(
            lambda i, h: i < 3, lambda i, h: (i + 1, h + h), (0, h)
        ), sums

    spec = graphc.TensorSpec
    graph = graphc.trace(function, spec((4, 4)), spec((3, 4, 4)))
    graph, _ = lowered(passes.run(graph, "decompose,dce"))
    facts = {
        "grid": ((Tiles(7, "XBLOCK"),), (Tiles(3),)),
        "constants": {"XBLOCK": 4},
        "layers": ("a/b", "c"),
    }
    kernels = {
        name: Kernel(kernel.name, "text\n", kernel.parameters, kernel.results, **facts)
        for name, kernel in kernels_of(graph).items()
    }
    return make_plan(graph, kernels, (0,))


def test_a_plan_is_read_back():
    plan = plan_of_everything()
    again = plan_from_json(plan_to_json(plan))
    assert again == plan
    assert str(again) == str(plan)
    assert again.kernels[0].programs == plan.kernels[0].programs == (2, 3, 1)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"Plan":[]}', '{"Other":[]}', '{"a":1,"b":2}', "3"]
)
def test_other_text_is_refused(text: str):
    with pytest.raises(GraphcError, match="the text is no launch plan"):
        plan_from_json(text)


def test_types_are_as_in_graphs():
    encoded = json.loads(plan_to_json(plan_of_everything()))
    types = encoded["Plan"][1]
    assert [tensor_type(t["type"]).shape for t in types] == [(4, 4), (3, 4, 4)]
