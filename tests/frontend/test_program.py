"""Programs: traced functions with state, compiled once for each size."""

import logging
import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import execution
from graphc.frontend.execution import CompileOptions
from graphc.frontend.interrupts import DeferredInterrupts
from graphc.frontend.program import (
    Slot,
    array_type,
    as_input,
    is_array,
    raw,
    run_program,
    trace_program,
    wrap,
)
from graphc.frontend.tensor import Array
from graphc.ir import tensor_type

F32 = np.float32
X = np.array([1.0, 2.0, 3.0], F32)


def counting() -> tuple[Any, Any]:
    total = graphc.Variable(np.zeros(3, F32), name="total")
    scale = graphc.Variable(np.ones((), F32), name="scale")

    def step(x: Any) -> Any:
        total.assign_add(x * scale)
        return {"total": total * 1.0, "x": (x,)}

    program = trace_program("step", step, (Slot(0),), [tensor_type("f32[3]")], ["x"])
    return program, total


@pytest.mark.parametrize("target", ["numpy", "xla"])
def test_program_runs_and_updates_state(target: str) -> None:
    program, total = counting()
    program.options = CompileOptions(target)
    assert [v.name for v in program.state] == ["scale", "total"]
    assert program.written == (total,)
    assert [p.name for p in program.graph.parameters] == ["x", "scale", "total"]
    for i in (1, 2):
        outputs = program([X])
        np.testing.assert_array_equal(outputs["total"], i * X)
        np.testing.assert_array_equal(outputs["x"][0], X)
    np.testing.assert_array_equal(total, 2 * X)
    total.assign(np.zeros(3))
    program([X])
    np.testing.assert_array_equal(total, X)
    assert len(program.executables) == 1


def test_what_no_run_replaces_is_placed_once() -> None:
    program, total = counting()
    program.options = CompileOptions("xla")
    scale, _ = program.state
    program([X])
    placed = scale.array()
    assert type(placed) is type(total.array())  # which the program made
    program([X])
    assert scale.array() is placed
    scale.assign(np.array(2.0, F32))
    program([X])
    np.testing.assert_array_equal(total, 4 * X)
    assert type(scale.array()) is type(placed)


def test_written_state_is_in_the_order_of_the_parameters() -> None:
    first, second, unread = (
        graphc.Variable(np.ones(3, F32), name=name)
        for name in ("first", "second", "unread")
    )

    def step() -> None:
        total = first + second
        for variable in (unread, second, first):
            variable.assign(total)

    program = trace_program("step", step, (), [])
    # An array is reused for the first result of its type.
    assert program.written == (*program.state, unread) == (first, second, unread)
    assert program.run([]) == ()
    np.testing.assert_array_equal(first, np.full(3, 2.0))


def test_program_sees_states_that_join_later() -> None:
    program, total = counting()
    program.options = CompileOptions("numpy")
    program([X])
    others = [graphc.Variable(X) for _ in range(5)]
    add = graphc.jit(
        lambda: total.assign_add(others[0] + others[1] + others[2] + others[3]),
        target="numpy",
    )
    add()
    program([X])
    np.testing.assert_array_equal(total, 6 * X)


def test_two_programs_take_turns() -> None:
    program, total = counting()
    program.options = CompileOptions("xla")
    double = graphc.jit(lambda: total.assign(total * 2.0))
    program([X])
    double()
    program([X])
    double()
    np.testing.assert_array_equal(total, 6 * X)


def test_compiles_are_logged_with_their_cause(caplog: Any) -> None:
    program = trace_program(
        "f", lambda x: x + 1.0, (Slot(0),), [tensor_type("f32[N,2]")]
    )
    program.options = CompileOptions("numpy")
    seen: list[str] = []
    program.on_status = seen.append
    with caplog.at_level(logging.INFO, "graphc"):
        for size in (3, 3, 4, 3):
            program([np.zeros((size, 2), F32)])
    messages = [r.getMessage() for r in caplog.records]
    assert [m.split(" in ")[0] for m in messages] == [
        "compiled f for N=3",
        "compiled f for N=4",
    ]
    assert [m.split("s: ")[1] for m in messages] == ["first call", "new shape N=4"]
    assert [(c.name, c.bindings) for c in program.compiles] == [
        ("f", {"N": 3}),
        ("f", {"N": 4}),
    ]
    assert seen == ["compiling f for N=3", "", "compiling f for N=4", ""]


def test_operators_work_before_ops_are_imported() -> None:
    script = "import graphc; print(graphc.Variable([1.0]) + 1.0)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[2.]\n", "")


def test_ranges_of_symbols() -> None:
    spec = [tensor_type("f32[N]")]
    program = trace_program("f", lambda x: x, (Slot(0),), spec, ranges={"N": (2, 4)})
    program.options = CompileOptions("numpy")
    program([np.zeros(2, F32)])
    with pytest.raises(graphc.errors.GraphError, match=r"N must be in 2\.\.4"):
        program([np.zeros(5, F32)])


def test_small_eager_programs_are_evaluated(monkeypatch: Any) -> None:
    program, total = counting()
    (found, x) = run_program(program, [X])
    assert program.executables == []
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(total, X)
    monkeypatch.setattr(execution, "SMALL", 1)
    program, total = counting()
    run_program(program, [X])
    assert len(program.executables) == 1
    np.testing.assert_array_equal(total, X)


def test_arrays_and_their_types() -> None:
    assert all(is_array(x) for x in (X, Array(X), np.float32(1)))
    assert not any(is_array(x) for x in (1.0, [1.0], graphc.Variable(X), None))
    assert str(array_type(Array(X))) == "f32[3]"
    assert raw(Array(X)) is X
    assert raw(X) is X
    assert isinstance(raw(np.float32(1)), np.ndarray)
    assert as_input(np.ones(2)).dtype == F32
    assert as_input(Array(np.ones(2))).dtype == np.float64
    program, _ = counting()
    wrapped = wrap(program.structure, [X, X])
    assert isinstance(wrapped["x"][0], Array)


# Ctrl-C.


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_waits_for_the_end() -> None:
    done = []

    def run() -> None:
        with DeferredInterrupts():
            press()
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interrupt_stops_at_once() -> None:
    done = []

    def run() -> None:
        with DeferredInterrupts():
            press()
            press()
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == []


def test_other_handlers_stay_in_charge() -> None:
    seen = []
    previous = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        with DeferredInterrupts():
            press()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == [True]


def test_interrupt_while_a_program_runs_keeps_its_results(monkeypatch: Any) -> None:
    program, total = counting()
    program.options = CompileOptions("numpy")
    program([X])
    ((key, executable),) = program._executables.items()

    def interrupted(*arrays: Any) -> Any:
        press()
        return executable(*arrays)

    interrupted.program = executable.program  # type: ignore[attr-defined]
    monkeypatch.setitem(program._executables, key, interrupted)
    program._last = (None, None)
    with pytest.raises(KeyboardInterrupt):
        program([X])
    np.testing.assert_array_equal(total, 2 * X)
