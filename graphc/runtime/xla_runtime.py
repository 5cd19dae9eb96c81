"""The xla targets: StableHLO compiled by XLA and called through jax's fast path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import jax
import jax.export
import numpy as np

from graphc.codegen.stablehlo import StableHLO, emit_module, emit_stablehlo
from graphc.ir.errors import GraphcError, LoadError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import operand_types
from graphc.ir.types import I4, TensorType
from graphc.runtime.backend import Memory, Packed
from graphc.runtime.jaxlib_runtime import maker
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.processor import processor_name
from graphc.runtime.stages import Stages
from graphc.runtime.xla_cache import Kept, RecordedExecutables, StoredExecutables
from graphc.runtime.xla_errors import compile_error
from graphc.runtime.xla_export import (
    VERSION,
    Spec,
    artifact_text,
    compiled,
    exported,
    portable_artifact,
)
from graphc.runtime.xla_options import aliases, compiler_options


def pipeline(device: str | None) -> str:
    """The passes for a kind of device: those for CPUs know how XLA's backend there is."""
    return "xla:cpu" if _platform(device) == "cpu" else "xla"


def unavailable(device: str | None, packed: bool = False) -> str | None:
    """Why XLA has no device of this kind, or None if it has."""
    try:
        jax.devices(device)
    except RuntimeError as error:
        return str(error).split("\n")[0]
    return None


def device_name(device: str | None) -> str:
    """The platform, and the processor or GPU."""
    platform = _platform(device)
    kind = processor_name() if platform == "cpu" else jax.devices(device)[0].device_kind
    return f"xla:{platform} on {kind}"


def emit(graph: Graph) -> str:
    """The StableHLO text of a lowered graph."""
    return emit_stablehlo(graph, _platform(None))


def compile(
    graph: Graph, device: str | None, donate: Sequence[int], stages: Stages
) -> XlaProgram:
    """The program of a lowered graph."""
    with stages.timed("emit"):
        module = emit_module(graph, _platform(device))
    stages.dump("stablehlo.mlir", module.text)
    with stages.timed("compile"):
        try:
            store = stages.settings.store()
            kept = None if store is None else StoredExecutables(store)
            program = XlaProgram(graph, module, device, donate, kept)
        except jax.errors.JaxRuntimeError as error:
            raise compile_error(error, graph, module) from error
    if stages.dumps:
        stages.dump("optimized.hlo", program.compiled.as_text())
    return program


class XlaProgram:
    """A module that XLA has compiled.

    Attributes:
        text: The StableHLO text.
        jitted: The jax function, which programs written in jax may call.
            For a graph with 64-bit parameters or results that needs
            ``jax.enable_x64(True)``.
        compiled: What jax knows about the compiled program.
        run: Takes one array per parameter and returns the tuple of results.
    """

    def __init__(
        self,
        graph: Graph,
        module: StableHLO,
        device: str | None,
        donate: Sequence[int],
        kept: Kept | None = None,
    ) -> None:
        types = [p.type for p in graph.parameters]
        returned = operand_types(graph.results)
        specs = [_spec(type) for type in types]
        self.text = module.text
        self._graph, self._module = graph, module
        self._device, self._donate = device, donate
        # jax makes 64-bit numbers 32-bit unless told otherwise.
        self._wide = any(type.dtype.bits == 64 for type in (*types, *returned))
        with self._context(device):
            function = exported(
                module.text,
                graph.name,
                specs,
                [_spec(type) for type in returned],
                _platform(device),
            )
            self.jitted = jax.jit(
                _named(function.call, graph.name),
                donate_argnums=tuple(aliases(donate, types, returned)),
            )
            host_calls = [_host_call(node) for node in module.host_calls]
            options = compiler_options(module.text, _platform(device))
            self.compiled = compiled(self.jitted, specs, host_calls, kept, options)
        # jax 0.10 refuses its own 4-bit arrays when a compiled program is called.
        packed = any(type.dtype is I4 for type in types)
        call: Callable[..., Any] = self.jitted if packed else self.compiled
        if host_calls:  # which only the compiled program knows
            self.jitted = self.compiled
            call = _awaited(self.compiled)
        self.run = _in_64_bits(call) if self._wide else call

    def _context(self, device: str | None) -> ExitStack:
        """What to compile in: 64-bit numbers if need be, the device if one is named."""
        stack = ExitStack()
        if self._wide:
            stack.enter_context(jax.enable_x64(True))
        if device is not None:
            stack.enter_context(jax.default_device(jax.devices(device)[0]))
        return stack

    def explain(self, error: Exception) -> GraphcError | None:
        """What XLA's failures mean for the graph."""
        if isinstance(error, jax.errors.JaxRuntimeError):
            return compile_error(error, self._graph, self._module)
        return None

    def place(self, array: Any) -> Any:
        """`array` as jax's own, on the device that the program runs on."""
        with self._context(self._device):
            return jax.device_put(array)

    def pack(self) -> Packed | None:
        """The StableHLO module and XLA's executable of it.

        None for a program that calls back into Python.
        """
        if self._module.host_calls:
            return None
        artifact = portable_artifact(self.text)
        recorded = RecordedExecutables()
        module = StableHLO(artifact_text(artifact), ())
        XlaProgram(self._graph, module, self._device, self._donate, recorded)
        facts = {
            "jax": jax.__version__,
            "maker": maker(),
            "platform": _platform(self._device),
            "stablehlo": VERSION,
            "keys": sorted(recorded.payloads),
        }
        executables = {f"executable_{i}": p for i, p in enumerate(recorded.in_order())}
        return Packed(facts, {"module.mlirbc": artifact, **executables})

    def memory(self) -> Memory | None:
        """The memory of one run."""
        known = self.compiled.memory_analysis()
        if known is None:
            return None
        return Memory(
            parameters=known.argument_size_in_bytes,
            results=known.output_size_in_bytes,
            aliased=known.alias_size_in_bytes,
            temporaries=known.temp_size_in_bytes,
            code=known.generated_code_size_in_bytes,
        )

    def cost(self) -> dict[str, float] | None:
        """XLA's estimates, such as ``flops`` and ``bytes accessed``."""
        known = self.compiled.cost_analysis()
        return None if known is None else dict(known)

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """None: XLA's kernels are its own affair."""
        return None


