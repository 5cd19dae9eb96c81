"""Products of matrices that NVIDIA's cuBLASLt computes in place of a generated kernel.

A call is the product of one kernel graph, said as the library wants it: with matrices
whose columns lie one after the other. Rows of ``[m, n]`` lie one after the other, which
are the columns of its transpose; so what is computed is ``yᵀ = bᵀ aᵀ``.
"""

from __future__ import annotations

from dataclasses import replace

from graphc.codegen.triton.contraction_space import (
    Contraction,
    ContractionSpace,
    contraction_space,
)
from graphc.codegen.triton.emitter import stored_element
from graphc.codegen.triton.kernel import Kernel, LibraryCall, Matrix, Tiles
from graphc.codegen.triton.products import stored_factors
from graphc.codegen.triton.schedule import CUBLAS, Schedule
from graphc.ir.graph import Graph
from graphc.ir.index import Axis, Index, flattened, variable
from graphc.ir.types import BF16, F16, F32, F64
from graphc.ir.values import Operand, Value

RESULTS = {F16: (F16, F32), BF16: (BF16, F32), F32: (F32,), F64: (F64,)}
"""The dtypes that products of operands of a dtype may be stored in."""


def library_kernel(graph: Graph, kernel: Kernel) -> Kernel | None:
    """What computes a kernel graph by a call of the library; None if there is no such.

    Args:
        graph: The kernel graph.
        kernel: Its generated kernel.
    """
    call = library_call(graph)
    if call is None:
        return None
    own = Schedule(library=CUBLAS)
    return replace(
        kernel,
        source=f"# {kernel.name}: {call}, computed by {CUBLAS}.\n",
        grid=((Tiles(1),),),
        constants=own.constants,
        num_warps=own.num_warps,
        num_stages=own.num_stages,
        descriptors=own.descriptors,
        warp_specialize=own.warp_specialize,
        overwrites=(),
        library=call,
    )


def library_call(graph: Graph) -> LibraryCall | None:
    """The call for a kernel graph; None if the library computes no such thing.

    It serves a product of matrices that lie in memory with gaps between rows or columns
    at most, alone or with a vector added to each row of the result. A convolution with
    windows of one place is such a product.
    """
    space = contraction_space(graph, always=True)
    if space is None or len(space.contractions) != 1 or len(graph.results) != 1:
        return None
    (contraction,), (result,) = space.contractions, graph.results
    node = contraction.node
    a = node.operands[0]
    if result.type.dtype not in RESULTS.get(a.type.dtype, ()):
        return None
    found = _bias(graph, space, contraction, result)
    operands = _operands(graph, space, contraction)
    if found is None or operands is None or not isinstance(result, Value):
        return None
    at = space.coordinates[result]
    pointer = len(graph.parameters)
    position = flattened(at, result.type.static_shape)
    made = _matrix(pointer, position, space.n, space.m, space.batch)
    if made is None or made[1]:
        return None
    (right, is_right), (left, is_left) = operands
    return LibraryCall(
        first=right,
        second=left,
        result=made[0],
        transposed=(is_right, is_left),
        batch=space.batch.extent,
        operand_dtype=a.type.dtype.name,
        result_dtype=result.type.dtype.name,
        tf32=a.type.dtype is F32 and bool(graph.attributes.get("tf32")),
        bias=found[0],
    )


def _operands(
    graph: Graph, space: ContractionSpace, contraction: Contraction
) -> list[tuple[Matrix, bool]] | None:
    """The right and the left operand, and whether each is to be transposed."""
    k = Axis("k", contraction.terms)
    node = contraction.node
    factors = stored_factors(node, space.coordinates[node.results[0]], variable(k))
    if factors is None:
        return None
    left, right = factors
    found: list[tuple[Matrix, bool]] = []
    for side, at, operand in (
        ((space.n, k), right, node.operands[1]),
        ((k, space.m), left, node.operands[0]),
    ):
        held = stored_element(graph.parameters, operand, at)
        if held is None or held[0].type.dtype is not operand.type.dtype:
            return None
        value, where = held
        position = flattened(where, value.type.static_shape)
        matrix = _matrix(value.index, position, *side, space.batch)
        if matrix is None:
            return None
        found.append(matrix)
    return found


def _matrix(
    pointer: int, position: Index, rows: Axis, columns: Axis, batch: Axis
) -> tuple[Matrix, bool] | None:
    """A matrix whose elements are at `position`, and whether it lies there transposed."""
    strides = dict(position.terms)
    apart = strides.pop(batch, 0)
    along, across = strides.pop(rows, 0), strides.pop(columns, 0)
    if strides or position.constant or rows.extent < 2 or columns.extent < 2:
        return None
    height, width = rows.extent, columns.extent
    if along == 1 and across >= height:
        return Matrix(pointer, height, width, across, apart), False
    if across == 1 and along >= width:
        return Matrix(pointer, width, height, along, apart), True
    return None


def _bias(
    graph: Graph, space: ContractionSpace, contraction: Contraction, result: Operand
) -> tuple[int | None] | None:
    """The pointer to the bias, or to none; None if anything else is computed."""
    product, bias = contraction.node.results[0], None
    while result is not product:
        node = result.node if isinstance(result, Value) else None
        if node is None:
            return None
        if node.op.name == "add" and bias is None and space.batch.extent == 1:
            vectors = [_vector(graph, space, operand) for operand in node.operands]
            bias = next((vector for vector in vectors if vector is not None), None)
            result = node.operands[0 if vectors[0] is None else 1]
        elif node.op.name == "convert" and result.type.dtype.is_float:
            (result,) = node.operands
        else:
            return None
        if node.op.name == "add" and bias is None:
            return None
    return (bias,)


def _vector(graph: Graph, space: ContractionSpace, value: Operand) -> int | None:
    """The pointer to a vector that is the same for all rows, if `value` is one."""
    at = space.coordinates.get(value) if isinstance(value, Value) else None
    held = None if at is None else stored_element(graph.parameters, value, at)
    if held is None or held[0].type.dtype is not graph.results[0].type.dtype:
        return None
    parameter, place = held
    position = flattened(place, parameter.type.static_shape)
    return parameter.index if position == variable(space.n) else None
