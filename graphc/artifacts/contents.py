"""What an artifact's manifest says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.artifacts.compiler import checked_options
from graphc.artifacts.contract import Contract
from graphc.files.container import Format, check_keys
from graphc.files.lock import Locked
from graphc.ir.errors import LoadError

SUFFIX = ".gcx"

SCHEDULES = "schedules"
"""Among the facts of a program with kernels: for each its schedule, and its origin."""

GRAPH, WEIGHTS, LOCK = "graph.gir", "weights.safetensors", "graphc.lock"

USUAL: Mapping[str, Any] = {
    "passes": None, "precision": "float32", "memory_budget": None, "check": None,
}  # fmt: skip
"""What the manifest says of options where nothing is asked for."""

MAX_GRAPH = 1 << 28
"""The largest text of a graph that artifacts hold, in bytes."""

STEPS = ("predict", "train_step", "eval_step")
"""The steps of a model that are programs."""

KINDS = (*STEPS, "graph")

_KEYS = frozenset((
    *("name", "kind", "inputs", "outputs", "state", "written", "contract"),
    *("options", "weights", "programs"),
))  # fmt: skip

FORMAT = Format("graphc-artifact", 1, keys=_KEYS, optional=frozenset({"metrics"}))

_MAX_NAME, _MAX_STATEMENT = 1000, 1 << 16


@dataclass(frozen=True, slots=True)
class PackedProgram:
    """What the manifest says of one compiled program.

    Attributes:
        target: The target it was compiled for.
        sizes: The sizes of the dimension symbols.
        number: Which of the artifact's programs it is.
        facts: What made it, and what it runs on.
        files: The names that the backend gave its parts.
        numerics: For each result, what rewrites did on the way to it.
    """

    target: str
    sizes: Mapping[str, int]
    number: int
    facts: Mapping[str, Any]
    files: tuple[str, ...]
    numerics: tuple[str, ...] = ()

    @property
    def schedules(self) -> dict[str, str]:
        """The schedule of each kernel, by its name, and where it is from."""
        found = self.facts.get(SCHEDULES)
        return found if isinstance(found, dict) else {}

    @property
    def members(self) -> dict[str, str]:
        """The members that hold its parts, by the names of these.

        Parts in a folder of their own are named by their content, and shared.
        """
        folder = self.target.replace(":", "_")
        own = {name: f"{folder}/{self.number}.{name}" for name in self.files}
        return {name: name if "/" in name else at for name, at in own.items()}

    def to_json(self) -> dict[str, Any]:
        """What the manifest says. The number is the place in the list."""
        return {
            "target": self.target,
            "sizes": dict(self.sizes),
            "facts": dict(self.facts),
            "files": list(self.files),
            "numerics": list(self.numerics),
        }


@dataclass(frozen=True, slots=True)
class Contents:
    """What an artifact holds.

    Attributes:
        name: What the program is called.
        kind: ``predict``, ``train_step``, ``eval_step`` or ``graph``.
        inputs: The names of the graph's first parameters, which callers pass.
        outputs: The names of the graph's first results, which callers get.
        state: The names of the tensors for the other parameters.
        written: For each of the other results, the place in `state` of what it replaces.
        contract: The sizes it is compiled for.
        options: What its compiles are asked for, by the names of `CompileOptions`; the
            target is chosen when it is loaded.
        weights: The SHA-256 of the weights' file if that is not in the artifact.
        programs: The compiled programs.
        lock: The choices of tuning that its compiles go by, if there are some.
        metrics: The places in `state` of what starts afresh in each epoch.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    state: tuple[str, ...]
    written: tuple[int, ...]
    contract: Contract
    options: Mapping[str, Any]
    weights: str | None
    programs: tuple[PackedProgram, ...]
    lock: Locked | None = None
    metrics: tuple[int, ...] = ()

    @property
    def targets(self) -> list[str]:
        """The targets that there are compiled programs for."""
        return list(dict.fromkeys(program.target for program in self.programs))

    @property
    def parts(self) -> set[str]:
        """The members that hold compiled programs."""
        return {name for each in self.programs for name in each.members.values()}

    def to_json(self) -> dict[str, Any]:
        """The contents as JSON."""
        metrics = {"metrics": list(self.metrics)} if self.metrics else {}
        return metrics | {
            "name": self.name,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "state": list(self.state),
            "written": list(self.written),
            "contract": self.contract.to_json(),
            "options": dict(self.options),
            "weights": self.weights,
            "programs": [program.to_json() for program in self.programs],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Contents:
        """The contents that `to_json` wrote.

        Raises:
            LoadError: If they are none; names what is wrong.
        """
        kind = found["kind"]
        if kind not in KINDS:
            raise LoadError("an artifact of an unknown kind", received=ascii(kind)[:80])
        state = _names(found, "state")
        contract = Contract.from_json(found["contract"])
        return cls(
            name=_name(found["name"], "name"),
            kind=kind,
            inputs=_names(found, "inputs"),
            outputs=_names(found, "outputs"),
            state=state,
            written=_places(found["written"], "written", len(state)),
            metrics=_places(found.get("metrics", []), "metrics", len(state)),
            contract=contract,
            options=_options(found["options"]),
            weights=_digest(found["weights"]),
            programs=_programs(found["programs"], contract),
        )


def _list(found: Any, what: str) -> list[Any]:
    if not isinstance(found, list):
        raise LoadError(f"the {what} of an artifact are no list")
    return found


def _name(found: Any, what: str, limit: int = _MAX_NAME) -> str:
    if not isinstance(found, str) or len(found) > limit or not found.isprintable():
        raise LoadError(
            f"the {what} of an artifact must be printable text",
            received=ascii(found)[:80],
        )
    return found


def _names(found: Mapping[str, Any], what: str) -> tuple[str, ...]:
    names = tuple(_name(each, what) for each in _list(found[what], what))
    if len(set(names)) < len(names):
        raise LoadError(f"the {what} of an artifact are not distinct")
    return names


def _places(found: Any, what: str, count: int) -> tuple[int, ...]:
    places = _list(found, what)
    fits = all(type(place) is int and 0 <= place < count for place in places)
    if not fits or len(set(places)) < len(places):
        raise LoadError(f"what an artifact lists as {what} is not its state")
    return tuple(places)


def _digest(found: Any) -> str | None:
    if found is not None and not (isinstance(found, str) and len(found) == 64):
        raise LoadError("the digest of an artifact's weights is none")
    return found


def _options(found: Any) -> Mapping[str, Any]:
    # Checking others takes the passes, which running what is compiled does without.
    return found if found == USUAL else checked_options(found)


def _programs(found: Any, contract: Contract) -> tuple[PackedProgram, ...]:
    """The programs, which are different ones, of sizes that the contract declares."""
    listed = _list(found, "programs")
    programs = tuple(_program(each, number) for number, each in enumerate(listed))
    made = [(p.target, tuple(sorted(p.sizes.items()))) for p in programs]
    if len(set(made)) < len(made):
        raise LoadError("an artifact has two programs for one target and size")
    for program in programs:
        fits = program.sizes.keys() == contract.symbols.keys() and all(
            size in contract.symbols[name].compiled
            for name, size in program.sizes.items()
        )
        if not fits:
            raise LoadError(
                "an artifact has a program of sizes that its contract lacks",
                received=ascii(program.sizes)[:80],
            )
    return programs


def _program(found: Any, number: int) -> PackedProgram:
    keys = {"target", "sizes", "facts", "files", "numerics"}
    check_keys(found, keys, "an artifact's program")
    target, sizes, facts = found["target"], found["sizes"], found["facts"]
    whole = (
        isinstance(target, str)
        and re.fullmatch(r"[a-z]{1,20}(:[a-z0-9_]{1,20})?", target) is not None
        and isinstance(sizes, dict)
        and all(type(size) is int for size in sizes.values())
        and isinstance(facts, dict)
    )
    if not whole:
        raise LoadError("what an artifact says of a program is not complete")
    files = _names(found, "files")
    if {"", WEIGHTS, GRAPH, LOCK} & set(files):
        raise LoadError("a part of a program has the name of another member")
    numerics = _list(found["numerics"], "numerics")
    said = tuple(_name(each, "numerics", _MAX_STATEMENT) for each in numerics)
    return PackedProgram(target, sizes, number, facts, files, said)


def donated(inputs: int, written: Iterable[int]) -> tuple[int, ...]:
    """The parameters that may be overwritten: those of state that a run replaces."""
    return tuple(inputs + place for place in sorted(written))
