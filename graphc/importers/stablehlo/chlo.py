"""Operations of the CHLO dialect: graphc's own op, or their expansion in StableHLO."""

from __future__ import annotations

import functools
from typing import Any

from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.elementwise import is_plain, total_order
from graphc.importers.stablehlo.function import BlockReader, Importer, Operation
from graphc.ir import Graph, ops
from graphc.ir.opdef import OPS
from graphc.ir.values import Operand

_EXPANSION = "builtin.module(func.func(chlo-legalize-to-stablehlo))"


def expand(op: Operation, *operands: Operand) -> Any:
    """The op of the operation's own name, or a call of its expansion."""
    known = OPS.get(op.name.partition(".")[2])
    if known is not None and is_plain(known):
        return known(*operands)
    for name in op.raw.attributes:  # the expansion heeds them all
        op.attribute(name)
    return ops.call(*operands, graph=_expansion(op))


def _expansion(op: Operation) -> Graph:
    """The graph of what the operation is by MLIR's own rules."""
    session = op.reader.session
    text = _function(op.raw)
    if text not in session.expansions:
        module = ir.Module.parse(text)
        _register_passes()
        try:
            passmanager.PassManager.parse(_EXPANSION).run(module.operation)
        except ir.MLIRError:
            raise op.refuse("the operation is not supported") from None
        (function,) = module.body.operations
        (block,) = function.regions[0].blocks
        name = session.module.fresh_name(op.name.partition(".")[2])
        graph = Graph(name, session.module)
        reader = BlockReader(session, graph)
        reader.parameters(block.arguments)
        graph.results = reader.read(block)
        session.expansions[text] = graph
    return session.expansions[text]


@functools.cache
def _register_passes() -> None:
    stablehlo.register_stablehlo_passes()


def _function(raw: ir.Operation) -> str:
    """A module of one function that does what the operation does."""
    types = [str(operand.type) for operand in raw.operands]
    results = [str(result.type) for result in raw.results]
    parameters = ", ".join(f"%a{i}: {type}" for i, type in enumerate(types))
    names = ", ".join(f"%a{i}" for i in range(len(types)))
    found = ", ".join(f"%r{i}" for i in range(len(results)))
    attributes = ", ".join(
        f"{name} = {raw.attributes[name]}" for name in raw.attributes
    )
    returned = ", ".join(results)
    return (
        f"func.func @f({parameters}) -> ({returned}) {{\n"
        f'  {found} = "{raw.name}"({names}) {{{attributes}}} : '
        f"({', '.join(types)}) -> ({returned})\n"
        f"  return {found} : {returned}\n}}"
    )


def top_k(op: Operation, x: Operand) -> Any:
    """The largest elements along the last dimension, and where they are.

    By total order: a nan whose sign is set comes last.
    """
    k = op.attribute("k")
    if not x.type.dtype.is_float:
        return ops.top_k(x, k=k)
    places = ops.top_k(total_order(x), k=k)[1]
    return ops.take_along(x, places, axis=x.type.rank - 1), places


EXPANDED = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "bessel_i1e", "conj", "cosh"),
    *("digamma", "erf", "erf_inv", "erfc", "is_inf", "is_neg_inf", "is_pos_inf"),
    *("lgamma", "mulhi", "next_after", "polygamma", "sinh", "square", "tan"),
    *("zeta", "constant_like", "constant", "asin_acos_kernel"),
    *("broadcast_add", "broadcast_and", "broadcast_atan2", "broadcast_compare"),
    *("broadcast_divide", "broadcast_maximum", "broadcast_minimum"),
    *("broadcast_multiply", "broadcast_next_after", "broadcast_or"),
    *("broadcast_polygamma", "broadcast_power", "broadcast_remainder"),
    *("broadcast_select", "broadcast_shift_left", "broadcast_shift_right_arithmetic"),
    *("broadcast_shift_right_logical", "broadcast_subtract", "broadcast_xor"),
    "broadcast_zeta",
)

IMPORTERS: dict[str, Importer] = {
    **{f"chlo.{name}": expand for name in EXPANDED},
    "chlo.top_k": top_k,
}
