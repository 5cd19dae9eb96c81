"""torch's own samples of its ops: values and float64 gradients of the ops graphc has.

The samples are those of `torch.testing`'s `op_db`, which come with torch. A case is
one sample; the project runs the seven tenths whose name's SHA-256 ends in 0 to 6
modulo 10. All cases of an op become one graph, which is evaluated in float64, compared
with torch in float64, and run by XLA in float32.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ir
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.compile import compile_graph
from tests.suites.torch_functional_names import FUNCTIONAL_NAMES
from tests.suites.torch_linalg_names import LINALG_NAMES
from tests.suites.torch_names import NAMES, NoCounterpartError
from tests.suites.torch_rarer_names import RARER_NAMES

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # torch's, of its own samples
]

MOST = 12
"""Of an op's cases, so many are run: the first ones by hash."""

ALL_NAMES = {**NAMES, **RARER_NAMES, **LINALG_NAMES, **FUNCTIONAL_NAMES}

LEFT_OUT = {"linalg.norm.subgradients_at_zero"}
"""Variants of ops that differ by intent: norms have no gradient at 0, as in Keras."""


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def infos(torch: Any) -> dict[str, list[Any]]:
    """The entries of `op_db` by name; an op may have several variants."""
    invocations = pytest.importorskip(
        "torch.testing._internal.common_methods_invocations"
    )
    found: dict[str, list[Any]] = {}
    for info in invocations.op_db:
        found.setdefault(info.name, []).append(info)
    return found


@dataclass
class Case:
    """One sample: torch's op and ours on the same arrays."""

    name: str
    theirs: Callable[..., Any]
    ours: Callable[..., Any]
    arrays: list[Any]
    """torch tensors in float64, int64 and bool."""


def is_projects(name: str) -> bool:
    """Whether a case is one that the project runs."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 <= 6


def cases_of(torch: Any, infos: list[Any], ours: Callable[..., Any]) -> list[Case]:
    """The project's cases of an op."""
    found = []
    for info in infos:
        floats = torch.float64 in info.dtypes
        if info.full_name in LEFT_OUT or not (floats or torch.int64 in info.dtypes):
            continue  # such as a variant for other devices
        samples = info.sample_inputs(
            "cpu",
            torch.float64 if floats else torch.int64,
            requires_grad=floats and info.supports_autograd,
        )
        for number, sample in enumerate(samples):
            name = f"{info.full_name}/{number}"
            if is_projects(name):
                found.append(make_case(torch, name, info, sample, ours))
    found.sort(key=lambda case: hashlib.sha256(case.name.encode()).digest())
    return found[:MOST]