def unpack(
    packed: Packed, graph: Graph, device: str | None, donate: Sequence[int]
) -> XlaProgram | None:
    """The program of a packed module.

    XLA's executable is used if it was made for this processor by this jax; otherwise
    the module is compiled.
    """
    if packed.facts.get("platform") != _platform(device):
        return None
    files = dict(packed.files)
    module = StableHLO(artifact_text(files.pop("module.mlirbc", b"")), ())
    keys = packed.facts.get("keys")
    names = [f"executable_{i}" for i in range(len(files))]
    if (
        not isinstance(keys, list)
        or not all(isinstance(key, str) for key in keys)
        or len(set(keys)) != len(keys)
        or len(keys) != len(names)
        or files.keys() != set(names)
    ):
        raise LoadError("a packed program has other executables than it says")
    executables = [files[name] for name in names]
    recorded = RecordedExecutables(dict(zip(keys, executables, strict=True)))
    try:
        return XlaProgram(graph, module, device, donate, recorded)
    except _OTHER_MODULE as error:
        raise LoadError(
            "a packed StableHLO module does not compile", received=str(error)[:200]
        ) from error


_OTHER_MODULE = (jax.errors.JaxRuntimeError, KeyError, TypeError, ValueError)
"""What jax raises for a module that has not the entry that its caller says."""


def _platform(device: str | None) -> str:
    """What jax calls the platform of a kind of device."""
    return device or jax.export.default_export_platform()


def _spec(type: TensorType) -> Spec:
    return Spec(type.static_shape, type.dtype.numpy)


def _in_64_bits(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with jax's 64-bit types turned on for its duration."""

    def wide(*arrays: Any) -> Any:
        with jax.enable_x64(True):
            return call(*arrays)

    return wide


def _host_call(node: Node) -> Callable[..., Any]:
    """What a program calls for the effect of a node, which is its reference's."""
    assert node.op.reference is not None
    attributes = node.op.decode(node.attributes, None)
    effect = functools.partial(node.op.reference, **attributes)
    count = len(node.operands)

    def call(*arrays: Any) -> tuple[Any]:
        effect(*arrays[:count])
        return (np.uint8(0),)

    return call


def _awaited(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` that returns when its effects have happened."""

    def awaited(*arrays: Any) -> Any:
        return jax.block_until_ready(call(*arrays))

    return awaited


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`function` under a name of its own, which XLA shows in profiles."""

    def named(*arrays: Any) -> Any:
        return function(*arrays)

    named.__name__ = named.__qualname__ = name
    return named
