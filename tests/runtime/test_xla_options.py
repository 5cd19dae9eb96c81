from graphc.ir.types import F32, I32, TensorType
from graphc.runtime.xla_options import aliases, compiler_options

A, B = TensorType((2,), F32), TensorType((2,), I32)


def test_memory_goes_to_the_first_free_result_of_the_type():
    assert aliases((1, 2), [A, B, A, B], [B, A, B, A]) == {1: 0, 2: 1}
    assert aliases((0, 1), [A, A], [B, A]) == {0: 1}
    assert aliases((), [A], [A]) == {}


def test_barriers_stay_on_cpus():
    text = "stablehlo.optimization_barrier"
    assert "cse_barrier_expander" in compiler_options(text, "cpu").values()
    assert compiler_options(text, "cuda") == compiler_options("", "cpu") == {}
