"""The exact numbers: fields, their identities, and what follows the order."""

import numpy as np
import pytest

from graphc.ir.payload import P, Payload, Q, exact, opaque

SHAPE = (4, 5)


@pytest.fixture
def x(rng) -> Payload:
    return opaque("x", rng.normal(size=SHAPE))


@pytest.fixture
def y(rng) -> Payload:
    return opaque("y", rng.normal(size=SHAPE))


def assert_equal(a, b):
    assert isinstance(a, Payload)
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_the_primes_fit_each_other():
    assert P == 2 * Q + 1
    for prime in (P, Q):
        assert all(prime % d for d in range(2, int(prime**0.5) + 1))


def test_the_fields_obey_their_laws(x, y):
    z = opaque("z", x)
    assert_equal((x + y) + z, x + (y + z))
    assert_equal(x * (y + z), x * y + x * z)
    assert_equal((x - y) + y, x)
    assert_equal((x / y) * y, x)
    assert_equal(1 / (1 / x), x)
    assert_equal(x * 0.125, x / 8)
    assert_equal(x**3.0, x * x * x)
    assert_equal(x**-2.0, 1 / (x * x))


def test_numbers_are_their_exact_values(rng):
    a = rng.integers(-999, 999, (3, 70)) / 64
    b = rng.integers(-999, 999, (70, 2)) / 64
    assert_equal(exact(a) @ exact(b), exact(a @ b))
    assert_equal(exact(a).sum(1), exact(a.sum(1)))
    assert_equal(np.cumsum(exact(a), 1), exact(np.cumsum(a, 1)))
    assert_equal(exact(np.float32(0.1)) * 3, exact(3 * float(np.float32(0.1))))
    assert_equal(np.prod(exact(a[:, :3]), 1), exact(np.prod(a[:, :3], 1)))
    assert_equal(np.cumprod(exact(a[:, :3]), 1), exact(np.cumprod(a[:, :3], 1)))
    for dtype in ("int8", "uint8", "int64", "uint64", "bool"):
        values = np.array([0, 1, 1, 0]).astype(dtype)
        assert_equal(exact(values), exact(values.astype(float)))


def test_long_dots_are_exact(rng):
    terms = 40_000  # more than are added at once
    a, b = (opaque(name, np.arange(terms)) for name in "ab")
    assert_equal(a @ b, np.sum(a * b))
    assert_equal(np.sum(a * b), np.sum((a * b).reshape(200, 200).sum(0)))


def test_a_term_left_out_changes_everything(rng):
    a = opaque("a", np.arange(4096))
    assert np.asarray(np.sum(a) != np.sum(a[:-1])).all()


def test_exponentials_turn_sums_into_products(x, y):
    assert_equal(np.exp(x + y), np.exp(x) * np.exp(y))
    assert_equal(np.exp(-x), 1 / np.exp(x))
    top = np.max(x, 1, keepdims=True)
    shifted = np.exp(x - top)
    plain = np.exp(x)
    assert_equal(
        shifted / shifted.sum(1, keepdims=True), plain / plain.sum(1, keepdims=True)
    )


def test_negation_reverses_the_order(x, y):
    assert_equal(-np.maximum(x, y), np.minimum(-x, -y))
    assert_equal(np.abs(x), x * np.sign(x))
    assert_equal(np.sort(-x, 1), -np.sort(x, 1)[:, ::-1])


def test_rounding_functions_have_whole_results(x):
    for function in (np.floor, np.ceil, np.rint, np.trunc):
        assert_equal(function(function(x)), function(x))
        assert_equal(function(exact([-3.0, 7.0])), exact([-3.0, 7.0]))
    assert (np.asarray(np.floor(x)) != np.asarray(np.ceil(x))).all()


def test_other_functions_are_hashes(x):
    assert_equal(np.tanh(x), np.tanh(x.copy()))
    assert (np.asarray(np.tanh(x)) != np.asarray(np.sin(x))).all()
    assert (np.asarray(np.arctan2(x, -x)) != np.asarray(np.arctan2(-x, x))).all()


def test_infinities_and_nan_are_themselves():
    odd = exact([np.inf, -np.inf, np.nan, 2.0])
    assert_equal(odd + 1.0, exact([np.inf, -np.inf, np.nan, 3.0]))
    assert_equal(1 / odd, exact([0.0, 0.0, np.nan, 0.5]))
    assert_equal(np.exp(odd)[:2], exact([np.inf, 0.0]))
    assert_equal(odd * 0.0, exact([np.nan, np.nan, np.nan, 0.0]))
    assert_equal(np.sum(odd[:1]), exact(np.inf))


def test_scatters_add_in_the_fields():
    target = np.zeros(3)
    np.add.at(target, (np.array([0, 0, 2]),), exact([1.5, 0.1, 3.0]))
    assert_equal(target.view(Payload), exact([1.5, 0, 3]) + exact([0.1, 0, 0]))


def test_what_would_read_the_stored_pairs_is_refused(x):
    with pytest.raises(TypeError, match="einsum has no exact meaning"):
        np.einsum("ij,ij", x, x)
    with pytest.raises(TypeError, match="no exact meaning"):
        np.linalg.inv(x[:4, :4])


def test_scalars_have_powers():
    number = exact(1.5)
    assert_equal(number**3.0, number * number * number)


def test_products_of_nothing_are_ones_or_nothing():
    assert np.prod(exact(np.ones((2, 0, 3))), axis=(0, 2)).shape == (0,)
    assert_equal(np.prod(exact(np.ones((2, 0))), axis=1), exact([1.0, 1.0]))


def test_exponentials_are_powers_of_the_generator():
    numbers = np.array([0.0, 1.0, 31.0, 32.0, 33.0, 12345678.0])
    found = np.rint(np.asarray(np.exp(exact(numbers))) / 2**25).astype(np.int64)
    assert [int(p) % P for p in found] == [pow(4, int(n), P) for n in numbers]
