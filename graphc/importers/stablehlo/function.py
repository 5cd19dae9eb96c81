"""Importing one MLIR block into one graph: values, operations and their attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from jax.extend.mlir import ir

from graphc.importers.stablehlo.locations import given_name, read_location
from graphc.importers.stablehlo.types import read_type
from graphc.ir import Graph, building, is_name
from graphc.ir.errors import GraphError, UnsupportedError
from graphc.ir.graph import Module
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand

Importer: TypeAlias = Callable[..., Any]
"""``(operation, *operands)`` to the operand or operands that stand for its results."""

_MEANINGLESS = {
    "indices_are_sorted",
    "known_expanding_dimensions",
    "known_nonexpanding_dimensions",
    "precision_config",
    "result_accuracy",
    "unique_indices",
}
"""Attributes that promise something, or say how accurate a result must be."""

_ANNOTATIONS = ("mhlo.", "sdy.", "jax.", "tf.", "xla.")
"""What the names of attributes about placement and provenance start with."""

TERMINATORS = {"func.return", "stablehlo.return"}


@dataclass
class Session:
    """What is shared while one module is imported.

    Attributes:
        module: The module that the graphs come to be in.
        importers: The importer of each operation, by name.
        graphs: The graph of each function that has been imported, by symbol.
        expansions: The graph of each operation that was expanded, by its text.
    """

    module: Module
    importers: Mapping[str, Importer]
    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])
    expansions: dict[str, Graph] = field(default_factory=dict[str, Graph])


class Operation:
    """One MLIR operation, as an importer sees it.

    Attributes:
        raw: The operation itself.
        reader: What reads the block it stands in.
        location: Where it comes from.
        types: The types of its results.
    """

    def __init__(self, raw: ir.Operation, reader: BlockReader) -> None:
        self.raw = raw
        self.reader = reader
        self.location = read_location(raw.location)
        self._read: set[str] = set()

    @property
    def name(self) -> str:
        """Its name with the dialect, as in ``stablehlo.add``."""
        return self.raw.name

    @property
    def types(self) -> tuple[TensorType, ...]:
        """The types of its results.

        Raises:
            UnsupportedError: If graphs have no such type.
        """
        return tuple(read_type(r.type, self.location) for r in self.raw.results)

    @property
    def type(self) -> TensorType:
        """The type of the result of an operation that has one."""
        (found,) = self.types
        return found

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self.raw.attributes

    def raw_attribute(self, name: str) -> ir.Attribute:
        """An attribute as MLIR has it."""
        self._read.add(name)
        return self.raw.attributes[name]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute in plain Python, or `default`.

        Numbers, booleans, strings and symbols are themselves, arrays and dense
        integers lists; others stay as they are.
        """
        self._read.add(name)
        if name not in self.raw.attributes:
            return default
        return _plain(self.raw.attributes[name])

    def refuse(self, what: str, received: str | None = None) -> UnsupportedError:
        """The error for a part of the operation that graphs cannot say."""
        return UnsupportedError(
            f"{self.name}: {what}",
            received=None if received is None else received[:200],
            location=self.location,
        )

    def check_attributes(self) -> None:
        """Raises an `UnsupportedError` for an attribute that no importer has read."""
        for name in self.raw.attributes:
            known = name in self._read or name in _MEANINGLESS
            if not known and not name.startswith(_ANNOTATIONS):
                value = str(self.raw.attributes[name])
                raise self.refuse(f"attribute {name!r} is not supported", value)


def _plain(attribute: Any) -> Any:
    match attribute:
        case ir.BoolAttr() | ir.IntegerAttr() | ir.FloatAttr() | ir.StringAttr():
            return attribute.value
        case ir.FlatSymbolRefAttr():
            return attribute.value
        case ir.DenseI64ArrayAttr() | ir.DenseBoolArrayAttr():
            return list(attribute)
        case ir.DenseIntElementsAttr():
            return np.array(attribute).tolist()
        case ir.ArrayAttr():
            return [_plain(each) for each in attribute]
        case _:
            return attribute


