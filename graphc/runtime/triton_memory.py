"""The memory that a launch in Triton's interpreter sees; every access is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NOBODY = -1
SEVERAL = -2
"""Who reads or writes an element, where it is not one program's number. Who updates it
by atomic operations counts as several."""

_SEVERAL = {"reads": "several programs read", "writes": "atomic operations update"}

_BUFFER_SHIFT = np.uint64(48)
_START = np.uint64(1 << 40)
_ADDRESS_MASK = np.uint64((1 << 48) - 1)


class AccessError(Exception):
    """A kernel reads or writes what it must not, or leaves a result unwritten."""


class Role(Enum):
    """What a kernel may do with the memory that an argument points to."""

    PARAMETER = "parameter"
    """Read it."""
    UPDATED = "updated"
    """Read it, then overwrite it or parts of it: a result made in place."""
    REPLACED = "replaced"
    """Read it, then overwrite all of it."""
    RESULT = "result"
    """Write all of it, and read only what it wrote."""
    ACCUMULATED = "accumulated"
    """Add to it, or write parts of it: it is zero at first."""


@dataclass(slots=True)
class Buffer:
    """The memory that one argument of a kernel points to.

    Attributes:
        name: The argument.
        role: What the kernel may do with it.
        memory: Its bytes, flat.
        itemsize: The size of an element in bytes.
        writers: For each element the program that wrote it.
        readers: For each element the program that read it.
    """

    name: str
    role: Role
    memory: Array
    itemsize: int
    writers: Array = field(init=False)
    readers: Array = field(init=False)

    def __post_init__(self) -> None:
        elements = 0 if self.role is Role.PARAMETER else self.size
        self.writers = np.full(elements, NOBODY, np.int32)
        self.readers = np.full(elements, NOBODY, np.int32)

    @property
    def size(self) -> int:
        """The number of elements."""
        return len(self.memory) // self.itemsize

    def view(self, dtype: np.dtype[Any]) -> Array:
        """The memory as elements of a dtype."""
        whole = len(self.memory) // dtype.itemsize * dtype.itemsize
        return self.memory[:whole].view(dtype)


class LaunchMemory:
    """All that one launch can reach: the buffers of its arguments.

    A pointer is a number whose upper 16 bits say which argument it was made from, so that
    an index that leaves a buffer is noticed though another buffer lies there. Programs
    run one after the other here but at once on a GPU, so what one program writes no
    other may read or write, except by atomic operations or after one that orders: all
    that its program does later is taken to come after what the others did.

    Attributes:
        program: The number of the program that runs.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = buffers
        self._ordered = False
        self.program = 0

    def begin(self, program: int) -> None:
        """From now on `program` runs."""
        self.program = program
        self._ordered = False

    def pointer(self, number: int) -> int:
        """The pointer to the start of the buffer of argument `number`."""
        return (number << int(_BUFFER_SHIFT)) + int(_START)

    def load(
        self, pointers: Array, mask: Array, other: Any, dtype: np.dtype[Any]
    ) -> Array:
        """The elements pointed to, and `other` where the mask is false."""
        result = np.empty(pointers.shape, dtype)
        result[...] = other
        flat = result.reshape(-1)
        for buffer, lanes, at in self._accesses(pointers, mask, dtype, "reads"):
            self._note_read(buffer, at * dtype.itemsize // buffer.itemsize)
            flat[lanes] = buffer.view(dtype)[at]
        return result

    def store(self, pointers: Array, values: Array, mask: Array) -> None:
        """Sets the elements pointed to where the mask is true."""
        flat = np.broadcast_to(values, pointers.shape).reshape(-1)
        dtype = values.dtype
        for buffer, lanes, at in self._accesses(pointers, mask, dtype, "writes"):
            self._note_write(buffer, at * dtype.itemsize // buffer.itemsize)
            buffer.view(dtype)[at] = flat[lanes]

    def update(
        self,
        pointers: Array,
        mask: Array,
        dtype: np.dtype[Any],
        change: Callable[[Array, Any], Array],
        orders: bool,
    ) -> Array:
        """Replaces the elements pointed to by what `change` makes of them, one by one.

        Args:
            pointers: The elements; several lanes may point to the same.
            mask: Which lanes take part.
            dtype: The dtype of the elements.
            change: Takes some elements, and which lanes they are; returns new elements.
            orders: Whether what the program does later comes after it for all programs.

        Returns:
            What each lane found; 0 where the mask is false.
        """
        found = np.zeros(pointers.shape, dtype)
        flat = found.reshape(-1)
        lanes = np.arange(pointers.size)
        for buffer, some, at in self._accesses(pointers, mask, dtype, "updates"):
            self._note_update(buffer, at * dtype.itemsize // buffer.itemsize)
            elements = buffer.view(dtype)
            parts = [slice(i, i + 1) for i in range(len(at))]
            if len(np.unique(at)) == len(at):
                parts = [slice(None)]
            for part in parts:
                lane = lanes[some][part]
                flat[lane] = elements[at[part]]
                elements[at[part]] = change(flat[lane], lane)
        self._ordered |= orders
        return found

    def check_results(self) -> None:
        """Checks that the launch wrote all results.

        Raises:
            AccessError: If an element of a result was not written.
        """
        for buffer in self._buffers:
            missing = np.flatnonzero(buffer.writers == NOBODY)
            whole = buffer.role in (Role.RESULT, Role.REPLACED)
            if whole and len(missing):
                raise AccessError(
                    f"{len(missing)} of the {buffer.size} elements of {buffer.name} "
                    f"are not written, the first is element {missing[0]}"
                )

    def _accesses(
        self, pointers: Array, mask: Array, dtype: np.dtype[Any], verb: str
    ) -> Iterator[tuple[Buffer, Any, Array]]:
        """The buffers accessed: which lanes of the block do, and at which elements."""
        flat = pointers.reshape(-1)
        lanes: Any = slice(None)
        if not mask.all():
            lanes = np.flatnonzero(np.broadcast_to(mask, pointers.shape))
            flat = flat[lanes]
        if not len(flat):
            return
        numbers = flat >> _BUFFER_SHIFT
        if (numbers == numbers[0]).all():
            buffer = self._buffers[int(numbers[0])]
            yield buffer, lanes, _elements(buffer, flat, dtype, verb)
            return
        lanes = np.arange(pointers.size)[lanes]
        for number in np.unique(numbers):
            chosen = numbers == number
            buffer = self._buffers[int(number)]
            at = _elements(buffer, flat[chosen], dtype, verb)
            yield buffer, lanes[chosen], at

    def _note_read(self, buffer: Buffer, elements: Array) -> None:
        if buffer.role is Role.PARAMETER:
            return
        writers = buffer.writers[elements]
        if buffer.role is Role.RESULT and (writers == NOBODY).any():
            first = elements[writers == NOBODY][0]
            raise AccessError(
                f"reads element {first} of {buffer.name}, which nothing has written"
            )
        self._check_others(buffer, elements, writers, "reads", "writes")
        readers = buffer.readers[elements]
        own = (readers == NOBODY) | (readers == self.program)
        buffer.readers[elements] = np.where(own, self.program, SEVERAL)

    def _note_write(self, buffer: Buffer, elements: Array) -> None:
        if buffer.role is Role.PARAMETER:
            raise AccessError(f"writes to {buffer.name}, which is not a result")
        for users, verb in ((buffer.writers, "writes"), (buffer.readers, "reads")):
            self._check_others(buffer, elements, users[elements], "writes", verb)
        buffer.writers[elements] = self.program

    def _note_update(self, buffer: Buffer, elements: Array) -> None:
        if buffer.role is Role.PARAMETER:
            raise AccessError(f"updates {buffer.name}, which is not a result")
        writers = buffer.writers[elements]
        writers = np.where(writers == SEVERAL, NOBODY, writers)
        self._check_others(buffer, elements, writers, "updates", "writes")
        readers = buffer.readers[elements]
        self._check_others(buffer, elements, readers, "updates", "reads")
        buffer.writers[elements] = SEVERAL

    def _check_others(
        self, buffer: Buffer, elements: Array, users: Array, verb: str, their_verb: str
    ) -> None:
        """Raises if another program uses one of the elements."""
        others = (users != NOBODY) & (users != self.program)
        if self._ordered or not others.any():
            return
        user = users[others][0]
        who = f"program {user} {their_verb}" if user >= 0 else _SEVERAL[their_verb]
        raise AccessError(
            f"program {self.program} {verb} element {elements[others][0]} of "
            f"{buffer.name}, which {who}"
        )


def _elements(
    buffer: Buffer, pointers: Array, dtype: np.dtype[Any], verb: str
) -> Array:
    """Which elements of a buffer, counted in elements of `dtype`, are pointed to."""
    offsets = (pointers & _ADDRESS_MASK).astype(np.int64) - np.int64(_START)
    elements = offsets // dtype.itemsize
    outside = (offsets < 0) | (elements >= len(buffer.memory) // dtype.itemsize)
    if outside.any():
        offset = int(offsets[outside][0])
        raise AccessError(
            f"{verb} outside of {buffer.name}, which has {buffer.size} elements: "
            f"element {offset // buffer.itemsize}"
        )
    if (elements * dtype.itemsize != offsets).any():
        raise AccessError(f"{verb} {buffer.name} at an address that is not aligned")
    return elements


def share_equal(buffers: Sequence[Buffer], addresses: Sequence[int]) -> list[Buffer]:
    """The buffers, with one for a parameter and the result that takes its memory.

    A plan may give a result the memory of a parameter that nothing reads later, if each
    program reads what it overwrites before.
    """
    parameters = {
        (address, len(buffer.memory)): number
        for number, (address, buffer) in enumerate(zip(addresses, buffers, strict=True))
        if buffer.role is Role.PARAMETER and len(buffer.memory)
    }
    shared = list(buffers)
    for number, (address, buffer) in enumerate(zip(addresses, buffers, strict=True)):
        taken = parameters.get((address, len(buffer.memory)))
        if buffer.role is Role.RESULT and taken is not None:
            one = Buffer(
                buffers[taken].name, Role.REPLACED, buffer.memory, buffer.itemsize
            )
            shared[number] = shared[taken] = one
    return shared


def check_overlap(buffers: Sequence[Buffer], addresses: Sequence[int]) -> None:
    """Checks that what a kernel writes overlaps with none of its other buffers.

    Raises:
        AccessError: If two buffers overlap and one of them is written.
    """
    placed = zip(addresses, buffers, strict=True)
    before: list[tuple[int, Buffer]] = []
    for address, buffer in sorted(placed, key=itemgetter(0)):
        before = [(end, other) for end, other in before if end > address]
        if not len(buffer.memory):
            continue
        for _, other in before:
            if buffer is other:
                continue
            if {buffer.role, other.role} != {Role.PARAMETER}:
                raise AccessError(f"{other.name} and {buffer.name} overlap in memory")
        before.append((address + len(buffer.memory), buffer))
