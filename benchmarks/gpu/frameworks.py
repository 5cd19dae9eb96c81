"""graphc, torch and jax behind one face: arrays, compilation, waiting."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

import graphc
from benchmarks.gpu import measure
from graphc.frontend import dtype_policies
from graphc.runtime.device_arrays import DeviceArray
from graphc.runtime.triton_runtime import cuda

try:
    import torch
except ImportError:
    torch = None

OURS = "graphc"
EAGER = "torch eager"
COMPILED = "torch.compile"
TUNED = "torch.compile max-autotune"
JAX = "jax.jit"

GPU = "triton"
INTERPRETER = "triton:interpreter"


@dataclass
class Options:
    """What a run is to do.

    Attributes:
        target: The target of graphc: the GPU, or the interpreter to check the scripts.
        tiny: Whether shapes are so small that the interpreter can run them.
        rounds: How often contestants take turns; 0 to check them only.
        steps: How many training steps losses are compared after.
        baselines: The contestants to compare with, as far as they are installed.
    """

    target: str = GPU
    tiny: bool = False
    rounds: int = 30
    steps: int = 50
    baselines: Sequence[str] = field(default=(EAGER, COMPILED, TUNED, JAX))

    @property
    def on_gpu(self) -> bool:
        """Whether there is something to measure."""
        return self.target == GPU

    def wants(self, name: str) -> bool:
        """Whether to compare with a contestant, which can run here."""
        if name != JAX and torch is None:
            return False
        # On a CPU torch.compile tunes for minutes, and nothing is measured there.
        return name in self.baselines and (self.on_gpu or name in (EAGER, JAX))


# -- arrays --------------------------------------------------------------------------------

BLOCK = 1 << 22
"""How many random numbers are drawn; larger arrays repeat them."""


def random_array(
    rng: np.random.Generator,
    shape: Sequence[int],
    dtype: str = "bfloat16",
    below: int = 0,
    scale: float = 1.0,
) -> np.ndarray[Any, Any]:
    """Normal floats, or integers below a bound."""
    size = int(np.prod(shape))
    count = min(size, BLOCK)
    if below:
        drawn = rng.integers(0, below, count).astype(dtype)
    else:
        drawn = rng.normal(0.0, scale, count).astype(numpy_dtype(dtype))
    return np.resize(drawn, size).reshape(shape)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of a name, ``bfloat16`` too."""
    return np.dtype(getattr(ml_dtypes, name, name))


def to_torch(array: Any, device: str | None = None) -> Any:
    """An array of any library as a tensor."""
    if isinstance(array, torch.Tensor):
        return array.detach()
    shared = isinstance(array, jax.Array) and jax.default_backend() == "gpu"
    if shared or (isinstance(array, DeviceArray) and array.device.queue is not None):
        return torch.from_dlpack(array)
    host = np.array(array, order="C")
    if host.dtype == ml_dtypes.bfloat16:
        made = torch.from_numpy(host.view(np.int16)).view(torch.bfloat16)
    else:
        made = torch.from_numpy(host)
    return made.to(device or torch_device())


def torch_device() -> str:
    """Where torch computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def to_ours(array: np.ndarray[Any, Any], options: Options) -> Any:
    """An array where graphc's programs read it without a copy."""
    if not options.on_gpu:
        return array
    device = cuda()
    type = graphc.ir.TensorType(array.shape, graphc.ir.dtype(array.dtype))
    made = DeviceArray.new(device, type)
    device.write(made.address, array)
    return made


def wait_for_ours(options: Options) -> None:
    """Returns when the GPU has done what graphc asked for."""
    if options.on_gpu:
        cuda().synchronize()


