"""The typed SSA graph: types, ops, graphs, their text and their meaning."""

from graphc.ir.build import building, inline
from graphc.ir.dims import Dim, SymbolicDim
from graphc.ir.errors import (
    CompileError,
    GraphcError,
    GraphError,
    LoadError,
    NoGradientError,
    ParseError,
    PassError,
    TargetError,
    UnsupportedError,
)
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph, Module, Node
from graphc.ir.location import Location
from graphc.ir.opdef import OPS, Arg, IllTyped, Kind, OpDef, Sample, Trait
from graphc.ir.parser import parse
from graphc.ir.types import DType, TensorType, dtype, tensor_type
from graphc.ir.values import Literal, Operand, Value, is_name, sanitize_name
from graphc.ir.verifier import verify

__all__ = [
    "OPS",
    "Arg",
    "CompileError",
    "DType",
    "Dim",
    "Graph",
    "GraphError",
    "GraphcError",
    "IllTyped",
    "Kind",
    "Literal",
    "LoadError",
    "Location",
    "Module",
    "NoGradientError",
    "Node",
    "OpDef",
    "Operand",
    "ParseError",
    "PassError",
    "Sample",
    "SymbolicDim",
    "TargetError",
    "TensorType",
    "Trait",
    "UnsupportedError",
    "Value",
    "building",
    "dtype",
    "evaluate",
    "inline",
    "is_name",
    "parse",
    "sanitize_name",
    "tensor_type",
    "verify",
]
