"""Tuning tables: what is read, refused, found by a kernel's signature, and used."""

import json
from pathlib import Path
from typing import Any

import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton import tuning
from graphc.codegen.triton.module import emit_kernel, emit_kernels
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import (
    Entry,
    candidates,
    emit_tuned_kernels,
    load_table,
    read_table,
    scheduled_kernel,
    signature_of,
)
from graphc.codegen.triton.tuning.table import table_text
from graphc.ir import Graph, GraphcError

ENTRY: dict[str, Any] = {
    "constants": {"XBLOCK": 256},
    "num_warps": 4,
    "num_stages": 2,
    "microseconds": 1.5,
    "default": 2.0,
    "measured": "NVIDIA H200, Triton 3.6.0, 2026-01-01",
}


def lowered(function: Any, *shapes: tuple[int, ...]) -> Graph:
    graph = graphc.trace(function, *map(graphc.TensorSpec, shapes))
    return passes.run(graph, "triton")


def kernel_graph(function: Any, *shapes: tuple[int, ...]) -> Graph:
    graphs = lowered(function, *shapes).reachable()
    (found,) = (each for each in graphs if each.attributes.get("fused"))
    return found


def written(path: Path, content: Any) -> Path:
    file = path / "sm_90.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize("path", sorted(Path(tuning.__file__).parent.glob("*.json")))
def test_the_tables_that_come_with_graphc_are_intact(path: Path):
    assert table_text(read_table(path)) == path.read_text()


def test_an_architecture_without_a_table_has_none():
    assert load_table("sm_61") == {}


def test_a_table_is_read_as_it_was_written(tmp_path: Path):
    table = read_table(written(tmp_path, {"entries": {"a kernel": ENTRY}}))
    assert table["a kernel"].schedule == Schedule({"XBLOCK": 256}, 4, 2)
    assert read_table(written(tmp_path, table_text(table))) == table


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"constants": {"XBLOCK": 100}}, "XBLOCK must be a power of two"),
        ({"constants": []}, "constants must be an object of tile sizes"),
        ({"num_warps": 3}, "num_warps must be a power of two up to 32"),
        ({"num_warps": True}, "num_warps must be a power of two up to 32"),
        ({"num_stages": 0}, "num_stages must be from 1 to 16"),
        ({"default": 0}, "default must be a time"),
        ({"measured": ""}, "measured must say on what"),
        ({"more": 1}, "it must have constants, num_warps, num_stages"),
    ],
)
def test_damaged_entries(changed: dict[str, Any], message: str, tmp_path: Path):
    path = written(tmp_path, {"entries": {"a kernel": ENTRY | changed}})
    with pytest.raises(GraphcError, match=f"sm_90.json is damaged: entry.*{message}"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ([], "no object 'entries'"), ({}, "no object 'entries'")],
)
def test_damaged_files(content: Any, message: str, tmp_path: Path):
    with pytest.raises(GraphcError, match=message):
        read_table(written(tmp_path, content))


def test_signatures_are_those_of_similar_shapes():
    def normalized(x: Any) -> Any:
        return ops.softmax(x * 2.0)

    here, near, far = (kernel_graph(normalized, (n, 100)) for n in (700, 1000, 1100))
    assert signature_of(here) == signature_of(near) != signature_of(far)
    assert signature_of(here).endswith(": f32[1024,128] -> f32[1024,128]")


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: ops.exp(x) + 1.0, [(300, 200)]),
        (lambda x: ops.softmax(x), [(300, 200)]),
        (lambda x: ops.sum(x, axis=0), [(300, 200)]),
        (lambda x: ops.transpose(x) * 2.0, [(300, 200)]),
        (lambda a, b: ops.matmul(a, b), [(300, 200), (200, 100)]),
    ],
)
def test_candidates(function: Any, shapes: list[tuple[int, ...]]):
    graph = kernel_graph(function, *shapes)
    kernel = emit_kernel(graph)
    found = candidates(graph, kernel)
    assert 4 <= len(found) <= 20
    for schedule in found:
        if schedule.library is not None:
            continue
        other = scheduled_kernel(graph, kernel, schedule)
        assert other is not None
        assert (other.name, other.pointers) == (kernel.name, kernel.pointers)
        assert dict(other.constants) == dict(schedule.constants)
        assert list(other.constants) == list(kernel.constants)
        assert min(other.programs) >= 1


def test_entries_are_used_where_they_fit():
    graph = lowered(lambda x: ops.exp(x) + 1.0, (300, 200))
    ((name, default),) = emit_kernels(graph).items()
    signature = signature_of(graph.module.graphs[name])

    def emitted(constants: dict[str, int]) -> Any:
        entry = Entry(Schedule(constants, 2, 3), 1.0, 2.0, "here")
        return emit_tuned_kernels(graph, {signature: entry})[name]

    kernel = emitted({"XBLOCK": 128})
    assert (kernel.num_warps, kernel.num_stages) == (2, 3)
    assert kernel.programs == (-(-300 * 200 // 128), 1, 1)
    assert kernel.source == default.source
    assert emitted({"BLOCK": 128}) == default
    assert emit_tuned_kernels(graph, {}) == {name: default}


def test_rows_are_walked_as_the_text_says():
    graph = lowered(lambda x: ops.softmax(x), (300, 200))
    ((name, default),) = emit_kernels(graph).items()
    constants = dict(default.constants) | {"RBLOCK": 64}
    signature = signature_of(graph.module.graphs[name])
    entry = Entry(Schedule(constants, 2, 3), 1.0, 2.0, "here")
    assert emit_tuned_kernels(graph, {signature: entry})[name] == default


@pytest.mark.parametrize(
    ("architecture", "described", "divided"),
    [("sm_80", 0, 0), ("sm_90", 8, 0), ("sm_100", 16, 8), ("gfx942", 0, 0)],
)
def test_what_hardware_has_is_offered(architecture: str, described: int, divided: int):
    graph = kernel_graph(lambda a, b: ops.matmul(a, b), (512, 512), (512, 512))
    graph.attributes["tf32"] = True
    default = emit_kernel(graph, architecture=architecture)
    found = candidates(graph, default, architecture)
    assert sum(each.descriptors for each in found) == described
    assert sum(each.warp_specialize for each in found) == divided
    kernels = [scheduled_kernel(graph, default, each) for each in found]
    assert [each and each.schedule for each in kernels] == found
    assert default.schedule == Schedule(
        default.constants, default.num_warps, default.num_stages
    )
