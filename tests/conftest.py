"""Fixtures and command-line options shared by all tests."""

import math
import os
import re
import signal
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from graphc import passes, testing
from graphc.files.store import Store
from graphc.ir import Graph, GraphError, parse
from graphc.ir.printer import print_graph
from graphc.passes import Report
from graphc.runtime import cuda_driver
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.triton_cache import Cache
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_device import Device
from graphc.runtime.triton_interpreter import InterpreterDevice
from graphc.runtime.triton_version import unavailable as triton_unavailable
from tests import triton_target

TESTS = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "::1", "localhost")
OPT_IN_MARKERS = ("gpu", "slow", "torch")

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("GRAPHC_VERIFY", "1")
os.environ["GRAPHC_CACHE"] = "off"  # tests of the cache have one of their own

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As shells start what runs behind `&`: tests of Ctrl-C would wait in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("quick", deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("quick")  # --hypothesis-profile=long overrides it


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("graphc")
    group.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files"
    )
    group.addoption(
        "--shard", default="1/1", metavar="I/N", help="run the I-th of N parts"
    )
    group.addoption(
        "--triton-target",
        default=triton_target.INTERPRETER,
        choices=(triton_target.INTERPRETER, triton_target.GPU),
        help="what tests of Triton kernels run on",
    )


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("triton_target")
    if target == triton_target.GPU and (reason := cuda_driver.unavailable()):
        raise pytest.UsageError(f"--triton-target {target}: {reason}")
    triton_target.TARGET = target  # test modules are imported after this


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    keep_shard(config, items)
    skip_unless_selected(config, items)


