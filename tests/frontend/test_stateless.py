"""Calling code that assigns variables as a function of their values."""

import numpy as np
import pytest

from graphc.frontend.stateless import call_stateless
from graphc.frontend.tensor import Array
from graphc.frontend.transforms import TensorSpec, program_of
from graphc.frontend.variables import Variable
from graphc.ir import evaluate


def test_variables_keep_their_own_values():
    variable = Variable([1.0, 2.0])
    given = Array(np.array([5.0, 6.0], np.float32))

    def double() -> str:
        variable.assign(variable * 2.0)
        return "done"

    result, values = call_stateless([variable], [given], double)
    assert result == "done"
    assert values[0].numpy().tolist() == [10.0, 12.0]
    assert variable.numpy().tolist() == [1.0, 2.0]


def test_an_error_restores_the_values():
    variable = Variable([1.0])

    def fail() -> None:
        variable.assign([9.0])
        raise KeyError("x")

    with pytest.raises(KeyError):
        call_stateless([variable], [[3.0]], fail)
    assert variable.numpy().tolist() == [1.0]


def test_inside_a_trace():
    variable = Variable([1.0])

    def step(value: object) -> object:
        _, values = call_stateless(
            [variable], [value], lambda: variable.assign_add([1.0])
        )
        return values[0], variable

    program = program_of(step, [TensorSpec((1,))])
    values = np.array([[4.0], [7.0]], np.float32)
    new, own, kept = evaluate(program.graph, *values)
    assert (new.item(), own.item(), kept.item()) == (5.0, 7.0, 7.0)


def test_number_of_values():
    variable = Variable([1.0], name="v")
    with pytest.raises(ValueError, match=r"0 values for the 1 variables \['v'\]"):
        call_stateless([variable], [], lambda: None)
