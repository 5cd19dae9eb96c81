"""Launch plans: what is copied, what shares memory, and that results stay right."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernels
from graphc.codegen.triton.plan import (
    Copy,
    Fill,
    Limit,
    Loop,
    Plan,
    length_of,
)
from graphc.codegen.triton.planning import make_plan
from graphc.fuzz.generator import random_program
from graphc.fuzz.inputs import inputs, sizes
from graphc.ir import Graph, GraphError, UnsupportedError, evaluate
from graphc.ir.parser import parse
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import mismatch
from graphc.runtime.triton_program import TritonProgram
from tests.evaluator_device import EvaluatorDevice, kernels_of, lowered

Spec = graphc.TensorSpec
PRIMITIVES = "autodiff,inline,decompose,dce"


class Planned:
    """A graph lowered to one kernel per node, its plan, and runs of it."""

    def __init__(self, graph: Graph, donate: Sequence[int] = ()) -> None:
        self.graph, kernels = lowered(graph)
        self._load(kernels, donate)

    @classmethod
    def by_hand(cls, text: str, donate: Sequence[int] = (), **facts: Any) -> "Planned":
        """A lowered graph; facts are what its kernels have in common."""
        planned = cls.__new__(cls)
        planned.graph = parse(text)
        planned._load(kernels_of(planned.graph, **facts), donate)
        return planned

    def _load(self, kernels: dict[str, Kernel], donate: Sequence[int]) -> None:
        self.plan = make_plan(self.graph, kernels, donate)
        self.device = EvaluatorDevice(self.graph)
        self.program = TritonProgram(
            "", self.plan, self.graph.module, self.device, on_host=True, poison=True
        )

    def check(self, arrays: Sequence[Any] | None = None) -> None:
        """Runs the plan thrice and compares with the evaluator."""
        given = random_inputs(self.graph) if arrays is None else arrays
        wanted = evaluate(self.graph, *given)
        for _ in range(3):
            self.device.calls.clear()
            found = self.program.run(*(array.copy() for array in given))
            for left, right in zip(found, wanted, strict=True):
                assert not mismatch(left, right)

    @property
    def copies(self) -> int:
        """How many copies the last run made."""
        return self.device.calls.count("copy")


def planned(
    function: Callable[..., Any], *shapes: Sequence[int], donate: Sequence[int] = ()
) -> Planned:
    """What a function of float32 tensors becomes, checked."""
    graph = graphc.trace(function, *(Spec(tuple(shape)) for shape in shapes))
    made = Planned(passes.run(graph, PRIMITIVES), donate)
    made.check()
    return made


# -- random programs -------------------------------------------------------------------


def bound_program(seed: int) -> Graph | None:
    """A random program, if its sizes fit."""
    graph = random_program(seed, 40)
    try:
        return graph.bind(**sizes(graph))
    except GraphError:
        return None


def check_random(seed: int) -> Plan | None:
    graph = bound_program(seed)
    if graph is None:
        return None
    graph = passes.run(graph, "autodiff,inline,dce")
    rng = np.random.default_rng(seed)
    donate = [i for i in range(len(graph.parameters)) if rng.random() < 0.5]
    made = Planned(graph, donate)
    made.check(inputs(graph))
    return made.plan


def test_random_programs_and_the_arena_is_near_its_bound():
    plans = [plan for seed in range(6) if (plan := check_random(seed))]
    assert len(plans) > 3
    arenas, bounds = sum(p.bytes("arena") for p in plans), sum(p.bound for p in plans)
    assert arenas <= 1.05 * bounds


@pytest.mark.slow
def test_many_random_programs():
    for seed in range(6, 206):
        check_random(seed)


# -- state -----------------------------------------------------------------------------


def test_donated_state_is_updated_in_place():
    made = planned(
        lambda w, m, g: (w - 0.1 * (0.9 * m + g), 0.9 * m + g),
        *[(8, 4)] * 3,
        donate=(0, 1),
    )
    assert [region for _, region in made.plan.results] == [0, 1]
    assert made.copies == 0
    assert made.plan.aliased == 2 * 8 * 4 * 4


def test_a_result_that_is_a_donated_array_in_another_shape():
    made = planned(lambda w: ops.reshape(w, (1, 8, 4)), (8, 4), donate=(0,))
    assert made.plan.results[0][1] == 0
    assert made.copies == 0


def test_donated_state_that_is_read_later_is_overwritten_last():
    made = planned(lambda w: (w + 1.0, ops.sum(w)), (8, 4), donate=(0,))
    assert made.plan.results[0][1] == 0
    made = planned(lambda x, w: (ops.matmul(w, w), x), *[(4, 4)] * 2, donate=(1,))
    assert made.plan.results[0][1] == 1
    assert made.copies == 2  # the product is not made where an operand is; x


def test_without_donation_parameters_stay():
    made = planned(lambda w: w + 1.0, (8, 4))
    assert made.plan.results[0][1] == made.plan.arena + 1
    assert made.copies == 0


def test_state_that_changes_places_is_not_copied():
    made = planned(lambda a, b: (b, a), (4,), (4,), donate=(0, 1))
    assert [region for _, region in made.plan.results] == [1, 0]
    assert made.copies == 0


def test_what_is_returned_twice_or_is_a_parameter_is_copied():
    assert planned(lambda x: (x, x), (4,)).copies == 2
    assert planned(lambda x: (x, x), (4,), donate=(0,)).copies == 1
    assert planned(lambda x: (x + 1.0, x + 1.0), (4,)).copies <= 1


def test_literals_and_constants_are_results():
    made = Planned.by_hand(
        "graph @f(%x: f32[2]) -> (f32[], f32[4], bool[]) {\n"
        '  %c = constant() {name="c"} : f32[4]\n'
        "  return -0.0, %c, true\n}\n"
        'const @c: f32[4] = "AAAAAAAAgD8AAABAAABAQA=="\n'
    )
    made.check()
    assert made.copies == 3
    assert "constants+256: -0.0 : f32[]" in str(made.plan)


# -- kernels that overwrite and accumulate ------------------------------------------------

UPDATE = """
graph @f(%x: f32[4], %u: f32[4]) -> (f32[4]{more}) {{
  %y = call(%x, %u) {{graph="update"}} : f32[4]
  return %y{result}
}}

