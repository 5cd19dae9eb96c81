"""What there is to choose from: axes with named values, the canonical one first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from graphc.files.lock import CANONICAL
from graphc.ir.errors import LoadError

Choice: TypeAlias = tuple[str, ...]
"""A value for each axis of a space, in order."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One decision.

    Attributes:
        name: Its name, without spaces and ``=``.
        values: The values by name, without spaces; the first is canonical.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """All combinations of the values of some axes.

    Attributes:
        axes: The axes.

    Example:
        >>> space = Space((Axis("cse", ("on", "off")), Axis("warps", ("4", "8"))))
        >>> space.size, space.canonical
        (4, ('on', '4'))
        >>> space.text(("on", "8"))
        'warps=8'
        >>> space.parse("warps=8")
        ('on', '8')
    """

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many choices there are."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def canonical(self) -> Choice:
        """What is chosen where nothing was measured."""
        return tuple(axis.values[0] for axis in self.axes)

    def choices(self) -> Iterator[Choice]:
        """All choices, nearest to the canonical one first."""
        count = len(self.axes)
        for distance in range(count + 1):
            for changed in itertools.combinations(range(count), distance):
                yield from itertools.product(
                    *(
                        axis.values[1:] if place in changed else axis.values[:1]
                        for place, axis in enumerate(self.axes)
                    )
                )

    def rank(self, choice: Choice) -> tuple[int, tuple[int, ...]]:
        """What orders choices as `choices` does; ties go to what comes first."""
        places = [
            axis.values.index(value)
            for axis, value in zip(self.axes, choice, strict=True)
        ]
        changed = [place for place, at in enumerate(places) if at]
        return len(changed), (*changed, *(places[place] for place in changed))

    def text(self, choice: Choice) -> str:
        """A choice as lock files have it: what differs from the canonical one."""
        pairs = zip(self.axes, choice, strict=True)
        changed = [f"{a.name}={v}" for a, v in pairs if v != a.values[0]]
        return " ".join(changed) or CANONICAL

    def parse(self, text: str) -> Choice:
        """The choice that a text spells.

        Raises:
            LoadError: If the space has no such choice.
        """
        found = dict(zip((a.name for a in self.axes), self.canonical, strict=True))
        known = {axis.name: axis.values for axis in self.axes}
        seen: set[str] = set()
        for word in [] if text == CANONICAL else text.split(" "):
            name, _, value = word.partition("=")
            if value not in known.get(name, ()) or name in seen:
                raise LoadError(
                    "the choice is none of this space",
                    received=text[:200],
                    hint="tune again: the passes or templates may have changed",
                )
            seen.add(name)
            found[name] = value
        return tuple(found.values())