def wait_for_torch() -> None:
    """Returns when the GPU has done what torch asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


CHUNK = 1 << 27
"""Elements that are compared at a time, in float64."""


def relative_error(found: Any, exact: Any) -> float:
    """The norm of the difference over the norm; infinite if anything is not finite."""
    if torch is None:
        got, want = (np.asarray(a).astype(np.float64) for a in (found, exact))
        difference, size = np.square(got - want).sum(), np.square(want).sum()
    else:
        got, want = to_torch(found), to_torch(exact)
        if got.shape != want.shape:
            return np.inf
        difference = size = 0.0
        pairs = (each.reshape(-1).split(CHUNK) for each in (got, want))
        for left, right in zip(*pairs, strict=True):
            wide = right.double()
            difference += (left.to(wide.device).double() - wide).square().sum().item()
            size += wide.square().sum().item()
    return (
        float(np.sqrt(difference / max(size, 1e-60))) if difference < np.inf else np.inf
    )


# -- functions -----------------------------------------------------------------------------


def torch_gradients(
    forward: Callable[..., Any], inputs: int, wrt: Sequence[int]
) -> Callable[..., Any]:
    """The results of a function of tensors, then gradients; cotangents come last.

    Args:
        forward: Returns a tuple of tensors.
        inputs: How many arguments are its own.
        wrt: Which of them to differentiate with respect to.
    """

    def run(*arguments: Any) -> tuple[Any, ...]:
        found = forward(*arguments[:inputs])
        if not wrt:
            return found
        leaves = [arguments[i] for i in wrt]
        return (*found, *torch.autograd.grad(found, leaves, arguments[inputs:]))

    return run


def jax_gradients(
    forward: Callable[..., Any], inputs: int, wrt: Sequence[int]
) -> Callable[..., Any]:
    """As `torch_gradients`, for jax."""

    def run(*arguments: Any) -> tuple[Any, ...]:
        own = list(arguments[:inputs])

        def of(*leaves: Any) -> Any:
            for index, leaf in zip(wrt, leaves, strict=True):
                own[index] = leaf
            return forward(*own)

        if not wrt:
            return forward(*own)
        found, pullback = jax.vjp(of, *(arguments[i] for i in wrt))
        return (*found, *pullback(tuple(arguments[inputs:])))

    return run


def our_gradients(
    forward: Callable[..., Any], inputs: int, wrt: Sequence[int]
) -> Callable[..., Any]:
    """As `torch_gradients`, for graphc."""
    ops = graphc.ops

    def run(*arguments: Any) -> tuple[Any, ...]:
        if not wrt:
            return forward(*arguments[:inputs])

        def total(*own: Any) -> Any:
            found = forward(*own)
            pairs = zip(found, arguments[inputs:], strict=True)
            wide = [
                ops.sum(ops.cast(y, "float32") * ops.cast(dy, "float32"))
                for y, dy in pairs
            ]
            return sum(wide[1:], wide[0]), found

        differentiated = graphc.value_and_grad(total, argnums=tuple(wrt), has_aux=True)
        (_, found), gradients = differentiated(*arguments[:inputs])
        return (*found, *gradients)

    return run


def compiled_by_torch(function: Callable[..., Any], name: str, whole: bool) -> Any:
    """A function as one of torch's contestants runs it.

    Args:
        function: The function.
        name: The contestant.
        whole: Whether torch may capture CUDA graphs itself; else the benchmark does,
            which spares torch the copies of its inputs.
    """
    if name == EAGER:
        return function
    mode = "max-autotune" if whole else "max-autotune-no-cudagraphs"
    return torch.compile(
        function, dynamic=False, mode=mode if name == TUNED else "default"
    )


def static(tensors: Iterable[Any]) -> None:
    """Tells torch that tensors stay where they are: CUDA graphs need no copies."""
    for tensor in tensors:
        torch._dynamo.mark_static_address(tensor)


def forget_compilations() -> None:
    """Frees what torch compiled; it compiles each function for a few inputs only."""
    if torch is not None:
        torch.compiler.reset()


def captured(function: Callable[..., Any], sets: Sequence[Any]) -> tuple[Any, str]:
    """A pass over all sets of arguments, as one CUDA graph if it can be captured.

    Returns:
        What to call for a pass, and a note.
    """

    def plain() -> None:
        for arguments in sets:
            function(*arguments)

    if not torch.cuda.is_available():
        return plain, ""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            plain()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            plain()
    except Exception as error:
        torch.cuda.synchronize()
        return plain, f"not captured: {str(error).splitlines()[0][:100]}"
    return graph.replay, ""


def strong_settings() -> None:
    """Makes torch as fast as its users know how to."""
    if torch is not None:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """Sets graphc's dtype policy for the models that are made inside."""
    before = dtype_policies.dtype_policy().name
    dtype_policies.set_dtype_policy(name)
    try:
        yield
    finally:
        dtype_policies.set_dtype_policy(before)


# -- the machine ---------------------------------------------------------------------------


def machine(options: Options) -> dict[str, Any]:
    """What was measured on, when, and which versions."""
    packages = ("graphc", "triton", "torch", "jax", "jaxlib", "numpy")
    return {
        "gpu": cuda().name if options.on_gpu else "none: the interpreter",
        "commit": _git("rev-parse", "HEAD") + ("+" if _git("status", "-s") else ""),
        "versions": {name: _version(name) for name in packages},
    }


def _git(*arguments: str) -> str:
    root = Path(__file__).parent
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(
            ["git", *arguments], cwd=root, text=True, stderr=subprocess.DEVNULL
        ).strip()
    return "unknown"


def _version(package: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return graphc.__version__ if package == "graphc" else "not installed"


def ceilings(options: Options) -> dict[str, float]:
    """The rates that nothing exceeds: of copies in bytes, of GEMM in FLOP per second."""
    side, size = (64, 1 << 20) if options.tiny else (8192, 1 << 32)
    rng = np.random.default_rng(0)
    a, b = (random_array(rng, (side, side)) for _ in range(2))
    found: dict[str, float] = {}
    if torch is not None:
        source = torch.empty(size, dtype=torch.uint8, device=torch_device()).random_()
        target = torch.empty_like(source)
        seconds = _best(partial(target.copy_, source), wait_for_torch)
        found["copy"] = 2 * size / seconds
        left, right = to_torch(a), to_torch(b)
        seconds = _best(partial(torch.matmul, left, right), wait_for_torch)
        found["gemm"] = 2 * side**3 / seconds
        return found
    multiply = jax.jit(jnp.matmul)
    left, right = jnp.asarray(a), jnp.asarray(b)
    seconds = _best(lambda: jax.block_until_ready(multiply(left, right)), lambda: None)
    return {"gemm": 2 * side**3 / seconds}


def _best(run: Callable[[], object], wait: Callable[[], object]) -> float:
    """The median seconds of a call."""
    contestant = measure.Contestant("", run, wait)
    times = measure.interleaved([contestant], 10)[""]
    return measure.summary(times)["median"]
