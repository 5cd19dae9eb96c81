"""Tuning tables: for each GPU architecture a file of schedules by kernel signature."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from graphc.codegen.triton.contraction_schedule import PROGRAMS
from graphc.codegen.triton.schedule import CUBLAS, Schedule, power_of_two
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.ir.types import TensorType

MOST_WARPS = 32
MOST_STAGES = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What was measured for kernels of one signature.

    Attributes:
        schedule: The fastest schedule.
        microseconds: How long a launch took with it.
        default: How long it took with the schedule that is taken without an entry.
        measured: The GPU, Triton's version and the date.
    """

    schedule: Schedule
    microseconds: float
    default: float
    measured: str


Table = Mapping[str, Entry]

_FIELDS = (
    *("constants", "num_warps", "num_stages"),
    *("microseconds", "default", "measured"),
)

_OPTIONAL: Mapping[str, tuple[bool | str, ...]] = {
    "descriptors": (True,),
    "warp_specialize": (True,),
    "library": (CUBLAS,),
}
"""What entries say only where it is so."""


def signature_of(graph: Graph) -> str:
    """What kernel graphs have in common that share a schedule.

    That is which ops they have, how often, and the types of parameters and results with
    each dimension rounded up to a power of two.
    """
    counts = Counter(node.op.name for node in graph.nodes)
    ops = [name if count == 1 else f"{name}*{count}" for name, count in counts.items()]
    operands = " ".join(_bucket(p.type) for p in graph.parameters)
    results = " ".join(_bucket(value.type) for value in graph.results)
    return f"{' '.join(ops)}: {operands} -> {results}"


def _bucket(type: TensorType) -> str:
    shape = ",".join(str(power_of_two(size)) for size in type.static_shape)
    return f"{type.dtype.name}[{shape}]"


def table_path(architecture: str) -> Path:
    """The file of an architecture, such as ``sm_90``; it need not exist."""
    return Path(__file__).parent / f"{architecture}.json"


@functools.cache
def load_table(architecture: str) -> Table:
    """The table that comes with graphc for an architecture; empty if there is none.

    Raises:
        GraphcError: If the file is damaged.
    """
    path = table_path(architecture)
    return read_table(path) if path.exists() else {}


def read_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        GraphcError: If an entry is not one; says which and why.
    """
    try:
        content: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise GraphcError(
            f"the tuning table {path.name} cannot be read: {error}", received=str(path)
        ) from error
    entries = _mapping(content).get("entries")
    if not isinstance(entries, dict):
        raise _damaged(path, "it has no object 'entries'", content)
    found = cast(dict[str, Any], entries)
    return {key: _entry(path, key, value) for key, value in found.items()}


def table_text(table: Table) -> str:
    """The text of a file that holds a table."""
    entries = {key: _plain(table[key]) for key in sorted(table)}
    return json.dumps({"entries": entries}, indent=1) + "\n"


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "constants": dict(entry.schedule.constants),
        "num_warps": entry.schedule.num_warps,
        "num_stages": entry.schedule.num_stages,
        **{name: value for name, value in _more(entry.schedule) if value},
        **{k: v for k, v in asdict(entry).items() if k != "schedule"},
    }


def _more(schedule: Schedule) -> list[tuple[str, Any]]:
    """What of a schedule is optional in an entry."""
    return [(name, getattr(schedule, name)) for name in _OPTIONAL]


def _entry(path: Path, key: str, value: Any) -> Entry:
    fields = _mapping(value)
    problem = _problem(fields)
    if problem is not None:
        raise _damaged(path, f"entry {key!r}: {problem}", value)
    more = {name: fields[name] for name in _OPTIONAL if name in fields}
    schedule = Schedule(
        dict(fields["constants"]), fields["num_warps"], fields["num_stages"], **more
    )
    times = float(fields["microseconds"]), float(fields["default"])
    return Entry(schedule, *times, fields["measured"])


def _problem(fields: Mapping[str, Any]) -> str | None:
    """What is wrong with an entry, or None."""
    if sorted(fields.keys() - set(_OPTIONAL)) != sorted(_FIELDS):
        return f"it must have {', '.join(_FIELDS)}"
    for name, allowed in _OPTIONAL.items():
        if name in fields and fields[name] not in allowed:
            return f"{name} may be {' or '.join(map(repr, allowed))}"
    constants = _mapping(fields["constants"])
    if not constants and "library" not in fields:
        return "constants must be an object of tile sizes"
    for name, size in constants.items():
        if name == PROGRAMS and type(size) is int and size > 0:
            continue
        if not _is_power_of_two(size):
            return f"{name} must be a power of two"
    warps, stages = fields["num_warps"], fields["num_stages"]
    if not _is_power_of_two(warps) or warps > MOST_WARPS:
        return f"num_warps must be a power of two up to {MOST_WARPS}"
    if type(stages) is not int or not 1 <= stages <= MOST_STAGES:
        return f"num_stages must be from 1 to {MOST_STAGES}"
    for name in ("microseconds", "default"):
        if not isinstance(fields[name], int | float) or not fields[name] > 0:
            return f"{name} must be a time"
    if not isinstance(fields["measured"], str) or not fields["measured"]:
        return "measured must say on what"
    return None


def _is_power_of_two(size: Any) -> bool:
    return type(size) is int and size > 0 and size & (size - 1) == 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, dict) else {}


def _damaged(path: Path, problem: str, received: Any) -> GraphcError:
    return GraphcError(
        f"the tuning table {path.name} is damaged: {problem}",
        received=json.dumps(received)[:200],
        hint="remove the entry: kernels without one have a default schedule",
    )