def make_case(
    torch: Any, name: str, info: Any, sample: Any, ours: Callable[..., Any]
) -> Case:
    """A case whose functions take the sample's tensors alone."""
    arrays: list[Any] = []

    def hole(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            arrays.append(x.detach().requires_grad_(x.requires_grad))
            return _Hole(len(arrays) - 1)
        if isinstance(x, torch.Size):
            return tuple(x)
        if isinstance(x, (list, tuple)):
            return [hole(v) for v in x] if isinstance(x, list) else tuple(map(hole, x))
        # A number in a graph is a literal in float32: both get the same one.
        return float(np.float32(x)) if isinstance(x, float) else x

    first = hole(sample.input)
    rest = hole(tuple(sample.args))
    keywords = {k: hole(v) for k, v in sample.kwargs.items()}

    def call(function: Callable[..., Any]) -> Callable[..., Any]:
        def filled(*tensors: Any) -> Any:
            def fill(x: Any) -> Any:
                if isinstance(x, _Hole):
                    return tensors[x.index]
                if isinstance(x, (list, tuple)):
                    return type(x)(map(fill, x))
                return x

            named = {k: fill(v) for k, v in keywords.items()}
            return function(fill(first), *fill(rest), **named)

        return filled

    return Case(name, call(info.op), call(ours), arrays)


@dataclass(frozen=True)
class _Hole:
    """The place of a tensor among a sample's arguments."""

    index: int


def flat(outputs: Any) -> list[Any]:
    """An op's outputs as a list."""
    if isinstance(outputs, (tuple, list)):
        return [y for part in outputs for y in flat(part)]
    return [outputs]


def as_numpy(tensor: Any) -> np.ndarray:
    """An array with graphc's 32-bit integers."""
    array = tensor.numpy(force=True)
    return array.astype(np.int32) if array.dtype == np.int64 else array


def narrow(array: np.ndarray) -> np.ndarray:
    """An array with floats in float32."""
    return array.astype(np.float32) if array.dtype == np.float64 else array


def spec(array: np.ndarray) -> Any:
    """The type that a case's graph takes an array as."""
    return graphc.TensorSpec(array.shape, narrow(array).dtype.name)


def traced(case: Case) -> ir.Graph:
    """Our graph of a case.

    Raises:
        NoCounterpartError: If graphc has no op for the sample's arguments.
    """
    specs = [spec(as_numpy(x)) for x in case.arrays]
    return graphc.trace(lambda *xs: tuple(flat(case.ours(*xs))), *specs)


def weights_of(shapes: list[Any]) -> list[np.ndarray]:
    """What the outputs are multiplied with to make a scalar of them."""
    return [
        np.cos(np.arange(math.prod(s), dtype=np.float32)).reshape(s) for s in shapes
    ]


def trained(arrays: list[Any]) -> tuple[int, ...]:
    """The positions of the tensors that the sample wants gradients of."""
    return tuple(i for i, x in enumerate(arrays) if x.requires_grad)


def gradient_graph(case: Case, outputs: list[Any]) -> ir.Graph:
    """Our graph of the gradients with respect to all float tensors."""
    weights = weights_of([tuple(y.shape) for y in outputs])

    def loss(*xs: Any) -> Any:
        total = graphc.ops.zeros(())
        for y, w in zip(flat(case.ours(*xs)), weights, strict=True):
            if "float" in y.dtype:
                total = total + graphc.ops.sum(y * w)
        return total

    places = trained(case.arrays)
    specs = [spec(as_numpy(x)) for x in case.arrays]
    gradients = graphc.value_and_grad(loss, argnums=places)
    return graphc.trace(lambda *xs: tuple(flat(gradients(*xs)[1])), *specs)


def their_gradients(torch: Any, case: Case) -> list[np.ndarray] | None:
    """torch's gradients in float64; None if it has none."""
    leaves = case.arrays
    places = trained(leaves)
    outputs = [y for y in flat(case.theirs(*leaves)) if isinstance(y, torch.Tensor)]
    weights = weights_of([tuple(y.shape) for y in outputs])
    terms = [
        (y * torch.from_numpy(w).to(y.dtype)).sum()
        for y, w in zip(outputs, weights, strict=True)
        if y.is_floating_point() and y.requires_grad
    ]
    if not terms or not places:
        return None
    found = torch.autograd.grad(
        sum(terms), [leaves[i] for i in places], allow_unused=True
    )
    return [
        np.zeros(tuple(leaves[i].shape)) if g is None else g.numpy(force=True)
        for i, g in zip(places, found, strict=True)
    ]


def differences(
    name: str, ours: Sequence[Any], theirs: Sequence[Any], exact: Any = None
) -> Iterator[str]:
    """What differs between the results of a case.

    Args:
        name: What is compared.
        ours: Our results.
        theirs: torch's results in the same dtype.
        exact: torch's results in float64, if ours are not.
    """
    if len(ours) != len(theirs):
        yield f"{name}: {len(ours)} results, torch has {len(theirs)}"
        return
    for number, (mine, wanted) in enumerate(zip(ours, theirs, strict=True)):
        if exact is None or wanted.dtype != np.float32:
            problem = mismatch(mine, wanted)
        else:
            problem = inaccuracy(mine, wanted, exact[number])
        if problem:
            yield f"{name}: {problem}"


@dataclass
class Tally:
    """What became of an op's cases."""

    passed: int = 0
    unsupported: int = 0


def check_op(torch: Any, infos: list[Any], name: str) -> Tally:
    """Fails with a list of what differs from torch."""
    wrong: list[str] = []
    tally = Tally()
    run: list[Case] = []
    for case in cases_of(torch, infos, ALL_NAMES[name]):
        try:
            graph = traced(case)
        except NoCounterpartError:
            tally.unsupported += 1
            continue
        arrays = [as_numpy(x) for x in case.arrays]
        outputs = flat(case.theirs(*case.arrays))
        found = ir.evaluate(graph, *arrays, dtype="f64")
        wanted = [as_numpy(y) for y in outputs]
        wrong += differences(case.name, found, wanted)
        gradients = their_gradients(torch, case)
        if gradients is not None:
            graph = gradient_graph(case, outputs)
            found = ir.evaluate(graph, *arrays, dtype="f64")
            wrong += differences(f"{case.name} gradient", found, gradients)
        run.append(case)
    tally.passed = len(run)
    wrong += run_by_xla(run)
    assert not wrong, "\n".join(wrong[:20])
    return tally


def run_by_xla(cases: list[Case]) -> list[str]:
    """What differs when all cases run as one executable in float32."""
    if not cases:
        return []
    counts = [len(case.arrays) for case in cases]
    arrays = [narrow(as_numpy(x)) for case in cases for x in case.arrays]

    def every(*xs: Any) -> Any:
        rest, found = list(xs), []
        for case, count in zip(cases, counts, strict=True):
            found += flat(case.ours(*rest[:count]))
            del rest[:count]
        return tuple(found)

    executable = compile_graph(graphc.trace(every, *map(spec, arrays)), "xla:cpu")
    found = list(executable(*arrays))
    wrong: list[str] = []
    for case in cases:
        single = [
            x.detach().float() if x.is_floating_point() else x for x in case.arrays
        ]
        wanted, exact = (
            [as_numpy(y) for y in flat(case.theirs(*xs))]
            for xs in (single, case.arrays)
        )
        mine = [np.asarray(y) for y in found[: len(wanted)]]
        wrong += differences(f"{case.name} by XLA", mine, wanted, exact)
        del found[: len(wanted)]
    return wrong


@pytest.mark.parametrize("name", sorted(ALL_NAMES))
def test_values_and_gradients_are_torchs(name: str, torch: Any, infos: Any) -> None:
    tally = check_op(torch, infos[name], name)
    if not (tally.passed or tally.unsupported):
        pytest.skip("none of its samples is the project's")
