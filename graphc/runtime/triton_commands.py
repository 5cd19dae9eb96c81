"""What a device is told to do, step by step, for a launch plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np

from graphc.codegen.triton.plan import (
    Branch,
    Copy,
    Fill,
    HostCall,
    Launch,
    Loop,
    Step,
    obstacle,
    repeats,
)
from graphc.ir.graph import Module
from graphc.ir.opdef import OPS
from graphc.ir.types import BOOL, TensorType
from graphc.runtime.triton_device import Command, Device


def _as_it_is(launch: Launch, command: Command) -> Command:
    return command


class Commands:
    """Makes commands of steps, whose addresses are then known."""

    def __init__(self, device: Device, numbers: Sequence[int], module: Module) -> None:
        """What all commands have in common.

        Args:
            device: What they are for.
            numbers: The number by which the device launches each kernel of the plan.
            module: What attributes of host calls refer to.
        """
        self._device = device
        self._numbers = numbers
        self._module = module

    def of(
        self,
        steps: Sequence[Step],
        bases: Sequence[int],
        at: Mapping[int, int],
        around: Callable[[Launch, Command], Command] = _as_it_is,
    ) -> Iterator[Command]:
        """What to call for `steps`, addresses resolved.

        Args:
            steps: Some steps of the plan.
            bases: The address of each region.
            at: The number of the step that each loop around is in.
            around: What to make of a launch.
        """
        device = self._device
        for step in steps:
            match step:
                case Launch(kernel=kernel, arguments=arguments):
                    places = [place.resolve(bases, at) for place in arguments]
                    yield around(step, device.bind(self._numbers[kernel], places))
                case Copy(source=source, target=target, bytes=count):
                    here, there = source.resolve(bases, at), target.resolve(bases, at)
                    yield partial(device.copy, there, here, count)
                case Fill(target=target, bytes=count):
                    yield partial(device.fill, target.resolve(bases, at), count, 0)
                case HostCall():
                    yield partial(self._call_host, step, bases, at)
                case Loop(length=None):
                    yield self._while(step, bases, at, around)
                case Loop(length=int()) if repeats(step):
                    yield self._counted(step, bases, at, around)
                case Loop(number=number, length=int(length), body=body):
                    for index in range(length):
                        inside = {**at, number: index}
                        yield from self.of(body, bases, inside, around)
                case Branch():
                    yield partial(self._run_branch, step, bases, at, around)

    def _while(
        self,
        step: Loop,
        bases: Sequence[int],
        at: Mapping[int, int],
        around: Callable[[Launch, Command], Command],
    ) -> Command:
        assert step.predicate is not None
        place = step.predicate.resolve(bases, at)
        records = (
            around is _as_it_is and obstacle((*step.condition, *step.body)) is None
        )
        return _Repeated(
            self._device,
            lambda turns: bool(self._device.read(place, TensorType((), BOOL))),
            list(self.of(step.condition, bases, at, around)),
            list(self.of(step.body, bases, at, around)),
            records,
        )

    def _counted(
        self,
        step: Loop,
        bases: Sequence[int],
        at: Mapping[int, int],
        around: Callable[[Launch, Command], Command],
    ) -> Command:
        length = step.length
        return _Repeated(
            self._device,
            lambda turns: turns < cast(int, length),
            (),
            list(self.of(step.body, bases, at, around)),
            around is _as_it_is and obstacle(step.body) is None,
        )

    def _run_branch(
        self,
        step: Branch,
        bases: Sequence[int],
        at: Mapping[int, int],
        around: Callable[[Launch, Command], Command],
    ) -> None:
        index = int(self._device.read(step.index.resolve(bases, at), step.type))
        chosen = step.branches[min(max(index, 0), len(step.branches) - 1)]
        for command in self.of(chosen, bases, at, around):
            command()

    def _call_host(
        self, step: HostCall, bases: Sequence[int], at: Mapping[int, int]
    ) -> None:
        op = OPS[step.op]
        assert op.reference is not None
        operands = [
            self._device.read(place.resolve(bases, at), type)
            for place, type in step.operands
        ]
        found = op.reference(*operands, **op.decode(step.attributes, self._module))
        found = found if isinstance(found, tuple) else (found,)
        for (place, type), array in zip(step.results, found, strict=True):
            content = np.asarray(array).astype(type.dtype.numpy)
            self._device.write(place.resolve(bases, at), content)


class _Repeated:
    """A loop whose steps are all the same. The second one is recorded, if it can be."""

    def __init__(
        self,
        device: Device,
        goes_on: Callable[[int], bool],
        condition: Sequence[Command],
        body: Sequence[Command],
        records: bool,
    ) -> None:
        """A loop.

        Args:
            device: What the commands are for.
            goes_on: Whether there is another turn after so many.
            condition: What computes that.
            body: What a turn does.
            records: Whether turns can be recorded.
        """
        self._device = device
        self._goes_on = goes_on
        self._condition = condition
        self._turn = [*body, *condition]
        self._records = records
        self._recorded: Command | None = None
        self._turns = 0

    def __call__(self) -> None:
        for command in self._condition:
            command()
        done = 0
        while self._goes_on(done):
            done += 1
            self._turns += 1
            if self._records and self._turns == 2:
                self._recorded = self._device.record(self._turn)
            if self._recorded is not None:
                self._recorded()
                continue
            for command in self._turn:
                command()