class BlockReader:
    """Reads the operations of one block into one graph.

    Attributes:
        session: What is shared within the module.
        graph: The graph that the nodes are added to.
        values: What stands for each MLIR value.
    """

    def __init__(self, session: Session, graph: Graph) -> None:
        self.session = session
        self.graph = graph
        self.values: dict[ir.Value, Operand] = {}

    def parameters(self, arguments: Iterable[ir.Value]) -> None:
        """Makes each MLIR value a parameter of the graph."""
        taken = {p.name for p in self.graph.parameters}
        for argument in arguments:
            place = argument.location
            name = given_name(place)
            if name in taken or not is_name(name):
                name = None
            taken.add(name)
            type = read_type(argument.type, read_location(place))
            self.values[argument] = self.graph.add_parameter(type, name)

    def read(self, block: ir.Block) -> list[Operand]:
        """Adds the operations of the block; returns what its terminator returns."""
        with building(self.graph) as builder:
            for each in block.operations:
                raw = each.operation
                if raw.name in TERMINATORS:
                    return [self.values[operand] for operand in raw.operands]
                operation = Operation(raw, self)
                builder.location = operation.location
                results = self.apply(operation)
                self.values.update(zip(raw.results, results, strict=True))
        raise UnsupportedError("a block must end by returning")

    def apply(self, operation: Operation) -> Sequence[Operand]:
        """The results of one operation, after checking their types.

        Raises:
            UnsupportedError: If the operation, or a part of it, has no graph form.
        """
        importer = self.session.importers.get(operation.name)
        operands = [self.values[operand] for operand in operation.raw.operands]
        found = self.call(operation, importer, operands)
        operation.check_attributes()
        results = found if isinstance(found, (tuple, list)) else (found,)
        types = tuple(result.type for result in results)
        if types != operation.types:
            declared = ", ".join(map(str, operation.types))
            raise operation.refuse(
                f"the result would be {', '.join(map(str, types))}", declared
            )
        return results

    def call(
        self,
        operation: Operation,
        importer: Importer | None,
        operands: Sequence[Operand],
    ) -> Any:
        """What the importer makes of the operation.

        Raises:
            UnsupportedError: If there is none, or what it makes is ill-typed.
        """
        if importer is None:
            raise operation.refuse("the operation is not supported")
        try:
            return importer(operation, *operands)
        except GraphError as error:
            raise operation.refuse(error.message, error.received) from error


def region_graph(
    operation: Operation, region: ir.Region, name: str, captured: Sequence[ir.Value]
) -> Graph:
    """A graph of a region.

    Of the values it `captured` literals stay what they are; for each other one the
    graph has a further parameter.
    """
    outer = operation.reader
    (block,) = region.blocks
    module = outer.session.module
    graph = Graph(module.fresh_name(name), module)
    reader = BlockReader(outer.session, graph)
    literals = {v: outer.values[v] for v in captured if _is_literal(outer, v)}
    reader.parameters([*block.arguments, *(v for v in captured if v not in literals)])
    reader.values.update(literals)
    graph.results = reader.read(block)
    return graph


def _is_literal(reader: BlockReader, value: ir.Value) -> bool:
    return isinstance(reader.values[value], Literal)


def captured_operands(
    reader: BlockReader, captured: Sequence[ir.Value]
) -> list[Operand]:
    """What stands for the further parameters of a region's graph."""
    return [reader.values[v] for v in captured if not _is_literal(reader, v)]


def captured_values(regions: Iterable[ir.Region]) -> list[ir.Value]:
    """The values that the regions read and something outside of them defines."""
    inside: set[ir.Value] = set()
    read: dict[ir.Value, None] = {}
    pending = list(regions)
    while pending:
        for block in pending.pop().blocks:
            inside.update(block.arguments)
            for each in block.operations:
                raw = each.operation
                read.update(dict.fromkeys(raw.operands))
                inside.update(raw.results)
                pending += raw.regions
    return [value for value in read if value not in inside]
