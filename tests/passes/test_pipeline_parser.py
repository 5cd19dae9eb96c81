"""Pipelines as text."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import given

from graphc.ir import PassError
from graphc.passes import PASSES, PIPELINES, GraphPass, parse_pipeline, register
from graphc.passes.canonicalize import Canonicalize
from graphc.passes.cse import CommonSubexpressionElimination
from graphc.passes.decompose import Decompose
from graphc.passes.fusion import Fusion
from graphc.passes.pipeline_parser import Fixpoint, Pipeline


@dataclasses.dataclass(frozen=True)
class Tuned(GraphPass):
    """Has an option of every type."""

    count: int = 1
    rate: float = 0.5
    flag: bool = False
    text: str = "a"
    names: tuple[str, ...] = ()
    name: ClassVar[str] = "tuned"

    def run(self, graph, rewriter):
        return False


@pytest.fixture(scope="module", autouse=True)
def tuned():
    register(Tuned)
    yield
    del PASSES["tuned"]


def test_passes_groups_and_options():
    pipeline = parse_pipeline(
        " (canonicalize{ late = true }, cse)* , fusion{max_nodes=7},decompose{keep=[gelu, silu]}"
    )
    cse = CommonSubexpressionElimination()
    assert pipeline == Pipeline(
        (
            Fixpoint(Pipeline((Canonicalize(late=True), cse))),
            Fusion(max_nodes=7),
            Decompose(keep=("gelu", "silu")),
        )
    )
    assert str(pipeline) == (
        "(canonicalize{late=true},cse)*,fusion{max_nodes=7},decompose{keep=[gelu,silu]}"
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_named_pipelines_parse_and_stand_for_their_stages(name: str):
    pipeline = parse_pipeline(name)
    assert pipeline == parse_pipeline(PIPELINES[name])
    both = parse_pipeline(f"{name},dce")
    assert both.stages[:-1] == pipeline.stages


def test_the_empty_pipeline():
    assert parse_pipeline(" ") == Pipeline(())


@given(
    st.builds(
        Tuned,
        count=st.integers(-(10**15), 10**15),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        flag=st.booleans(),
        text=st.text(max_size=9),
        names=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    )
)
def test_what_prints_parses(tuned: Tuned):
    pipeline = Pipeline((tuned, Fixpoint(Pipeline((tuned,)))))
    assert parse_pipeline(str(pipeline)) == pipeline


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("dce,csee", 5, "unknown pass 'csee'", "did you mean 'cse'?"),
        ("defalt", 1, "unknown pass 'defalt'", "did you mean 'default'?"),
        ("fusion{max_node=3}", 8, "pass fusion has no option 'max_node'", "max_nodes"),
        ("dce{x=1}", 5, "pass dce has no option 'x'", "there is none"),
        (
            "fusion{max_nodes=a}",
            18,
            "'max_nodes' must be of type int, received 'a'",
            None,
        ),
        ("fusion{max_nodes=1.5}", 18, "must be of type int", None),
        ("canonicalize{late=1}", 19, "must be of type bool", None),
        ("fusion{max_nodes=1,max_nodes=2}", 20, "'max_nodes' stands twice", None),
        ("decompose{keep=[1]}", 17, "a list holds words", None),
        ("cse,decompose{keep=reluu}", 5, "names no composite: 'reluu'", "'relu'?"),
        ("cse dce", 5, "expected ',' or the end, not 'dce'", None),
        ("cse,", 5, "expected a pass, not 'the end'", None),
        ("(cse,dce", 9, "expected ')', not 'the end'", None),
        ("(cse)", 6, "expected '*', not 'the end'", None),
        ("()*", 2, "expected a pass, not ')'", None),
        ("fusion{", 8, "expected an option, not 'the end'", None),
        ("fusion{max_nodes 3}", 18, "expected '=', not '3'", None),
        ("fusion{max_nodes=}", 18, "expected a value, not '}'", None),
        ("cse;dce", 4, "not ';'", None),
        ("(" * 100 + "cse", 18, "groups nest deeper than 16", None),
    ],
)
def test_errors_point_to_the_column(
    text: str, column: int, message: str, hint: str | None
):
    with pytest.raises(PassError) as caught:
        parse_pipeline(text)
    first, _, caret = caught.value.message.splitlines()
    assert first.startswith(f"pipeline, column {column}: ")
    assert message in first
    assert caret == " " * (4 + column - 1) + "^"
    assert hint is None or hint in (caught.value.hint or "")


def test_passes_must_be_complete():
    with pytest.raises(TypeError, match="there already is a pass 'tuned'"):
        register(Tuned)

    class Bare(GraphPass):
        name = "bare"

        def run(self, graph, rewriter):
            return False

    Bare.__doc__ = None
    with pytest.raises(TypeError, match="lacks a docstring"):
        register(Bare)

    @dataclasses.dataclass(frozen=True)
    class Strange(GraphPass):
        """Has an option that text cannot spell."""

        option: bytes = b""
        name: ClassVar[str] = "strange"

        def run(self, graph, rewriter):
            return False

    with pytest.raises(TypeError, match="option 'option' must have a default and one"):
        register(Strange)


@pytest.mark.parametrize(
    ("annotation", "default"),
    [(int, 1), ("int", 1), (tuple[str, ...], ()), ("tuple[str, ...]", ())],
)
def test_options_may_be_annotated_with_types_or_their_text(annotation, default):
    field = ("size", annotation, dataclasses.field(default=default))
    body = {"name": "sized", "__doc__": "Has an option.", "run": lambda *_: False}
    made = dataclasses.make_dataclass(
        "Sized", [field], bases=(GraphPass,), namespace=body, frozen=True
    )
    try:
        register(made)
        text = str(made(2 if default else ("a",)))
        assert str(next(iter(parse_pipeline(text).passes()))) == text
    finally:
        PASSES.pop("sized", None)


@pytest.mark.parametrize("cls", PASSES.values(), ids=PASSES)
def test_every_pass_is_a_frozen_dataclass_that_prints_as_its_name(cls):
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert str(cls()) == cls.name
    assert cls in (Tuned,) or cls.__final__
