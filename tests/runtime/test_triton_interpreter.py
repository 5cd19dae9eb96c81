"""Triton's interpreter as a device: memory, what kernels must not do, and failures."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from graphc.ir import tensor_type
from graphc.ir.errors import CompileError, GraphcError
from graphc.runtime.triton_device import ALIGNMENT, stored_nbytes
from graphc.runtime.triton_interpreter import InterpreterDevice
from tests.triton_kernels import compute, kernel_of, run_kernel

FOUR = np.arange(4, dtype=np.float32)
DTYPES = ["bool", "i4", "u8", "i64", "f8e4m3fn", "bf16", "f16", "f64"]


# Memory.


def test_garbage_may_be_freed_during_a_request(
    interpreter_device: InterpreterDevice, monkeypatch: pytest.MonkeyPatch
):
    garbage, encode = [interpreter_device.allocate(4)], json.dumps

    def collecting(*arguments: Any, **options: Any) -> str:
        while garbage:
            interpreter_device.free(garbage.pop())
        return encode(*arguments, **options)

    monkeypatch.setattr("graphc.runtime.worker_process.json.dumps", collecting)
    other = threading.Thread(target=interpreter_device.allocate, args=[4], daemon=True)
    other.start()
    other.join(timeout=60)
    assert not garbage
    assert not other.is_alive(), "the request waits for itself"


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_read_as_they_were_written(
    dtype: str, interpreter_device: InterpreterDevice
):
    type = tensor_type(f"{dtype}[2,3]")
    array = np.array([[0, 1, 2], [3, -4, 5]]).astype(type.dtype.numpy)
    address = interpreter_device.allocate(stored_nbytes(type))
    interpreter_device.write(address, array.T.copy().T)  # not contiguous
    found = interpreter_device.read(address, type)
    interpreter_device.free(address)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_i4_lies_in_memory_as_i8(interpreter_device: InterpreterDevice):
    address = interpreter_device.allocate(2)
    interpreter_device.write(address, np.array([-8, 7]).astype("int4"))
    found = interpreter_device.read(address, tensor_type("i8[2]"))
    interpreter_device.free(address)
    np.testing.assert_array_equal(found, [-8, 7])


def test_addresses_inside_of_an_allocation(interpreter_device: InterpreterDevice):
    start = interpreter_device.allocate(32)
    assert start % ALIGNMENT == 0
    interpreter_device.write(start, np.arange(8, dtype=np.float32))
    interpreter_device.copy(start + 16, start + 4, 12)
    interpreter_device.fill(start, 4, 0)
    found = interpreter_device.read(start + 12, tensor_type("f32[4]"))
    np.testing.assert_array_equal(found, [3, 1, 2, 3])
    interpreter_device.free(start)
    with pytest.raises(GraphcError, match=f"nothing is allocated at address {start}"):
        interpreter_device.free(start)
    with pytest.raises(GraphcError, match=r"8 bytes at address .* one allocation"):
        interpreter_device.fill(start, 8, 0)


def test_new_memory_is_poisoned(interpreter_device: InterpreterDevice):
    address = interpreter_device.allocate(16)
    assert np.isnan(interpreter_device.read(address, tensor_type("f32[4]"))).all()
    interpreter_device.free(address)


def test_empty_tensors(interpreter_device: InterpreterDevice):
    (found,) = compute(interpreter_device, "pass", np.empty((0, 3)), results=["f32[0]"])
    assert found.shape == (0,)


def test_too_much_memory(interpreter_device: InterpreterDevice):
    with pytest.raises(GraphcError, match="no memory for 4611686018427387904 bytes"):
        interpreter_device.allocate(1 << 62)


# What kernels must not do.

COPY = "x = tl.arange(0, 4)\ntl.store({target} + x, tl.load({source} + x))"

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "reads outside of p0, which has 4 elements: element 4": (
        COPY.format(target="p1", source="p0 + 1"),
        {},
    ),
    "reads outside of p0, which has 4 elements: element -1": (
        COPY.format(target="p1", source="p0 - 1"),
        {},
    ),
    "writes outside of p1, which has 4 elements: element 4": (
        COPY.format(target="p1 + 1", source="p0"),
        {},
    ),
    "updates outside of p1, which has 4 elements: element 4": (
        "tl.atomic_add(p1 + 4, 1.0)",
        {},
    ),
    "reads p0 at an address that is not aligned": (
        "p = (p0.to(tl.int64) + 2).to(tl.pointer_type(tl.float32))\ntl.load(p)",
        {},
    ),
    "writes to p0, which is not a result": (COPY.format(target="p0", source="p0"), {}),
    "updates p0, which is not a result": ("tl.atomic_add(p0, 1.0)", {}),
    "reads element 0 of p1, which nothing has written": (
        COPY.format(target="p1", source="p1"),
        {},
    ),
    "3 of the 4 elements of p1 are not written, the first is element 1": (
        "tl.store(p1, 0.0)",
        {},
    ),
    "program 1 writes element 0 of p1, which program 0 writes": (
        COPY.format(target="p1", source="p0"),
        {"programs": 2},
    ),
    "program 1 reads element 0 of p1, which program 0 writes": (
        "i = tl.program_id(0)\ntl.store(p1 + i, 1.0)\ntl.load(p1)",
        {"programs": 2, "zeroed": (0,)},
    ),
    "program 1 writes element 1 of p0, which program 0 reads": (
        "i = tl.program_id(0)\ntl.store(p0 + i, tl.load(p0 + (i + 1) % 4))",
        {"programs": 4, "in_place": {0: 0}},
    ),
    "program 2 writes element 3 of p0, which several programs read": (
        "i = tl.program_id(0)\na = tl.load(p0 + 3)\ntl.store(p0 + 1 + i, a)",
        {"programs": 3, "in_place": {0: 0}},
    ),
    "program 1 updates element 0 of p1, which program 0 writes": (
        "if tl.program_id(0) == 0:\n    tl.store(p1, 0.0)\n"
        'else:\n    tl.atomic_add(p1, 1.0, sem="relaxed")',
        {"programs": 2, "zeroed": (0,)},
    ),
    "program 1 reads element 0 of p1, which atomic operations update": (
        'if tl.program_id(0) == 0:\n    tl.atomic_add(p1, 1.0, sem="relaxed")\n'
        "else:\n    tl.load(p1)",
        {"programs": 2, "zeroed": (0,)},
    ),
    "NameError: name 'missing' is not defined": ("tl.load(p0 + missing)", {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message: str, interpreter_device: InterpreterDevice):
    body, facts = REFUSED[message]
    with pytest.raises(GraphcError) as caught:
        compute(interpreter_device, body, FOUR, results=["f32[4]"], **facts)
    expected = f"kernel 'kernel' fails in Triton's interpreter: {message}"
    assert caught.value.message == expected


def test_errors_name_layers_program_and_line(interpreter_device: InterpreterDevice):
    kernel = kernel_of(
        "i = tl.program_id(0)\ntl.store(p1 + i, tl.load(p0 + 3 * i))",
        ["f32[4]"],
        ["f32[3]"],
        programs=3,
        layers=("encoder/norm", "encoder/dense"),
    )
    with pytest.raises(GraphcError) as caught:
        run_kernel(interpreter_device, kernel, FOUR)
    assert caught.value.message == (
        "kernel 'kernel' of encoder/norm, encoder/dense fails in Triton's interpreter: "
        "reads outside of p0, which has 4 elements: element 6"
    )
    place = caught.value.received or ""
    assert place.startswith("program (2, 0, 0) at ")
    assert place.endswith(
        "kernel.py:8: tl.store(p1 + i, tl.load(p0 + 3 * i))",
    )
    path = place.removeprefix("program (2, 0, 0) at ").partition(":")[0]
    with open(path, encoding="utf-8") as file:
        assert file.read() == kernel.source


def test_what_does_not_load(interpreter_device: InterpreterDevice):
    with pytest.raises(CompileError, match="SyntaxError: invalid syntax") as caught:
        interpreter_device.load(kernel_of("x = = 1"))
    assert (caught.value.received or "").endswith("kernel.py:7: x = = 1")


def test_programs_are_ordered_by_atomic_operations(
    interpreter_device: InterpreterDevice,
):
    # The last program to count itself adds up what the others wrote.
    parts, counter, total = compute(
        interpreter_device,
        """
        i = tl.program_id(0)
        tl.store(p0 + i, i + 1)
        if tl.atomic_add(p1, 1) == 3:
            tl.store(p2, tl.sum(tl.load(p0 + tl.arange(0, 4)), 0))
        """,
        results=["i32[4]", "i32[1]", "i32[1]"],
        zeroed=(1,),
        programs=4,
    )
    np.testing.assert_array_equal(parts, [1, 2, 3, 4])
    np.testing.assert_array_equal(counter, [4])
    np.testing.assert_array_equal(total, [10])


def test_results_in_place(interpreter_device: InterpreterDevice):
    (found,) = compute(
        interpreter_device,
        "x = tl.arange(0, 4)\ntl.store(p0 + x, tl.load(p0 + x) * 2)",
        FOUR,
        results=["f32[4]"],
        in_place={0: 0},
    )
    np.testing.assert_array_equal(found, FOUR * 2)


def launch(device: InterpreterDevice, offsets: list[int], **facts: Any) -> np.ndarray:
    """Copies from the first to the second of two places in the same 64 bytes."""
    kernel = kernel_of(
        COPY.format(target="p1", source="p0"), ["f32[4]"], ["f32[4]"], **facts
    )
    start = device.allocate(64)
    try:
        device.write(start, np.arange(16, dtype=np.float32))
        device.launch(device.load(kernel), [start + offset for offset in offsets])
        return device.read(start + offsets[1], tensor_type("f32[4]"))
    finally:
        device.free(start)


def test_a_result_may_take_the_memory_of_a_parameter(
    interpreter_device: InterpreterDevice,
):
    np.testing.assert_array_equal(launch(interpreter_device, [16, 16]), [4, 5, 6, 7])


@pytest.mark.parametrize(
    ("offsets", "facts", "message"),
    [
        ([0, 8], {}, "p1 is not aligned to 16"),
        ([0, 64], {}, "p1 takes 16 bytes at address .* not all in one allocation"),
        ([0, 16], {"zeroed": (0,)}, "p1 must be zero when the kernel starts"),
    ],
)
def test_places_that_do_not_fit(
    offsets: list[int],
    facts: dict[str, Any],
    message: str,
    interpreter_device: InterpreterDevice,
):
    with pytest.raises(GraphcError, match=message):
        launch(interpreter_device, offsets, **facts)


def test_results_that_overlap(interpreter_device: InterpreterDevice):
    kernel = kernel_of("pass", ["f32[8]"], ["f32[8]"])
    start = interpreter_device.allocate(64)
    number = interpreter_device.load(kernel)
    with pytest.raises(GraphcError, match="p0 and p1 overlap in memory"):
        interpreter_device.launch(number, [start, start + 16])
    interpreter_device.free(start)


# The process.


@pytest.fixture
def own_device(interpreter_device: InterpreterDevice) -> Iterator[InterpreterDevice]:
    """A device with a process that may be ended."""
    device = InterpreterDevice()
    yield device
    device.close()


def test_a_dead_process(own_device: InterpreterDevice):
    os.kill(own_device.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(GraphcError) as caught:
            own_device.allocate(4)
        message = "the process of Triton's interpreter has ended: SIGKILL"
        assert caught.value.message == message
    own_device.close()
    with pytest.raises(GraphcError, match="has ended: it was closed"):
        own_device.allocate(4)


@pytest.mark.slow
def test_the_process_ends_with_its_parent(interpreter_device: InterpreterDevice):
    script = """
    import os, signal
    from graphc.runtime.triton_interpreter import InterpreterDevice
    device = InterpreterDevice()
    device.allocate(1)
    print(device.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    parent = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert parent.returncode == -signal.SIGKILL
    process = int(parent.stdout)
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the process goes on")
