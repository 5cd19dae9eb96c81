"""XLA on the processor through jaxlib alone, for artifacts: importing jax takes a second.

What is used of jaxlib's interface is in this file, and is tried out before it is relied
on: it is made for jax. What does not fit here, `xla_runtime` compiles.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxlib import _jax, cpu_feature_guard, utils, xla_client  # type: ignore[attr-defined]
from jaxlib.version import __version__ as jaxlib_version

from graphc.codegen.stablehlo import StableHLO, emit_module, emit_stablehlo
from graphc.codegen.stablehlo.aliasing import with_aliases
from graphc.ir.errors import CompileError, GraphcError, UnsupportedError
from graphc.ir.graph import Graph
from graphc.ir.opdef import operand_types
from graphc.ir.types import I4, TensorType
from graphc.runtime.backend import Memory, Packed
from graphc.runtime.host_arrays import (
    ArrayForm,
    HostArray,
    aligned,
    aligned_memory,
    is_aligned,
)
from graphc.runtime.processor import processor, processor_name
from graphc.runtime.xla_errors import compile_error
from graphc.runtime.xla_options import aliases, compiler_options

if TYPE_CHECKING:
    from graphc.runtime.kernel_costs import KernelReport
    from graphc.runtime.stages import Stages

CUSTOM_CALL = "custom_call"
"""In the text of every module that calls what jax registers."""

_USED = (
    "ArrayImpl.unsafe_buffer_pointer",
    "Client.compile_and_load",
    "Client.deserialize_executable",
    "ExecuteResults.consume_with_handlers",
    "LoadedExecutable.execute_sharded",
    "LoadedExecutable.get_compiled_memory_stats",
    "LoadedExecutable.get_output_layouts",
    "LoadedExecutable.serialize",
)
"""What is not tried out."""

SMALL = 1 << 16
"""Up to as many bytes an array is copied into memory that XLA knows already: making a
buffer of it takes longer."""

LARGEST_COPY = 1 << 22
"""Up to as many bytes that is done for arrays that are not aligned, too, which XLA would
copy into new memory."""

_OTHER_INTERFACE = (AttributeError, TypeError, ValueError, RuntimeError)
"""What jaxlib raises where its interface is another one than is used here."""


class _Host:
    """The processor as a device of XLA."""

    def __init__(self) -> None:
        cpu_feature_guard.check_cpu_features()
        utils.absl_set_min_log_level(1)

        replicated = xla_client.HloSharding.replicate()

        class Sharding(_jax.SingleDeviceSharding):
            memory_kind = None

            def _to_xla_hlo_sharding(self, rank: int) -> Any:
                return replicated

        self.client: Any = xla_client.make_cpu_client(asynchronous=False)
        device = self.client.local_devices()[0]
        self.devices = _jax.DeviceList((device,))
        self._chosen = [device]
        self._sharding = Sharding(device)

    def put(self, array: np.ndarray[Any, Any], form: ArrayForm) -> Any:
        """An array as jaxlib takes it; the memory is NumPy's if it is aligned."""
        return _jax.batched_device_put(
            form, self._sharding, [array], self._chosen, enable_x64=True
        )

    def taker(self, form: ArrayForm) -> Any:
        """What makes a result of an execution an array."""
        try:
            return _jax.array_result_handler(form, self._sharding, True, True)
        except TypeError:  # jaxlib 0.11 checks nothing
            return _jax.array_result_handler(form, self._sharding, True)

    def compile_options(self, options: Mapping[str, str]) -> Any:
        """What jax asks of a compile for one device."""
        found: Any = xla_client.CompileOptions()
        found.num_replicas = found.num_partitions = 1
        assignment = np.zeros((1, 1), np.int32)
        found.device_assignment = xla_client.DeviceAssignment.create(assignment)
        found.executable_build_options.use_spmd_partitioning = True
        found.executable_build_options.use_shardy_partitioner = True
        found.env_option_overrides = list(options.items())
        found.profile_version = -1
        return found


