"""Random draws: their distributions, seeds, and state in traces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import ops, random
from graphc.frontend.program import Program, trace_program
from graphc.frontend.random import SeedGenerator
from graphc.frontend.seeds import set_random_seed
from graphc.frontend.tracing import name_scope
from graphc.ir import evaluate
from graphc.ir.errors import GraphError
from graphc.runtime.compile import compile_graph
from tests.closeness import assert_close, assert_mean


def traced(function: Any) -> Program:
    return trace_program("f", function, (), [])


# -- distributions ---------------------------------------------------------------------


def test_normal() -> None:
    found = random.normal((20000,), mean=2.0, stddev=0.5, seed=1).numpy()
    assert found.dtype == np.float32
    assert_mean(found, 2)
    assert_mean((found - 2) ** 2, 0.25)
    assert_mean(abs(found - 2) < 0.5, 0.6827)


def test_uniform() -> None:
    found = random.uniform((20000,), minval=-1.0, maxval=3.0, seed=1).numpy()
    assert found.min() >= -1
    assert found.max() < 3
    assert_mean(np.floor(2 * found[:, None]) == np.arange(-2, 6), 1 / 8)


def test_truncated_normal() -> None:
    found = random.truncated_normal((20000,), mean=1.0, stddev=2.0, seed=1).numpy()
    assert abs(found - 1).max() <= 4
    assert_mean(found, 1)
    assert_mean((found - 1) ** 2, (2 * 0.8796) ** 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_float_dtypes(dtype: str) -> None:
    for draw in (random.normal, random.uniform, random.truncated_normal):
        found = draw((1000,), dtype=dtype, seed=1)
        assert found.dtype == dtype
        assert np.isfinite(np.asarray(found).astype(np.float64)).all()


def test_draws_of_floats_need_a_float_dtype() -> None:
    with pytest.raises(
        ValueError, match=r"floating-point dtype. Received: dtype=int32"
    ):
        random.normal((3,), dtype="int32")


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-3, 5, "int32"), (0, 200, "uint8"), (-100, 28, "int8"), (0, 7, "int64")],
)
def test_randint(low: int, high: int, dtype: str) -> None:
    found = random.randint((20000,), low, high, dtype=dtype, seed=2).numpy()
    assert found.dtype == dtype
    counts = np.bincount(found.astype(np.int64) - low, minlength=high - low)
    assert len(counts) == high - low
    assert (counts > 0).all()
    # The chi-squared statistic of n classes is near n, with a deviation of sqrt(2n).
    expected = 20000 / (high - low)
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < high - low + 5 * np.sqrt(2 * (high - low))


def test_randint_covers_the_whole_range() -> None:
    found = random.randint((5000,), -(2**31), 2**31 - 1, seed=2).numpy()
    assert found.min() < -2.1e9
    assert found.max() > 2.1e9


def test_randint_is_the_same_when_compiled() -> None:
    program = traced(lambda: random.randint((1000,), -(10**9), 10**9, seed=3))
    (compiled,) = compile_graph(program.graph)()
    np.testing.assert_array_equal(np.asarray(compiled), evaluate(program.graph)[0])


def test_categorical() -> None:
    weights = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        logits = np.log(weights).astype(np.float32)
    found = random.categorical(logits, 20000, seed=1).numpy()
    assert found.dtype == np.int32
    assert found.shape == (2, 20000)
    for row, shares in zip(found, weights, strict=True):
        assert_mean(row[:, None] == np.arange(3), shares)


def test_dropout() -> None:
    x = np.full((100, 100), 2.0, np.float32)
    found = random.dropout(x, 0.25, seed=1).numpy()
    assert_mean(found.ravel() == 0, 0.25)
    assert_close(found[found != 0], 2 / 0.75)
    np.testing.assert_array_equal(random.dropout(x, 0.0, seed=1), x)


def test_dropout_with_a_noise_shape() -> None:
    x = np.ones((50, 8), np.float32)
    found = random.dropout(x, 0.5, noise_shape=(50, 1), seed=1).numpy()
    assert (found == found[:, :1]).all()
    assert 0.2 < (found == 0).mean() < 0.8


def test_dropout_with_sizes_left_out_of_the_noise_shape() -> None:
    x = np.ones((50, 8), np.float32)
    found = random.dropout(x, 0.5, noise_shape=(None, 1), seed=1)
    same = random.dropout(x, 0.5, noise_shape=(50, 1), seed=1)
    np.testing.assert_array_equal(found, same)


def test_gamma() -> None:
    found = random.gamma((4000, 2), alpha=[0.5, 3.0], seed=1).numpy()
    assert_mean(found, [0.5, 3.0])
    assert_mean((found - [0.5, 3.0]) ** 2, [0.5, 3.0])
    assert random.gamma((3,), 2, dtype="float64", seed=1).dtype == "float64"


def test_beta() -> None:
    found = random.beta((4000,), 2, 6.0, seed=1).numpy()
    assert_mean(found, 0.25)
    assert_mean((found - 0.25) ** 2, 2 * 6 / (8**2 * 9))


def test_binomial() -> None:
    found = random.binomial((2000, 2), 20, np.float32([0.1, 0.7]), seed=1).numpy()
    assert found.dtype == np.float32
    assert set(np.unique(found)) <= set(range(21))
    assert_mean(found, [2, 14])


def test_draws_with_parameters_of_a_symbolic_batch() -> None:
    generator = SeedGenerator(5)
    graph = graphc.trace(
        lambda alpha: random.gamma(ops.shape(alpha), alpha, seed=generator),
        graphc.TensorSpec(("B",)),
    )
    assert graph.symbols == {"B"}
    assert graph.results[0].shape == graph.parameters[0].shape


def test_no_gradient_flows_to_the_parameters_of_a_draw() -> None:
    def total(alpha: Any, stop: bool) -> Any:
        drawn = random.gamma((3,), alpha, seed=1)
        return ops.sum(ops.stop_gradient(drawn) if stop else drawn) + alpha

    assert float(graphc.grad(lambda a: total(a, True))(2.0)) == 1
    with pytest.raises(GraphError, match="random_gamma has no gradient"):
        graphc.grad(lambda a: total(a, False))(2.0)


def test_integers_need_an_integer_dtype() -> None:
    with pytest.raises(ValueError, match=r"integer dtype. Received: dtype=float32"):
        random.randint((3,), 0, 5, dtype="float32")


def test_every_place_is_as_likely_in_a_shuffle() -> None:
    generator = SeedGenerator(3)
    size, rounds = 4, 150
    places = np.zeros((size, size))
    for _ in range(rounds):
        found = random.shuffle(np.arange(size), seed=generator).numpy()
        assert sorted(found) == list(range(size))
        places[np.arange(size), found] += 1
    statistic = ((places - rounds / size) ** 2 / (rounds / size)).sum()
    degrees = (size - 1) ** 2
    assert statistic < degrees + 4 * np.sqrt(2 * degrees)


def test_shuffle() -> None:
    x = np.arange(60).reshape(3, 20)
    rows = random.shuffle(x, axis=1, seed=1).numpy()
    assert not np.array_equal(rows, x)
    np.testing.assert_array_equal(np.sort(rows, axis=1), x)
    np.testing.assert_array_equal(np.argsort(rows[0]), np.argsort(rows[2]))


# -- seeds -----------------------------------------------------------------------------


def test_an_integer_gives_the_same_numbers_again() -> None:
    first, again, other = (random.uniform((9,), seed=s).numpy() for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_global_seed() -> None:
    set_random_seed(11)
    first, second = random.uniform((9,)).numpy(), random.uniform((9,)).numpy()
    assert not np.array_equal(first, second)
    set_random_seed(11)
    np.testing.assert_array_equal(first, random.uniform((9,)))
    np.testing.assert_array_equal(second, random.uniform((9,)))


def test_a_generator_counts() -> None:
    generator = SeedGenerator(5)
    assert generator.next().numpy().tolist() == [5, 0]
    assert generator.next().numpy().tolist() == [5, 1]
    first = random.uniform((9,), seed=generator).numpy()
    second = random.uniform((9,), seed=generator).numpy()
    assert not np.array_equal(first, second)
    assert generator.state.numpy().tolist() == [5, 4]
    assert not generator.state.trainable


def test_a_generator_from_its_config() -> None:
    generator = SeedGenerator.from_config(SeedGenerator(7).get_config())
    assert generator.next().numpy().tolist() == [7, 0]


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True])
def test_seeds_are_whole_numbers(seed: Any) -> None:
    with pytest.raises(ValueError, match="Received: seed="):
        SeedGenerator(seed)


def test_a_seed_that_was_drawn_before() -> None:
    generator = SeedGenerator(5)
    drawn = generator.next()
    first, again = (random.uniform((9,), seed=drawn).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)


# -- traces ----------------------------------------------------------------------------


def test_a_traced_draw_continues_in_the_next_step() -> None:
    generator = SeedGenerator(5)
    program = traced(lambda: random.uniform((9,), seed=generator))
    assert program.state == (generator.state,)
    assert program.written == (generator.state,)
    first, second = program.run([])[0], program.run([])[0]
    assert not np.array_equal(first, second)
    assert generator.state.numpy().tolist() == [5, 2]
    eager = SeedGenerator(5)
    np.testing.assert_array_equal(first, random.uniform((9,), seed=eager))


def test_draws_of_one_step_differ() -> None:
    generator = SeedGenerator(5)

    def draw_twice() -> Any:
        return [random.uniform((9,), seed=generator) for _ in range(2)]

    first, second = traced(draw_twice).run([])
    assert not np.array_equal(first, second)
    assert generator.state.numpy().tolist() == [5, 2]


def test_layers_that_share_a_generator_draw_apart() -> None:
    def draw(path: str) -> Any:
        with name_scope(path):
            return random.uniform((9,), seed=SeedGenerator(5)).numpy()

    assert not np.array_equal(draw("a"), draw("b"))
    np.testing.assert_array_equal(draw("a"), draw("a"))


def test_a_traced_draw_needs_a_seed() -> None:
    with pytest.raises(GraphError, match="needs a seed") as caught:
        traced(lambda: random.uniform((9,)))
    assert "SeedGenerator" in str(caught.value)
    assert "test_random.py" in str(caught.value)


def test_a_shuffle_of_a_traced_batch() -> None:
    generator = SeedGenerator(5)
    x = ops.arange(20)
    found = random.shuffle(x, seed=generator).numpy()
    assert sorted(found.tolist()) == list(range(20))
