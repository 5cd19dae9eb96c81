"""Running launch plans on devices."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from graphc.codegen.triton.memory import aligned
from graphc.codegen.triton.plan import (
    Launch,
    Plan,
    Step,
    length_of,
    limited,
    obstacle,
)
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Module
from graphc.ir.types import U8, TensorType, dtype
from graphc.ir.values import Literal
from graphc.passes.cost_model import Rates
from graphc.runtime.backend import Memory, Packed
from graphc.runtime.device_arrays import DeviceArray, placed
from graphc.runtime.kernel_costs import KernelReport, find_gpu
from graphc.runtime.plan_costs import plan_cost, plan_kernels, plan_memory
from graphc.runtime.triton_commands import Commands
from graphc.runtime.triton_device import Command, Device, stored_nbytes

POISON = 0xFF
"""What temporaries are filled with where uninitialised reads are looked for: floats of
such bytes are NaN."""

KEPT_COMMANDS = 20_000
"""How many commands are kept for the next run; those of longer plans are made again."""

KEPT_SCHEDULES = 8
"""For how many sets of addresses commands are kept."""

SMALL = 1 << 20
"""Up to how many bytes copying costs less than launching kernels one by one."""

SMALL_RESULTS = -1
"""What stands for the memory of small results where regions are numbered."""


class TritonProgram:
    """A plan, loaded on a device.

    Attributes:
        text: The source of all kernels, then the plan.
        plan: The plan.
        device: What runs it.
    """

    def __init__(
        self,
        text: str,
        plan: Plan,
        module: Module,
        device: Device,
        on_host: bool = False,
        poison: bool = False,
        code: int = 0,
    ) -> None:
        """Loads the kernels and the constants.

        Args:
            text: The source of all kernels, then the plan.
            plan: The plan.
            module: What holds the constants.
            device: What runs the plan.
            on_host: Whether results are brought to the host, as NumPy arrays.
            poison: Whether temporaries and new results are overwritten before each run,
                so that reads of what was never written show, and what is not written.
            code: The bytes of the kernels' machine code.
        """
        self.text = text
        self.plan = plan
        self.device = device
        self._module = module
        self._on_host = on_host
        self._poison = poison
        self._code = code
        numbers = [device.load(kernel) for kernel in plan.kernels]
        self._commands = Commands(device, numbers, module)
        self._own: dict[int, DeviceArray] = {}
        self._donated = frozenset(plan.donated)
        self._new_results = [
            number
            for number, (_, region) in enumerate(plan.results)
            if region >= len(plan.parameters)
        ]
        self._small, size = _small_results(plan)
        self._small_type = _bytes(size)
        self._seen: dict[int, int] = {}
        self._changes: Counter[int] = Counter()
        self._limiting = plan.limits
        self._schedules: OrderedDict[_Key, _Schedule] = OrderedDict()

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The results, one array each.

        Args:
            *arrays: One array per parameter: NumPy's, or of the device. Contiguous
                arrays of the device are read where they are. What is passed for a
                donated parameter is overwritten if it lies on the device.
        """
        held = self._parameters(arrays)
        results = self._results(held)
        bases = self._bases(held, results)
        self._schedule(bases, self._limits(arrays, held)).run(self.device)
        if self._on_host:
            return tuple(array.numpy() for array in results)
        return self._handed_out(results)

    def explain(self, error: Exception) -> GraphcError | None:
        """None: errors of a run are graphc's own."""
        return None

    def place(self, array: Any) -> Any:
        """A copy of `array` on the device."""
        if self._on_host:
            return array
        content = np.asarray(array)
        type = TensorType(content.shape, dtype(content.dtype))
        held = DeviceArray.new(self.device, type)
        self.device.write(held.address, content)
        return held

    def pack(self) -> Packed | None:
        """None: what runs here is kept in the cache of kernels."""
        return None

    def memory(self) -> Memory:
        """The memory of one run, exactly."""
        return plan_memory(self.plan, self._code)

    def cost(self) -> dict[str, float]:
        """The floating-point operations and bytes moved of the kernels of one run."""
        return plan_cost(self.plan)

    def kernels(self, *arrays: Any) -> KernelReport:
        """What each kernel costs; how long it takes is measured if arrays are given.

        Args:
            *arrays: What `run` takes; what is passed for donated parameters is kept.
        """
        if not arrays:
            return plan_kernels(self.plan, gpu=self._gpu)
        copies = [np.array(array) for array in arrays]
        held = self._parameters(copies)
        results = self._results(held)
        bases = self._bases(held, results)
        seconds: dict[int, float] = {}

        def measured(launch: Launch, command: Command) -> Command:
            def timed() -> None:
                passed = self.device.timed(command)
                seconds[launch.kernel] = seconds.get(launch.kernel, 0.0) + passed

            return timed

        steps = self._steps(self._limits(copies, held))
        for command in self._commands.of(steps, bases, {}, measured):
            command()
        return plan_kernels(self.plan, seconds, self._gpu)

    def _limits(
        self, arrays: Sequence[Any], held: Sequence[DeviceArray]
    ) -> tuple[int, ...]:
        """The values of the parameters that limit loops.

        What lies on the host is known there; for anything else the host has to wait.
        """
        return tuple(
            int(arrays[position])
            if isinstance(arrays[position], (int, np.integer, np.ndarray))
            else int(held[position].numpy())
            for position in self._limiting
        )

    def _steps(self, limits: Sequence[int]) -> tuple[Step, ...]:
        """The steps of a run in which limits have these values."""
        if not limits:
            return self.plan.steps
        values = dict(zip(self._limiting, limits, strict=True))
        return limited(self.plan.steps, values)

    def _schedule(self, bases: tuple[int, ...], limits: tuple[int, ...]) -> _Schedule:
        """The commands of a run in which regions have these addresses."""
        key = bases, limits
        schedule = self._schedules.pop(key, None)
        if schedule is None:
            steps = self._steps(limits)
            commands = partial(self._commands.of, steps, bases, {})
            poison = self._poisoned(bases) if self._poison else ()
            schedule = _Schedule(
                lambda: chain(poison, commands()),
                length_of(steps) <= KEPT_COMMANDS,
                obstacle(steps) is None,
            )
        self._schedules[key] = schedule  # the last to be forgotten
        if len(self._schedules) > KEPT_SCHEDULES:
            self._schedules.popitem(last=False)
        return schedule

    def _poisoned(self, bases: Sequence[int]) -> list[Command]:
        """What overwrites the temporaries and the memory of new results."""
        return [
            partial(self.device.fill, base, region.bytes, POISON)
            for base, region in zip(bases, self.plan.regions, strict=True)
            if region.kind in ("arena", "result")
        ]

    @property
    def _gpu(self) -> Rates:
        """The GPU to compare with."""
        queue = self.device.queue
        return find_gpu("" if queue is None else queue.name)

    # -- memory ------------------------------------------------------------------------

    def _parameters(self, arrays: Sequence[Any]) -> list[DeviceArray]:
        """The arrays on the device, those of the host copied there."""
        types = self.plan.parameters
        if len(arrays) != len(types):
            raise TypeError(f"expected {len(types)} arrays")
        # All are looked at before any is taken: those that were donated are gone.
        device = self.device
        found = [
            array
            # What this program returned is known to fit; asking again takes its time.
            if array.__class__ is DeviceArray
            and array.type is type
            and array.device is device
            else self._found(array, type)
            for array, type in zip(arrays, types, strict=True)
        ]
        places = [array.address for array in found if isinstance(array, DeviceArray)]
        repeated = len(set(places)) < len(places)
        held: list[DeviceArray] = []
        for position, array in enumerate(found):
            donated = position in self._donated
            if not isinstance(array, DeviceArray):
                array = self._uploaded(position, array, donated)
            elif donated and repeated and places.count(array.address) > 1:
                # Memory that another parameter is in as well must not be overwritten.
                array = self._copied(array, DeviceArray.new(device, array.type))
            elif donated:
                array = array.donated()
            else:
                array = self._steady(position, array)
            held.append(array)
        return held

    def _found(
        self, array: Any, type: TensorType
    ) -> DeviceArray | np.ndarray[Any, Any]:
        """An array where it lies, which must be of the type: nothing is converted."""
        on_device = placed(array, type, self.device)
        if on_device is not None:
            return on_device
        content = np.asarray(array)
        if not hasattr(array, "dtype"):  # lists and numbers have none yet
            content = content.astype(type.dtype.numpy)
        if content.shape != type.static_shape or content.dtype != type.dtype.numpy:
            raise ValueError(f"expected {type}")
        return content

    def _uploaded(
        self, position: int, content: np.ndarray[Any, Any], donated: bool
    ) -> DeviceArray:
        """A copy of an array, in memory that stays the same unless it is donated."""
        type = self.plan.parameters[position]
        new = DeviceArray.new
        found = new(self.device, type) if donated else self._memory(position, type)
        self.device.write(found.address, content)
        return found

    def _steady(self, position: int, array: DeviceArray) -> DeviceArray:
        """`array`, or a copy in memory that stays the same if others come and go.

        Commands can only be recorded for addresses that come again.
        """
        if array.address != self._seen.get(position):
            self._seen[position] = array.address
            self._changes[position] += 1
        small = self.plan.regions[position].bytes <= SMALL
        if small and self._changes[position] > KEPT_SCHEDULES:
            return self._copied(array, self._memory(position, array.type))
        return array

    def _copied(self, source: DeviceArray, target: DeviceArray) -> DeviceArray:
        self.device.copy(target.address, source.address, stored_nbytes(source.type))
        return target

    def _results(self, held: Sequence[DeviceArray]) -> list[DeviceArray]:
        """Arrays for the results; some are the arrays of donated parameters."""
        return [
            self._retyped(held[region], type)
            if region < len(held)
            else self._result(number, type)
            for number, (type, region) in enumerate(self.plan.results)
        ]

    def _retyped(self, array: DeviceArray, type: TensorType) -> DeviceArray:
        """The memory of an array as a result, which may be its reshape."""
        if array.type == type:
            return array
        return DeviceArray(self.device, array.address, type, owner=array)

    def _result(self, number: int, type: TensorType) -> DeviceArray:
        if number not in self._small:
            return DeviceArray.new(self.device, type)
        start = self._memory(SMALL_RESULTS, self._small_type).address
        return DeviceArray(self.device, start + self._small[number], type, owner=self)

    def _handed_out(self, results: Sequence[DeviceArray]) -> tuple[DeviceArray, ...]:
        """The results, the small ones in memory that the next run does not use."""
        if not self._small:
            return tuple(results)
        own = self._memory(SMALL_RESULTS, self._small_type)
        new = self._copied(own, DeviceArray.new(self.device, own.type))
        arrays = list(results)
        for number, offset in self._small.items():
            arrays[number] = DeviceArray(
                self.device, new.address + offset, arrays[number].type, owner=new
            )
        return tuple(arrays)

    def _bases(
        self, held: Sequence[DeviceArray], results: Sequence[DeviceArray]
    ) -> tuple[int, ...]:
        """The address of each region."""
        plan = self.plan
        if plan.arena not in self._own:
            for region in (plan.constants_region, plan.arena):
                self._memory(region, _bytes(plan.regions[region].bytes))
            self._write_constants(self._own[plan.constants_region].address)
        new = [results[number].address for number in self._new_results]
        return (
            *[array.address for array in held],
            self._own[plan.constants_region].address,
            self._own[plan.arena].address,
            *new,
        )

    def _memory(self, key: int, type: TensorType) -> DeviceArray:
        """Memory that stays the same, allocated when it is first needed.

        Args:
            key: The number of the region, or `SMALL_RESULTS`.
            type: What it holds.
        """
        if key not in self._own:
            self._own[key] = DeviceArray.new(self.device, type)
        return self._own[key]

    def _write_constants(self, start: int) -> None:
        for constant in self.plan.constants:
            if constant.name is not None:
                array = self._module.constants[constant.name]
            else:
                assert constant.value is not None
                array = Literal(constant.value, constant.type.dtype).numpy()
            self.device.write(start + constant.offset, array)


_Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The addresses of all regions and the values that limit loops."""


def _bytes(count: int) -> TensorType:
    return TensorType((count,), U8)


def _small_results(plan: Plan) -> tuple[dict[int, int], int]:
    """Where small results lie when they lie together, and the size of all.

    They are computed in memory that stays the same, and copied from there at once.
    """
    offsets: dict[int, int] = {}
    size = 0
    for number, (_, region) in enumerate(plan.results):
        if region >= len(plan.parameters) and plan.regions[region].bytes <= SMALL:
            offsets[number] = size
            size += aligned(plan.regions[region].bytes)
    return offsets, size


class _Schedule:
    """The commands of a program for one set of addresses.

    They are made in the first run. If the addresses come again, which they do in a
    training loop, the commands are recorded, and each later run is one launch.
    """

    def __init__(
        self, program: Callable[[], Iterator[Command]], keeps: bool, repeats: bool
    ) -> None:
        """Commands that are not made yet.

        Args:
            program: Makes them.
            keeps: Whether to keep them for the next run.
            repeats: Whether they are the same in each run, so that they can be recorded.
        """
        self._program = program
        self._keeps = keeps
        self._repeats = repeats
        self._kept: list[Command] | None = None
        self._recorded: Command | None = None

    def run(self, device: Device) -> None:
        """Runs the commands on the device that they are for."""
        if self._recorded is not None:
            self._recorded()
            return
        if self._kept is not None and self._repeats:
            self._recorded = device.record(self._kept)
            if self._recorded is not None:
                self._kept = None
                self._recorded()
                return
        if self._kept is None and self._keeps:
            self._kept = list(self._program())
        for command in self._program() if self._kept is None else self._kept:
            command()