@functools.cache
def _host() -> _Host:
    """The processor.

    Raises:
        GraphcError: If jaxlib has another interface than is used here.
    """
    array = np.zeros(3, np.float32)
    form = ArrayForm(array.shape, array.dtype, array.nbytes)
    try:
        host = _Host()
        host.put(array, form)
        host.taker(form)
        host.compile_options({})
        for name in _USED:
            attrgetter(name)(_jax)
    except _OTHER_INTERFACE as error:
        raise GraphcError(f"jaxlib {jaxlib_version} is not known: {error}") from error
    return host


def pipeline(device: str | None) -> str:
    """XLA's passes for processors."""
    return "xla:cpu"


def unavailable(device: str | None, packed: bool = False) -> str | None:
    """Why programs for `device` cannot run here, or None if they can."""
    if device not in (None, "cpu"):
        return "jax runs on other devices"
    if device is None and not _only_cpu():
        return "jax may have another device"
    try:
        _host()
    except GraphcError as error:
        return error.message
    return None


def _only_cpu() -> bool:
    """Whether jax would choose the processor by itself: no plugin brings another device."""
    if platforms := os.environ.get(
        "JAX_PLATFORMS", os.environ.get("JAX_PLATFORM_NAME")
    ):
        return platforms == "cpu"
    plugins = find_spec("jax_plugins")
    folders = plugins.submodule_search_locations if plugins else None
    return not any(map(os.listdir, folders or ())) and find_spec("libtpu") is None


def device_name(device: str | None) -> str:
    """The processor."""
    return f"cpu on {processor_name()}"


def emit(graph: Graph) -> str:
    """The StableHLO text of a lowered graph."""
    return emit_stablehlo(graph)


@functools.cache
def maker() -> str:
    """What tells apart machines and versions that make other executables."""
    said = [jaxlib_version, processor(), os.environ.get("XLA_FLAGS", "")]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


class HostProgram:
    """An executable of XLA. Its results are `HostArray`s.

    Args:
        executable: What jaxlib made.
        graph: A graph with its parameters and results.
        donate: The parameters whose memory runs may take.
        text: The StableHLO text, if it was compiled here.
    """

    def __init__(
        self, executable: Any, graph: Graph, donate: Sequence[int], text: str = ""
    ) -> None:
        host = _host()
        self.text = text
        self._graph = graph
        self._executable = executable
        known: dict[TensorType, ArrayForm] = {}
        # One object per type: comparing them is then fast.
        for type in (
            *(p.type for p in graph.parameters),
            *operand_types(graph.results),
        ):
            known.setdefault(type, ArrayForm.of(type))
        self._takes = [known[p.type] for p in graph.parameters]
        self._returns = [known[type] for type in operand_types(graph.results)]
        self._takers = [host.taker(form) for form in self._returns]
        self._places = {(form.shape, form.dtype): form for form in self._takes}
        self._put = host.put
        self._copied = [
            position
            if 0 < form.nbytes <= LARGEST_COPY and position not in donate
            else None
            for position, form in enumerate(self._takes)
        ]
        self._idle: list[dict[int, HostArray]] = []

    def run(self, *arrays: Any) -> tuple[HostArray, ...]:
        """The results for one array per parameter.

        Raises:
            TypeError: If an array is none of its parameter.
        """
        if len(arrays) != len(self._takes):
            raise TypeError("another number of arrays")
        try:  # Each run has memory of its own for copies: other threads may run, too.
            memory = self._idle.pop()
        except IndexError:
            memory = {}
        given = [
            array.array
            if array.__class__ is HostArray and array.form is form
            else self._argument(array, form, copied, memory)
            for array, form, copied in zip(
                arrays, self._takes, self._copied, strict=True
            )
        ]
        results = self._executable.execute_sharded(given)
        found: list[Any] = results.consume_with_handlers(self._takers)
        if found:  # They are ready together.
            found[-1].block_until_ready()
        self._idle.append(memory)
        return tuple(map(HostArray, found, self._returns))

    def _argument(
        self,
        array: Any,
        form: ArrayForm,
        copied: int | None,
        memory: dict[int, HostArray],
    ) -> Any:
        """An array as jaxlib takes it; what is not too large is copied to `memory`."""
        if array.__class__ is HostArray:
            if array.form == form:
                return array.array
            raise TypeError("an array of another type")
        if array.__class__ is not np.ndarray:
            array = np.asarray(array)
        if array.shape != form.shape or array.dtype != form.dtype:
            raise TypeError("an array of another type")
        if copied is None or (form.nbytes > SMALL and is_aligned(array)):
            return self._put(array, form)
        if copied not in memory:
            own = aligned_memory(form.shape, form.dtype)
            memory[copied] = HostArray(self._put(own, form), form, own)
        place = memory[copied]
        np.copyto(place.view(), array)
        return place.array

    def explain(self, error: Exception) -> GraphcError | None:
        """What XLA's failures mean for the graph."""
        if isinstance(error, _jax.JaxRuntimeError):
            return CompileError(
                f"XLA failed while it ran graph @{self._graph.name}",
                received=str(error)[:500],
            )
        return None

    def place(self, array: Any) -> Any:
        """`array` in XLA's memory."""
        if array.__class__ is HostArray:
            return array
        found = np.asarray(array)
        form = self._places.get((found.shape, found.dtype))
        if form is None:
            return found
        found = aligned(found)
        return HostArray(self._put(found, form), form, found)

    def pack(self) -> Packed | None:
        """The executable, for this processor and this jaxlib."""
        facts = {"platform": "cpu", "maker": maker()}
        data = zlib.compress(bytes(4) + self._executable.serialize())
        return Packed(facts, {"executable_0": data})

    def memory(self) -> Memory | None:
        """Not asked for: artifacts show none."""
        return None

    def cost(self) -> dict[str, float] | None:
        """Not asked for."""
        return None

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """None: XLA's kernels are its own affair."""
        return None


