"""Spaces: order, text, and the pipelines and schedules that they stand for."""

from __future__ import annotations

import pytest

import graphc
from graphc import ops
from graphc.ir import Graph, LoadError
from graphc.passes import PASSES, parse_pipeline, run
from graphc.passes.inline import kernel_graphs
from graphc.tuning.kernels import kernel_space
from graphc.tuning.pipelines import pipeline_space, relevant
from tests.tuning.simulated import space_of


def test_choices_are_in_the_order_of_their_ranks() -> None:
    space = space_of(2, 3, 2)
    every = list(space.choices())
    assert len(set(every)) == space.size == 12
    assert every[0] == space.canonical
    assert every == sorted(every, key=space.rank)


def test_texts_read_back() -> None:
    space = space_of(2, 3, 2)
    for choice in space.choices():
        assert space.parse(space.text(choice)) == choice


@pytest.mark.parametrize(
    "text",
    ["", "axis0", "axis0=", "axis0=v9", "axis9=v0", "axis0=v1 axis0=v1", "axis0=v1  "],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(LoadError, match="none of this space"):
        space_of(2, 3).parse(text)


def test_pipelines_vary_by_what_passes_declare() -> None:
    text = "autodiff,(cse,dce)*,decompose,unroll_windows,(cse)*"
    found = pipeline_space(text)
    names = [axis.name for axis in found.space.axes]
    assert names == ["cse", "dce", "unroll_windows"]
    assert found.pipeline_of(found.space.canonical) == str(parse_pipeline(text))
    choice = found.space.parse("cse=off unroll_windows=most_places=4")
    wanted = "autodiff,(dce)*,decompose,unroll_windows{most_places=4}"
    assert found.pipeline_of(choice) == wanted


@pytest.mark.parametrize("name", ["xla", "xla:cpu", "triton"])
def test_every_variant_is_a_pipeline(name: str) -> None:
    found = pipeline_space(name, ("float32", "bfloat16"), (1, 4))
    for place, axis in enumerate(found.space.axes):
        for value in axis.values:
            choice = list(found.space.canonical)
            choice[place] = value
            parse_pipeline(found.pipeline_of(tuple(choice)))


def test_passes_declare_values_of_their_options() -> None:
    declared = {name: p.tuned for name, p in PASSES.items() if p.tuned}
    assert {"unroll_windows", "convolution_as_dot"} <= declared.keys()
    for name, tuned in declared.items():
        default = PASSES[name]()
        for option, values in tuned.items():
            assert getattr(default, option) not in values


def product() -> Graph:
    specs = graphc.TensorSpec((64, 48)), graphc.TensorSpec((48, 40))
    return graphc.trace(lambda a, b: ops.relu(ops.matmul(a, b)), *specs)


def test_what_changes_nothing_is_no_choice() -> None:
    found = relevant(pipeline_space("xla:cpu"), product())
    assert "unroll_windows" not in [axis.name for axis in found.space.axes]
    pooled = graphc.trace(lambda x: ops.max_pool(x, 2), graphc.TensorSpec((1, 8, 8, 3)))
    found = relevant(pipeline_space("xla:cpu"), pooled)
    values = {axis.name: axis.values for axis in found.space.axes}
    assert values["unroll_windows"] == ("on", "off")
    # 18 terms: at most 9 of them is none of them.
    found = relevant(
        pipeline_space("xla:cpu"),
        graphc.trace(
            ops.conv, graphc.TensorSpec((4, 8, 8, 2)), graphc.TensorSpec((3, 3, 2, 4))
        ),
    )
    values = {axis.name: axis.values for axis in found.space.axes}
    assert values["convolution_as_sums"] == ("on", "off")


def test_kernels_have_the_schedules_of_their_templates() -> None:
    (graph,) = kernel_graphs(run(product(), "triton"))
    kernels = kernel_space(graph)
    assert kernels.space.size > 4
    made = [kernels.kernel_of(name) for name in kernels.schedules]
    assert all(made)
    assert len({str(kernel) for kernel in made}) == kernels.space.size
