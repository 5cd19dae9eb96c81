"""Variables: values, assignment, initial values, and the state they share."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import initializers, ops
from graphc.frontend.tracing import name_scope
from graphc.frontend.variables import State, Variable, assign_all, autocast

F32 = np.float32
X = np.array([1.0, 2.0, 3.0], F32)


def test_initial_values() -> None:
    assert Variable(X).dtype == "float32"
    assert Variable([1.0, 2.0]).dtype == "float32"
    assert Variable(np.ones(2)).dtype == "float32"
    assert Variable([1, 2]).dtype == "int32"
    assert Variable([True]).dtype == "bool"
    assert Variable(3, dtype="uint8").dtype == "uint8"
    assert Variable(Variable(X)).numpy().tolist() == X.tolist()
    zeros = Variable(initializers.Zeros(), shape=(2, 3), dtype="float16")
    assert (zeros.shape, zeros.dtype, zeros.ndim) == ((2, 3), "float16", 2)
    np.testing.assert_array_equal(zeros, np.zeros((2, 3)))


def test_initializer_functions() -> None:
    made = Variable(lambda shape, dtype: np.full(shape, 7, dtype), shape=2)
    np.testing.assert_array_equal(made, [7, 7])
    wrong = Variable(lambda shape, dtype: np.zeros((3,)), shape=(2,), name="w")
    with pytest.raises(ValueError, match=r"variable 'w' must return shape=\(2,\)"):
        wrong.numpy()


@pytest.mark.parametrize("shape", [None, (None, 2), (-1,), (2.5,)])
def test_shape_must_be_known(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"variable 'v' must be fully known.*Received"):
        Variable(initializers.Zeros(), shape=shape, name="v")


def test_given_shape_must_fit_the_value() -> None:
    with pytest.raises(ValueError, match=r"shape=\(2,\). Received: \(3,\)"):
        Variable(X, shape=(2,))


def test_paths() -> None:
    with name_scope("a"), name_scope("b"):
        v = Variable(X, name="v")
    assert (v.name, v.path) == ("v", "a/b/v")
    assert repr(v) == "<Variable path=a/b/v, shape=(3,), dtype=float32>"


def test_assignment() -> None:
    v = Variable(X, name="v")
    assert v.assign([3.0, 2.0, 1.0]).numpy().tolist() == [3, 2, 1]
    assert v.assign_add(ops.ones(3)).numpy().tolist() == [4, 3, 2]
    assert v.assign_sub(1).numpy().tolist() == [3, 2, 1]
    v.assign(np.arange(3))
    assert v.numpy().dtype == F32
    v.assign(Variable(X))
    np.testing.assert_array_equal(v, X)
    with pytest.raises(
        ValueError, match=r"'v' with shape=\(3,\). Received: shape=\(2,\)"
    ):
        v.assign(np.zeros(2))
    np.testing.assert_array_equal(v, X)


def test_assignment_in_a_trace() -> None:
    v, n = Variable(X, name="v"), Variable(0)

    @graphc.jit
    def step(x: Any) -> Any:
        n.assign_add(1)
        assigned = v.assign(x * 2)
        return assigned + v

    np.testing.assert_array_equal(step(np.arange(3)), [0, 4, 8])
    np.testing.assert_array_equal(v, [0, 2, 4])
    assert v.dtype == "float32"
    assert int(n) == 1
    with pytest.raises(ValueError, match=r"Received: shape=\(2,\)"):
        graphc.jit(lambda x: v.assign(x))(np.zeros(2))


def test_what_was_read_does_not_change() -> None:
    v = Variable(X)
    read, array = v.value, v.numpy()
    array[0] = 9
    v.assign_add(1)
    np.testing.assert_array_equal(read, X)
    given = X.copy()
    v.assign(given)
    given[0] = 9
    np.testing.assert_array_equal(v, X)


def test_as_a_tensor_and_a_number() -> None:
    v, one = Variable(X), Variable(2.5)
    np.testing.assert_array_equal(v * v[0] + X, 2 * X)
    assert (float(one), int(one), bool(one), len(v)) == (2.5, 2, True, 3)
    assert np.asarray(v, np.float64).dtype == np.float64


def test_autocast() -> None:
    v = Variable(X)
    plain, count = Variable(X, autocast=False), Variable(1)
    with autocast("bfloat16"):
        assert [x.dtype for x in (v, plain, count)] == ["bfloat16", "float32", "int32"]
        with autocast(None):
            assert v.dtype == "float32"
        graph = graphc.trace(lambda: v * 1.0)
    assert [str(p.type) for p in graph.parameters] == ["f32[3]"]
    assert str(graph.results[0].type) == "bf16[3]"


def test_trainable_can_be_set() -> None:
    v = Variable(X, trainable=False)
    assert v.trainable is False
    v.trainable = 1
    assert v.trainable is True


# State.


def test_states_join() -> None:
    a, b, c = (Variable(np.full(2, i, F32)) for i in range(3))
    first = State.of([a, b])
    assert a.state is b.state is first
    old = c.state
    joined = State.of([c, a])
    assert joined is first
    assert old.joined
    assert [float(v.numpy()[0]) for v in (a, b, c)] == [0, 1, 2]
    assert State.of([a, b, c]) is joined
    assert State.of([]).variables == []


def test_initial_values_are_drawn_together_and_once(caplog: Any) -> None:
    made = [Variable(initializers.GlorotUniform(), shape=(4, 4)) for _ in range(3)]
    state = State.of(made)
    assert all(array is None for array in state.arrays)
    first = made[0].numpy()
    assert all(array is not None for array in state.arrays)
    np.testing.assert_array_equal(first, made[0].numpy())
    assert not np.array_equal(first, made[1].numpy())


def test_assigning_before_the_first_read_draws_nothing() -> None:
    v = Variable(initializers.GlorotUniform(), shape=(2,))
    v.assign([1.0, 2.0])
    np.testing.assert_array_equal(v, [1, 2])


def test_initial_values_depend_on_seed_and_path_alone() -> None:
    def draw(name: str, seed: int, before: int = 0) -> Any:
        graphc.utils.set_random_seed(seed)
        for i in range(before):
            Variable(initializers.GlorotUniform(), shape=(2,), name=f"other{i}").numpy()
        return Variable(initializers.GlorotUniform(), shape=(3,), name=name).numpy()

    np.testing.assert_array_equal(draw("v", 1), draw("v", 1, before=3))
    assert not np.array_equal(draw("v", 1), draw("v", 2))
    assert not np.array_equal(draw("v", 1), draw("w", 1))


def test_initial_values_of_the_same_name_differ() -> None:
    graphc.utils.set_random_seed(1)
    a, b = (Variable(initializers.GlorotUniform(), shape=(3,), name="v") for _ in "ab")
    assert not np.array_equal(a, b)


def test_made_up_names_count_from_the_seed() -> None:
    def draw() -> Any:
        graphc.utils.set_random_seed(1)
        layers = [graphc.layers.Dense(2) for _ in range(3)]
        return [layer(np.ones((1, 4))).numpy() for layer in layers]

    first, again = draw(), draw()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])


def test_assign_all() -> None:
    a, b = Variable(X), Variable(np.zeros(2, F32))
    assign_all([(a, 2 * X), (b, np.ones(2, F32))])
    np.testing.assert_array_equal(a, 2 * X)
    np.testing.assert_array_equal(b, [1, 1])
