"""Every primitive can be written in StableHLO, in exactly one way."""

from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.stablehlo.module import LOWERINGS
from graphc.ir import Kind
from graphc.ir.ops import OPS


def test_every_primitive_has_a_stablehlo_form():
    primitives = {name for name, op in OPS.items() if not op.is_composite}
    assert primitives - SPELLINGS.keys() - LOWERINGS.keys() == set()


def test_no_form_is_left_over():
    known = SPELLINGS.keys() | LOWERINGS.keys()
    assert known - OPS.keys() == set()
    assert {name for name in known if OPS[name].is_composite} == {"call"}
    assert SPELLINGS.keys() & LOWERINGS.keys() == set()


def test_spellings_are_for_elementwise_primitives():
    assert {OPS[name].kind for name in SPELLINGS} == {Kind.ELEMENTWISE}
