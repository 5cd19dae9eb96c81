"""Buffers while a plan is made: when each holds something, and which share memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from graphc.codegen.triton.memory import Block, aligned, pack
from graphc.codegen.triton.plan import Address, Term

POINTER_ALIGNMENT = 16
"""What kernels take for granted of every pointer."""


@dataclass(eq=False, slots=True)
class Buffer:
    """Memory for one value, or for the values that a loop carries one after the other.

    Attributes:
        bytes: Its size.
        alive: The times, from one to another, at which it holds something that is still
            to be read.
        region: The region it is, or None if it goes into the arena.
        doubled: Whether the steps of a loop read one half and write the other.
        shared: Whether other buffers became one with it.
        place: What it became a part of, or None if it lies alone.
    """

    bytes: int
    alive: list[tuple[int, int]]
    region: int | None = None
    doubled: bool = False
    shared: bool = False
    place: View | None = None

    @property
    def start(self) -> int:
        """When it is first written."""
        return self.alive[0][0]

    @property
    def end(self) -> int:
        """When it is last read or written."""
        return self.alive[-1][1]

    @property
    def half(self) -> int:
        """The bytes from one half to the other."""
        return aligned(self.bytes)

    def read(self, time: int) -> None:
        """Notes that it is read, or changed in part."""
        start, end = self.alive[-1]
        self.alive[-1] = start, max(end, time)

    def write(self, time: int) -> None:
        """Notes that all of it is overwritten."""
        self.alive.append((time, time))


@dataclass(frozen=True, slots=True)
class View:
    """A part of a buffer.

    Attributes:
        buffer: The buffer.
        offset: Bytes from its start.
        terms: What the loops around add.
        half: The half of the buffer, if that is doubled.
    """

    buffer: Buffer
    offset: int = 0
    terms: tuple[Term, ...] = ()
    half: Term | int = 0

    def resolve(self) -> View:
        """The same memory as a view of a buffer that lies alone."""
        buffer, offset, terms = self.buffer, self.offset, self.terms
        if buffer.place is None and not buffer.doubled:
            return self
        if buffer.doubled and isinstance(self.half, Term):
            terms = (*terms, self.half)
        elif buffer.doubled and isinstance(self.half, int):
            offset += self.half * buffer.half
        if buffer.place is None:
            return View(buffer, offset, terms)
        around = buffer.place.resolve()
        return View(around.buffer, around.offset + offset, (*around.terms, *terms))

    @property
    def is_whole(self) -> bool:
        """Whether this is all that its buffer holds at one time."""
        return not self.offset and not self.terms

    def covers(self, bytes: int) -> bool:
        """Whether this is all of its buffer, which has so many bytes."""
        return self.is_whole and self.buffer.bytes == bytes and not self.buffer.doubled

    @property
    def is_aligned(self) -> bool:
        """Whether kernels can be given its address."""
        return not any(
            number % POINTER_ALIGNMENT
            for number in (self.offset, *(term.stride for term in self.terms))
        )


@dataclass(frozen=True, slots=True)
class Move:
    """A copy, which need not happen if both buffers can be one.

    Attributes:
        source: What is read.
        target: What is written.
        bytes: How many.
        time: When.
        weight: The bytes copied in all steps of the loops around.
        since: When the body of the innermost loop around starts.
    """

    source: View
    target: View
    bytes: int
    time: int
    weight: int
    since: int


@dataclass(slots=True)
class Memory:
    """All buffers of a plan, and what is known about sharing.

    Attributes:
        buffers: The buffers, in order of creation.
        moves: The copies.
        handovers: For a time, the pairs of buffers of which the second may overwrite
            the first while that is read.
    """

    buffers: list[Buffer] = field(default_factory=list[Buffer])
    moves: list[Move] = field(default_factory=list[Move])
    handovers: dict[int, list[tuple[Buffer, Buffer]]] = field(
        default_factory=dict[int, list[tuple[Buffer, Buffer]]]
    )

    def new(self, bytes: int, time: int, region: int | None = None) -> Buffer:
        """A buffer that is written at a time."""
        buffer = Buffer(bytes, [(time, time)], region)
        self.buffers.append(buffer)
        return buffer

    def hand_over(self, time: int, source: View, target: View) -> None:
        """Notes that at a time `target` may overwrite `source`, if both are whole."""
        if source.is_whole and target.is_whole:
            pair = source.buffer, target.buffer
            self.handovers.setdefault(time, []).append(pair)

    def origins(self) -> dict[Buffer, Buffer]:
        """For a buffer that starts as a copy, the buffer that is copied."""
        return {
            move.target.buffer: move.source.buffer
            for move in self.moves
            if move.target.buffer.start == move.time
        }

    def share(self, reusable: Sequence[Buffer]) -> None:
        """Makes one buffer of several wherever that saves a copy or memory.

        Args:
            reusable: Buffers of donated parameters, whose memory temporaries may take.
        """
        for move in sorted(self.moves, key=lambda move: (-move.weight, -move.since)):
            self._avoid(move)
        for time in sorted(self.handovers):
            for pair in self.handovers[time]:
                source, target = (View(buffer).resolve() for buffer in pair)
                if source.buffer.region is None and target.buffer.region is None:
                    self._join(source, target)
        largest_first = sorted(self.buffers, key=lambda buffer: -buffer.bytes)
        for target in reusable:
            for buffer in largest_first:
                if _is_free(buffer) and buffer.bytes <= target.bytes:
                    self._join(View(buffer), View(target).resolve())

    def lay_out(self, arena: int) -> tuple[dict[Buffer, Address], int, int]:
        """The address of each buffer that lies alone, the arena's size and its bound.

        Args:
            arena: The number of the arena's region.
        """
        alone = [buffer for buffer in self.buffers if buffer.place is None]
        packed = [buffer for buffer in alone if buffer.region is None]
        blocks = [Block(_size(b), b.start, b.end) for b in packed]
        layout = pack(blocks)
        homes = {b: Address(b.region) for b in alone if b.region is not None}
        for buffer, offset in zip(packed, layout.offsets, strict=True):
            homes[buffer] = Address(arena, offset)
        return homes, layout.bytes, layout.bound

    def _avoid(self, move: Move) -> None:
        """Lets source and target be one, so that nothing is to be copied."""
        source, target = move.source.resolve(), move.target.resolve()
        if not source.covers(move.bytes):
            return
        if target.covers(move.bytes):
            if self._join(source, target):
                return
            # A loop overwrites what it carries while that is still read: with two
            # halves, each step reads what the step before wrote.
            carried = move.target.buffer
            alternates = isinstance(move.target.half, Term) and _is_free(carried)
            if alternates and not carried.shared and _is_local(source.buffer, move):
                carried.doubled = True
                carried.alive = [(carried.start, carried.end)]
                source.buffer.place = move.target
        elif target.is_aligned and _is_local(source.buffer, move):
            around = target.buffer
            if around.doubled:  # which the steps of a loop will overwrite
                if source.buffer.end > move.time:
                    return
                around.alive = [(min(around.start, source.buffer.start), around.end)]
            source.buffer.place = move.target

    def _join(self, source: View, target: View) -> bool:
        """Makes one buffer of two, if they are never needed at the same time."""
        one, other = source.buffer, target.buffer
        if one is other:
            return True
        if one.doubled or other.doubled or not (_is_loose(one) or _is_loose(other)):
            return False
        if self._collide(one, other):
            return False
        kept, gone = (one, other) if other.region is None else (other, one)
        gone.place, kept.shared = View(kept), True
        kept.alive = sorted({*kept.alive, *gone.alive})
        return True

    def _collide(self, one: Buffer, other: Buffer) -> bool:
        for (s, e), (t, f) in product(one.alive, other.alive):
            first, last = max(s, t), min(e, f)
            if first < last or (first == last and not self._handed(first, one, other)):
                return True
        return False

    def _handed(self, time: int, one: Buffer, other: Buffer) -> bool:
        """Whether at a time one of the buffers ends by handing over to the other."""
        for source, target in self.handovers.get(time, ()):
            pair = View(source).resolve().buffer, View(target).resolve().buffer
            if pair in ((one, other), (other, one)):
                ends = any(end == time for _, end in pair[0].alive)
                # Nothing else may have been given the same memory at that time.
                taken = any(start == time for start, _ in pair[0].alive)
                starts = any(start == time for start, _ in pair[1].alive)
                return ends and starts and not taken
        return False


def _is_loose(buffer: Buffer) -> bool:
    return buffer.region is None and buffer.place is None


def _is_free(buffer: Buffer) -> bool:
    return _is_loose(buffer) and not buffer.doubled


def _is_local(buffer: Buffer, move: Move) -> bool:
    """Whether a buffer holds nothing before the loop body that a move stands in."""
    return _is_free(buffer) and buffer.start >= move.since


def _size(buffer: Buffer) -> int:
    return 2 * buffer.half if buffer.doubled else buffer.bytes