def compile(
    graph: Graph, device: str | None, donate: Sequence[int], stages: Stages
) -> HostProgram:
    """The program of a lowered graph.

    Raises:
        UnsupportedError: If it needs what only jax has.
        CompileError: If XLA refuses it.
    """
    with stages.timed("emit"):
        module = emit_module(graph, "cpu")
    stages.dump("stablehlo.mlir", module.text)
    types = [p.type for p in graph.parameters]
    returned = operand_types(graph.results)
    packed = any(type.dtype is I4 for type in (*types, *returned))
    if module.host_calls or packed or CUSTOM_CALL in module.text:
        raise UnsupportedError("the program needs jax")
    text = with_aliases(module.text, graph, aliases(donate, types, returned))
    with stages.timed("compile"):
        executable = _compiled(graph, module, text)
        return HostProgram(executable, graph, donate, text)


def _compiled(graph: Graph, module: StableHLO, text: str) -> Any:
    host = _host()
    options = host.compile_options(compiler_options(text, "cpu"))
    try:
        return host.client.compile_and_load(text.encode(), host.devices, options)
    except _jax.JaxRuntimeError as error:
        raise compile_error(error, graph, module) from error


def unpack(
    packed: Packed, graph: Graph, device: str | None, donate: Sequence[int]
) -> HostProgram | None:
    """The program of an executable that was made for this processor by this jaxlib."""
    facts, files = packed.facts, packed.files
    ours = facts.get("platform") == "cpu" and facts.get("maker") == maker()
    single = files.keys() - {"module.mlirbc"} == {"executable_0"}
    if (
        not ours
        or not single
        or CUSTOM_CALL.encode() in files.get("module.mlirbc", b"")
    ):
        return None
    types = [p.type for p in graph.parameters] + operand_types(graph.results)
    if any(type.dtype is I4 for type in types):
        return None
    try:
        # As jax packs them: behind the seconds that the compilation took.
        data = zlib.decompress(files["executable_0"])[4:]
        host = _host()
        executable = host.client.deserialize_executable(data, host.devices, None)
    except (zlib.error, *_OTHER_INTERFACE):
        return None
    if not _fits(executable, graph):
        return None
    return HostProgram(executable, graph, donate)


def _fits(executable: Any, graph: Graph) -> bool:
    """Whether an executable takes and returns as much as a graph does."""
    memory = executable.get_compiled_memory_stats()
    taken = sum(parameter.type.nbytes for parameter in graph.parameters)
    returned = sum(type.nbytes for type in operand_types(graph.results))
    return (
        len(executable.get_parameter_layouts()) == len(graph.parameters)
        and len(executable.get_output_layouts()) == len(graph.results)
        and taken <= memory.argument_size_in_bytes
        and returned <= memory.output_size_in_bytes
    )