graph @update(%x: f32[4], %u: f32[4]) -> (f32[4]) {{fused=true}} {{
  %y = add(%x, %u) : f32[4]
  return %y
}}
"""


def update(more: str = "", result: str = "") -> str:
    return UPDATE.format(more=more, result=result)


def test_a_kernel_overwrites_its_operand():
    made = Planned.by_hand(update(), donate=(0,), in_place={0: 0})
    made.check()
    assert made.copies == 0
    assert made.plan.results[0][1] == 0


def test_what_must_stay_is_copied_before():
    made = Planned.by_hand(update(), in_place={0: 0})
    made.check()
    assert made.copies == 1
    made = Planned.by_hand(update(", f32[4]", ", %x"), donate=(0,), in_place={0: 0})
    made.check()
    assert made.copies == 1


def test_a_result_is_zero_before_the_kernel_adds_to_it():
    made = Planned.by_hand(update(), donate=(0,), zeroed=(0,))
    made.check()
    assert isinstance(made.plan.steps[0], Fill)
    assert made.copies == 1  # x is read after the result is zero


# -- loops and branches --------------------------------------------------------------------


def test_a_loop_reads_slices_and_writes_rows_in_place():
    made = planned(
        lambda h, xs: ops.scan(lambda h, x: (ops.tanh(h) + x, h * x), h, xs),
        (4, 8),
        (5, 4, 8),
    )
    assert made.copies == 2  # the state in and out: a step reads it until its end
    (loop,) = [step for step in made.plan.steps if isinstance(step, Loop)]
    assert loop.length == 5
    assert not any(isinstance(step, Copy) for step in loop.body)
    assert "%xs + i0*128" in str(made.plan)


def test_a_reverse_loop_goes_from_the_last_element():
    made = planned(
        lambda h, xs: ops.scan(lambda h, x: (h + x, h), h, xs, reverse=True),
        (4,),
        (5, 4),
    )
    assert "%xs+64 - i0*16" in str(made.plan)


def test_rows_that_are_not_aligned_are_copied():
    made = planned(
        lambda h, xs: ops.scan(lambda h, x: (h * 2.0 + x, h + x), h, xs), (3,), (5, 3)
    )
    assert made.copies == 2 + 2 * 5


def test_a_state_that_is_read_until_the_end_alternates_between_two_places():
    made = planned(
        lambda h, w: ops.scan(
            lambda h, _: (ops.matmul(h, w), ops.sum(h)), h, None, length=5
        ),
        (4, 4),
        (4, 4),
    )
    assert "(i0+1)%2*256" in str(made.plan)
    assert made.copies == 2 + 5  # in and out, and scalars into rows of four bytes


def test_what_a_loop_starts_from_may_be_read_later():
    def twice(h: Any, w: Any) -> Any:
        start = ops.tanh(h)
        step = lambda h, _: (ops.matmul(h, w), ops.sum(h))  # noqa: E731
        first = ops.scan(step, start, None, length=3)
        return first, ops.scan(step, start, None, length=3, reverse=True)

    planned(twice, (4, 4), (4, 4))


def test_results_that_nothing_reads_share_no_memory():
    text = """
        graph @f(%x: f32[8]) -> (f32[8]) {
          %0 = call(%x) {graph="first"} : f32[8]
          %1, %2 = call(%0) {graph="second"} : f32[8], f32[8]
          %3 = call(%2) {graph="first"} : f32[8]
          return %3
        }
        graph @first(%x: f32[8]) -> (f32[8]) {fused=true} {
          %0 = negate(%x) : f32[8]
          return %0
        }
        graph @second(%x: f32[8]) -> (f32[8], f32[8]) {fused=true} {
          %0 = tanh(%x) : f32[8]
          %1 = exponential(%x) : f32[8]
          return %0, %1
        }"""
    graph = parse(text)
    plan = make_plan(graph, emit_kernels(graph))
    launch = next(line for line in str(plan).splitlines() if "launch second" in line)
    _, first, second = re.findall(r"arena\+\d+", launch)
    assert first != second


@pytest.mark.parametrize("length", [0, 1, 4, 5])
def test_loops_that_exchange_their_state(length: int):
    planned(
        lambda a, b: ops.scan(
            lambda s, _: ((s[1], s[0] + s[1]), s[0]), (a, b), None, length=length
        ),
        *[(4,)] * 2,
    )
    planned(
        lambda a, b: ops.scan(
            lambda s, _: ((s[1], s[0]), s), (a, b), None, length=length
        ),
        *[(4,)] * 2,
        donate=(0, 1),
    )


def test_nested_loops():
    def inner(h: Any, x: Any) -> Any:
        return ops.scan(lambda g, y: (ops.tanh(g + y), g), h, x)

    planned(lambda h, xs: ops.scan(inner, h, xs), (4,), (3, 2, 4))


def test_a_loop_of_unknown_length_keeps_donated_state_where_it_is():
    made = planned(
        lambda w: ops.while_loop(
            lambda i, w: i != 5, lambda i, w: (i + 1, w * 2.0 + 1.0), (0, w)
        ),
        (4,),
        donate=(0,),
    )
    assert made.plan.results[1][1] == 0
    assert made.copies == 2  # what counters start with
    assert made.plan.obstacle == "the host reads whether a loop goes on"
    assert made.device.recorded == 1  # the body


@pytest.mark.parametrize("length", [-1, 0, 1, 5])
def test_a_loop_that_counts_to_a_number_has_a_length(length: int):
    made = planned(
        lambda w: ops.while_loop(
            lambda i, w: i < length, lambda i, w: (i + 1, w * 2.0 + i), (0, w)
        ),
        (4,),
        donate=(0,),
    )
    (loop,) = (step for step in made.plan.steps if isinstance(step, Loop))
    assert loop.length == max(length, 0)
    assert loop.condition == ()
    assert made.plan.obstacle is None


def test_a_block_of_steps_counts_to_what_is_passed():
    model = graphc.Sequential([graphc.Input((5,)), graphc.layers.Dense(3)])
    model.compile("sgd", "mse", steps_per_execution=4)
    graph = passes.run(model.graph("train_block").bind(B=4, K=4), "triton")
    plan = make_plan(graph, emit_kernels(graph), range(3, len(graph.parameters)))
    (loop,) = (step for step in plan.steps if isinstance(step, Loop))
    assert loop.length == Limit(0, 0)
    assert plan.obstacle is None


UNCOUNTED: dict[str, tuple[Any, Any]] = {
    "another step": (lambda i, n, w: i < n, lambda i, n, w: (i + 2, n, w)),
    "a limit that moves": (lambda i, n, w: i < n, lambda i, n, w: (i + 1, n - 1, w)),
    "another comparison": (lambda i, n, w: i != n, lambda i, n, w: (i + 1, n, w)),
    "a limit that is computed": (
        lambda i, n, w: i < n + ops.cast(ops.sum(w), "int32"),
        lambda i, n, w: (i + 1, n, w),
    ),
    "a condition that does something": (
        lambda i, n, w: (ops.print("at", i), i < n)[1],
        lambda i, n, w: (i + 1, n, w),
    ),
}


@pytest.mark.parametrize("loop", UNCOUNTED.values(), ids=UNCOUNTED)
def test_other_loops_are_ended_by_the_host(loop: Any):
    cond, body = loop
    graph = graphc.trace(
        lambda n, w: ops.while_loop(cond, body, (0, n, w)),
        graphc.TensorSpec((), "int32"),
        graphc.TensorSpec((4,)),
    )
    graph, kernels = lowered(passes.run(graph, "decompose,dce"))
    steps = make_plan(graph, kernels).steps
    assert [step.length for step in steps if isinstance(step, Loop)] == [None]


def test_what_a_loop_does_not_change_stays_where_it_is():
    made = planned(
        lambda s, a, w: ops.while_loop(
            lambda s, a, w: ops.sum(a) < 9.0,
            lambda s, a, w: (s * 0.5, a + w * w, w),
            (s, a, w),
        ),
        *[(4,)] * 3,
        donate=(0, 1),
    )
    assert made.copies == 2  # the count; w, which is not donated and is returned
    made = planned(
        lambda h, w: ops.scan(
            lambda s, _: ((s[0] + s[1], s[1]), None), (h, w), None, length=3
        ),
        *[(4,)] * 2,
        donate=(1, 0),
    )
    assert made.copies == 0
    assert [region for _, region in made.plan.results] == [0, 1]


def test_a_loop_of_unknown_length_that_exchanges_its_state():
    planned(
        lambda a, b: ops.while_loop(
            lambda i, a, b: ops.sum(a) < 100.0,
            lambda i, a, b: (i + 1, b + 1.0, a + b * b),
            (0, a, b),
        ),
        *[(4,)] * 2,
        donate=(0, 1),
    )


def test_branches_write_their_results_to_one_place():
    made = planned(
        lambda p, a: ops.cond(
            ops.sum(p) > 0.0, lambda: (a * 2.0, a), lambda: (a + 1.0, a - 1.0)
        ),
        (4,),
        (4,),
    )
    assert made.copies <= 1
    assert made.plan.obstacle == "the host reads which branch to take"
    for index in range(-1, 4):
        many = planned(
            lambda a, i=index: ops.switch(
                ops.convert_to_tensor(i), [lambda a: a, ops.tanh, ops.negative], a
            ),
            (4,),
        )
        assert many.plan.launches()


# -- what else a plan is ---------------------------------------------------------------


def test_the_host_runs_effects(capsys: pytest.CaptureFixture[str]):
    made = Planned.by_hand(
        "graph @f(%x: f32[]) -> (f32[]) {\n"
        '  %y = print(%x) {format="x = {:.1f}"} : f32[]\n'
        "  return %y\n}\n"
    )
    made.check([np.asarray(1.5, np.float32)])
    assert capsys.readouterr().out == "x = 1.5\n" * 4
    assert made.plan.obstacle == "print runs on the host"


def test_aliases_take_no_memory():
    made = planned(
        lambda x: ops.reshape(ops.tanh(ops.reshape(x, (8,))), (4, 2)), (2, 4)
    )
    assert made.plan.bytes("arena") == 0
    assert made.copies == 0


def test_what_leaves_elements_in_order_is_an_alias():
    made = Planned.by_hand("""
    graph @f(%x: f32[1,4,3]) -> (f32[1,3,4,1]) {
      %0 = reverse(%x) {axes=[0]} : f32[1,4,3]
      %1 = reshape(%0) {shape=[4,1,3,1]} : f32[4,1,3,1]
      %2 = transpose(%1) {permutation=[1,0,2,3]} : f32[1,4,3,1]
      %3 = reshape(%2) {shape=[1,3,4,1]} : f32[1,3,4,1]
      return %3
    }""")
    made.check()


def test_a_plan_that_comes_again_is_recorded():
    made = planned(lambda x: ops.tanh(x) + 1.0, (4,))
    assert made.plan.obstacle is None
    assert length_of(made.plan.steps) == len(made.plan.steps) == 2


def test_what_belongs_into_a_kernel_is_named():
    graph = graphc.trace(ops.tanh, Spec((3,)))
    with pytest.raises(UnsupportedError, match="tanh: the launch plan takes it only"):
        make_plan(graph, {})


def test_the_text_of_a_plan():
    made = planned(
        lambda w, xs: ops.scan(lambda w, x: (w + x, None), w, xs),
        (4,),
        (3, 4),
        donate=(0,),
    )
    assert str(made.plan) == (
        "plan @function\n"
        "  %w: f32[4] 16 bytes, donated\n"
        "  %xs: f32[3,4] 48 bytes\n"
        "  constants: 0 bytes\n"
        "  arena: 0 bytes\n"
        "steps\n"
        "  loop i0 < 3\n"
        "    launch kernel_add[1x1x1](%w, %xs + i0*16, %w)\n"
        "return %w f32[4]\n"
    )
