"""The exact evaluator: what a graph means over finite fields instead of floats.

Programs that are equal over the reals by the laws of arithmetic give equal results to
the last bit here, in whatever order they add; others almost surely differ everywhere.
A pass is checked by running a graph before and after it. See `graphc.ir.payload` for
what the numbers are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import prod
from typing import Any

import numpy as np

from graphc.ir.body import as_tuple
from graphc.ir.dims import substitute
from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import Evaluator, bind_shapes
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.payload import NoMeaningError, Payload, exact, hashed, opaque
from graphc.ir.types import DType, TensorType
from graphc.ir.values import Literal, Operand, Value

Array = np.ndarray[Any, Any]

MOST_WORK = 10**7
"""How many multiply-adds and elements an evaluation may take unless told otherwise."""


def evaluate_exact(
    graph: Graph, *arrays: Any, most_work: int = MOST_WORK
) -> tuple[Array, ...]:
    """The results of `graph` over finite fields; integers and bool are as ever.

    Args:
        graph: The graph to run.
        *arrays: One array-like per parameter, of its shape. Floats may be given as
            `Payload` arrays, or as numbers, which stand for their exact values.
        most_work: How many multiply-adds and elements to compute at most.

    Returns:
        One array per result: `Payload` arrays for floats, which are equal if the
        programs that made them are.

    Raises:
        GraphError: If the arrays do not fit the parameters.
        UnsupportedError: If an op has no exact meaning, or the graph is too large.

    Example:
        >>> from graphc.ir import parse
        >>> text = '''graph @f(%x: f32[2]) -> (f32[2]) {
        ...   %y = add(%x, %x) : f32[2]
        ...   return %y
        ... }'''
        >>> x = [0.1, 0.2]
        >>> (found,) = evaluate_exact(parse(text), x)
        >>> bool((found == 2 * exact(x)).all())
        True
    """
    given = [each if isinstance(each, Payload) else np.asarray(each) for each in arrays]
    bindings = bind_shapes(graph, [array.shape for array in given])
    with np.errstate(all="ignore"):
        stored = [
            _kept(array, parameter.type, packed=False)
            for array, parameter in zip(given, graph.parameters, strict=True)
        ]
        return ExactEvaluator(bindings, most_work).run(graph, *stored)


class ExactEvaluator:
    """Evaluates graphs over finite fields under one binding of the dimension symbols.

    An op is run by its `exact` rule, else a composite by its body and a primitive by
    its NumPy reference, which `Payload` arrays give their meaning to. What the fields
    have nothing for, such as a decomposition, is some function of all its operands.

    Attributes:
        plain: The evaluator for floats, which knows attributes and bodies.
        work: How many multiply-adds and elements may still be computed.
    """

    def __init__(self, bindings: Mapping[str, int], work: int) -> None:
        self.plain = Evaluator(bindings)
        self.work = work

    def run(self, graph: Graph, *arrays: Array) -> tuple[Array, ...]:
        """The results of `graph` for `arrays`, in which floats are stored pairs."""
        values: dict[Value, Array] = {
            p: _kept(a, p.type, packed=True)
            for p, a in zip(graph.parameters, arrays, strict=True)
        }
        for node in graph.nodes:
            operands = [self._read(values, operand) for operand in node.operands]
            values.update(zip(node.results, self.apply(node, operands), strict=True))
        return tuple(self._read(values, result) for result in graph.results)

    def apply(self, node: Node, operands: Sequence[Array]) -> list[Array]:
        """The results of one node for operand arrays."""
        op = node.op
        floats = any(isinstance(operand, Payload) for operand in operands)
        integral = not floats and not any(r.dtype.is_float for r in node.results)
        direct = integral or op.calls_graphs or not op.is_composite
        if direct and op.reference is not None:
            self._spend(node, operands)
            results = as_tuple(self._direct(node, operands, floats))
        else:
            results = self.run(self.plain.body(node), *operands)
        return [
            _kept(array, result.type, floats)
            for array, result in zip(results, node.results, strict=True)
        ]

    def _direct(self, node: Node, operands: Sequence[Array], floats: bool) -> Any:
        op, attributes = node.op, self.plain.attributes(node)
        if op.exact is not None:
            return op.exact(*operands, **attributes)
        if floats and Trait.READS_BITS in op.traits:
            return _function_of_bits(node, operands)
        if op.calls_graphs:
            attributes["run"] = self.run
        assert op.reference is not None
        try:
            return op.reference(*operands, **attributes)
        except NoMeaningError:
            return self._function_of_all(node, operands)

    def _function_of_all(self, node: Node, operands: Sequence[Array]) -> Any:
        """Results of which each element is another hash of all elements of operands."""
        attributes = json.dumps(node.attributes, sort_keys=True)
        digest = blake2b(f"{node.op.name} {attributes}".encode())
        for operand in operands:
            wide = np.asarray(operand).astype(np.float64) + 0.0  # no negative zero
            digest.update(np.where(np.isnan(wide), np.nan, wide).tobytes())
        results: list[Array] = []
        for number, result in enumerate(node.results):
            tag = f"{digest.hexdigest()} {number}"
            shape = self._shape(result.type)
            places = np.arange(prod(shape), dtype=np.float64).reshape(shape)
            results.append(_function(tag, result.dtype, places))
        return tuple(results)

    def _shape(self, type: TensorType) -> tuple[int, ...]:
        return tuple(int(substitute(d, self.plain.bindings)) for d in type.shape)

    def _spend(self, node: Node, operands: Sequence[Array]) -> None:
        """Counts the work of a node.

        Raises:
            UnsupportedError: If there was too much of it.
        """
        op = node.op
        sizes = [prod(self._shape(result.type)) for result in node.results]
        work = sum(sizes) + sum(array.size for array in operands)
        if op.kind is Kind.CONTRACTION and op.flops is not None:
            types = [
                o.type.with_shape(a.shape)
                for o, a in zip(node.operands, operands, strict=True)
            ]
            results = [r.type.with_shape(sizes[:1]) for r in node.results]
            work += op.flops(types, results, **self.plain.attributes(node)) // 2
        self.work -= work
        if self.work < 0:
            raise UnsupportedError(
                "the graph is too large for an exact evaluation",
                received=str(node.result.type),
                location=node.location,
                hint="bind its symbols to smaller sizes, or raise most_work",
            )

    def _read(self, values: Mapping[Value, Array], operand: Operand) -> Array:
        return _number(operand) if isinstance(operand, Literal) else values[operand]


@lru_cache(maxsize=4096)
def _number(literal: Literal) -> Array:
    """What a literal stands for; graphs repeat few of them."""
    found = _kept(literal.numpy(), literal.type, packed=False)
    found.flags.writeable = False
    return found


def _kept(array: Any, type: TensorType, packed: bool) -> Array:
    """`array` as a value of `type` is kept.

    Args:
        array: What a rule returned.
        type: The type of the value.
        packed: Whether floats in it are pairs of residues rather than numbers.
    """
    if not type.dtype.is_float:
        return np.asarray(array).view(np.ndarray).astype(type.dtype.numpy, copy=False)
    if packed or isinstance(array, Payload):
        return np.asarray(np.asarray(array, np.float64) + 0.0).view(Payload)
    return exact(array)


def _function_of_bits(node: Node, operands: Sequence[Array]) -> Array:
    """Some function of how floats are stored, of which no more is known."""
    if node.op.kind is not Kind.ELEMENTWISE:
        raise UnsupportedError(
            f"{node.op.name} has no exact meaning for floats", location=node.location
        )
    if node.result.dtype is node.operands[0].type.dtype:
        return operands[0]
    tag = f"{node.op.name} {json.dumps(node.attributes, sort_keys=True)}"
    return _function(tag, node.result.dtype, *operands)


def _function(tag: str, dtype: DType, *operands: Array) -> Array:
    """Elements of `dtype` that depend on a tag and on those of the operands."""
    if dtype.is_float:
        return opaque(tag, *operands)
    found = hashed(tag, *operands) & np.uint64(2**dtype.bits - 1)
    return found.astype(f"u{dtype.bits // 8}").view(dtype.numpy)
