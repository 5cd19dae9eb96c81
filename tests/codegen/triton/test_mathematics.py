"""The functions that kernels call."""

from __future__ import annotations

import ast

from graphc.codegen.triton.mathematics import (
    FUNCTIONS,
    call,
    closure,
    helper_source,
)


def test_functions_come_with_those_that_they_call():
    assert closure(["_tanh_f64"]) == ("_copysign", "_expm1_f64", "_tanh_f64")
    made = call("_tanh_f64", "x")
    assert (made.text, made.helpers) == ("_tanh_f64(x)", closure(["_tanh_f64"]))


def test_source_defines_every_function_once_and_what_it_calls():
    for name in FUNCTIONS:
        tree = ast.parse(helper_source([name, name]))
        defined = [f.name for f in tree.body if isinstance(f, ast.FunctionDef)]
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert sorted(defined) == list(closure([name]))
        assert called - {"float", "range"} <= set(defined)


def test_source_does_not_depend_on_the_order_of_names():
    names = list(FUNCTIONS)
    assert helper_source(names) == helper_source(reversed(names))


def test_functions_look_as_if_a_person_had_written_them():
    for name, text in FUNCTIONS.items():
        assert name.startswith("_"), "variables of kernels do not"
        assert text.startswith("@triton.jit\ndef ")
        assert max(map(len, text.splitlines())) <= 88