def keep_shard(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests of all shards but the one that --shard names."""
    shard, count = map(int, config.getoption("shard").split("/"))
    if not 1 <= shard <= count:
        raise pytest.UsageError(
            f"--shard: expected I/N, 1 <= I <= N, not {shard}/{count}"
        )
    kept = [item for item in items if stable_hash(item.nodeid) % count == shard - 1]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[i for i in items if i not in set(kept)])
        items[:] = kept


def skip_unless_selected(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests with an opt-in marker that the -m expression does not name."""
    named = set(re.findall(r"\w+", config.option.markexpr))
    for item in items:
        for marker in OPT_IN_MARKERS:
            if item.get_closest_marker(marker) and marker not in named:
                item.add_marker(pytest.mark.skip(reason=f"runs with -m {marker}"))


def stable_hash(text: str) -> int:
    """A hash that is the same in every process and on every machine."""
    return zlib.crc32(text.encode())


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Fails a test that connects to another machine."""
    connect = socket.socket.connect

    def guarded_connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise ConnectionRefusedError(f"tests use no network: {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(socket.socket, "connect", guarded_connect)
        yield


def check_roundtrip(graph: Graph) -> None:
    """Fails unless the text of `graph` parses back to an equal graph."""
    text = print_graph(graph)
    parsed = parse(text)
    assert parsed == graph, f"does not parse back to an equal graph:\n{text}"
    assert print_graph(parsed) == text


@pytest.fixture(scope="session", autouse=True)
def printed_graphs_parse() -> Iterator[None]:
    """Fails a test that prints a valid graph whose text does not parse to it."""
    checked: set[int] = set()

    def print_checked(graph: Graph) -> str:
        text = print_graph(graph)
        if len(graph) <= 2000 and hash(text) not in checked:
            checked.add(hash(text))
            try:
                graph.verify()
            except GraphError:  # under construction, or damaged on purpose
                return text
            check_roundtrip(graph)
        return text

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("graphc.ir.graph.print_graph", print_checked)
        yield


EXACT_CHECKS = Counter[str]()
"""How many pipelines were run, and of how many passes the meaning was compared."""

EXACT_SHARES = ((100, 1), (400, 8), (1000, 40))
"""Of graphs with up to so many nodes, one in so many is checked exactly."""

KNOWN_PASSES = frozenset(passes.PASSES)
"""The passes that are not made by tests."""

EXACT_ELEMENTS = 10**5
"""Graphs whose values have more elements than this are not checked exactly."""


def is_checked_exactly(manager: passes.PassManager, graph: Graph) -> bool:
    """Whether a pipeline's passes are compared over finite fields.

    All small graphs are, and a fixed sample of larger ones. Random programs, which
    carry a seed, have a check of their own that does it; passes that a test registers
    may be wrong on purpose.
    """
    named = re.findall(r"\w+", str(manager.pipeline))
    own = any(name in passes.PASSES and name not in KNOWN_PASSES for name in named)
    if own or "seed" in graph.attributes:
        return False
    nodes = [node for reached in graph.reachable() for node in reached.nodes]
    share = next((share for most, share in EXACT_SHARES if len(nodes) <= most), None)
    number = stable_hash(f"{manager.pipeline} {[node.op.name for node in nodes]}")
    if share is None or number % share:
        return False
    shapes = [result.type.shape for node in nodes for result in node.results]
    sizes = [math.prod(d for d in s if isinstance(d, int)) for s in shapes]
    return sum(sizes) <= EXACT_ELEMENTS


@pytest.fixture(scope="session", autouse=True)
def passes_keep_meaning() -> Iterator[None]:
    """Fails a test in which a pass changes what a graph means."""
    run = passes.PassManager.run

    def run_checked(manager: passes.PassManager, graph: Graph) -> Report:
        manager.check = manager.check or is_checked_exactly(manager, graph)
        report = run(manager, graph)
        if manager.check:
            EXACT_CHECKS.update(pipelines=1, passes=report.checked)
            EXACT_CHECKS["uncovered"] += report.unchecked is not None
        return report

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(passes.PassManager, "run", run_checked)
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["exact_checks"] = dict(EXACT_CHECKS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    EXACT_CHECKS.update(getattr(node, "workeroutput", {}).get("exact_checks", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if EXACT_CHECKS:
        counts = ", ".join(f"{count} {what}" for what, count in EXACT_CHECKS.items())
        terminalreporter.write_line(f"compared over finite fields: {counts}")


@pytest.fixture(scope="session")
def interpreter_device(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[InterpreterDevice]:
    """Triton's interpreter in one process for all tests."""
    if reason := triton_unavailable():
        pytest.skip(reason)
    device = InterpreterDevice(Cache(Store(tmp_path_factory.mktemp("kernels"))))
    yield device
    device.close()


@pytest.fixture(scope="session")
def kernel_device(request: pytest.FixtureRequest) -> Device:
    """What kernels run on: the interpreter, or the GPU if ``--triton-target`` says so."""
    if triton_target.TARGET == triton_target.INTERPRETER:
        return request.getfixturevalue("interpreter_device")
    compiler = request.getfixturevalue("triton_compiler")
    return triton_target.CompilingDevice(CudaDevice(), compiler)


@pytest.fixture(scope="session")
def triton_compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiler]:
    """Triton's compiler in one process for all tests, which compile on their own."""
    if reason := triton_unavailable():
        pytest.skip(reason)
    with Compiler(
        Cache(Store(tmp_path_factory.mktemp("kernels"))), workers=1
    ) as compiler:
        yield compiler


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A random generator seeded by the test's name."""
    return np.random.default_rng(stable_hash(request.node.name))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compares a text with `tests/golden/<test file>/<test name>[.<part>].txt`."""
    test_file = request.path.relative_to(TESTS).with_suffix("")
    test_name = re.sub(r"[^\w.=-]+", "_", request.node.name).strip("_")

    def check(text: str, part: str = "") -> None:
        __tracebackhide__ = True
        name = f"{test_name}.{part}.txt" if part else f"{test_name}.txt"
        path = TESTS / "golden" / test_file / name
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("update_golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(
                f"{path} is missing; --update-golden would write:\n{text}",
                pytrace=False,
            )
        else:
            assert text == path.read_text(encoding="utf-8"), f"differs from {path}"

    return check


@pytest.fixture
def check_pass(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """`graphc.testing.check_pass` with arrays that follow from the test's name."""
    return partial(testing.check_pass, seed=stable_hash(request.node.name))
