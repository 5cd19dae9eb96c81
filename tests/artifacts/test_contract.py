"""Which program of an artifact serves which sizes."""

import pytest

import graphc
from graphc import layers
from graphc.artifacts.contract import Contract, Sizes
from graphc.frontend.models.export import model_source
from graphc.ir import Graph, parse
from graphc.ir.errors import GraphError, LoadError


def test_sizes_that_are_listed():
    sizes = Sizes((1, 8, 32))
    assert [sizes.program_size(n) for n in (1, 8, 32)] == [1, 8, 32]
    assert [sizes.program_size(n) for n in (0, 2, 9, 33)] == [None] * 4


@pytest.mark.parametrize(
    ("low", "high", "compiled"),
    [
        (1, 64, (1, 2, 4, 8, 16, 32, 64)),
        (1, 5, (1, 2, 4, 5)),
        (3, 3, (3,)),
        (3, 9, (4, 8, 9)),
    ],
)
def test_sizes_of_a_range(low: int, high: int, compiled: tuple[int, ...]):
    sizes = Sizes.between(low, high)
    assert sizes.compiled == compiled
    for size in range(low, high + 1):
        found = sizes.program_size(size)
        assert found is not None
        assert size <= found < 2 * size + 1
    assert sizes.program_size(low - 1) is None
    assert sizes.program_size(high + 1) is None


def test_programs_are_all_combinations():
    contract = Contract({"T": Sizes((7,)), "B": Sizes((1, 2))})
    assert list(contract.programs()) == [{"B": 1, "T": 7}, {"B": 2, "T": 7}]
    assert Contract.from_json(contract.to_json()) == contract
    assert list(Contract({}).programs()) == [{}]


def test_other_sizes_are_refused_with_what_to_do():
    contract = Contract({"B": Sizes((1, 8)), "T": Sizes.between(1, 4)})
    with pytest.raises(GraphError, match="compiled for B = 1 or 8") as caught:
        contract.program_sizes({"B": 3, "T": 1})
    assert "--batch 1,3,8" in str(caught.value)
    with pytest.raises(GraphError, match="compiled for T = 1 to 4") as caught:
        contract.program_sizes({"B": 1, "T": 5})
    assert "--range T=1..5" in str(caught.value)
    ranged = Contract({"B": Sizes.between(2, 64)})
    with pytest.raises(GraphError, match="compiled for B = 2 to 64") as caught:
        ranged.program_sizes({"B": 1})
    assert "--range B=1..64" in str(caught.value)
    with pytest.raises(GraphError) as caught:
        Contract({"T": Sizes((7,))}).program_sizes({"T": 9})
    assert "--size T=7,9" in str(caught.value)


def test_a_contract_is_about_the_symbols_of_the_graph():
    def graph(*shapes: str) -> Graph:
        types = ", ".join(f"%x{i}: f32[{shape}]" for i, shape in enumerate(shapes))
        symbols = sorted(set("".join(shapes)) & set("ABT"))
        ranges = ", ".join(f"{name} in 1..9" for name in symbols)
        where = f" where {ranges}" if symbols else ""
        result = f"f32[{shapes[0]}]"
        return parse(f"graph @f({types}) -> ({result}){where} {{\n  return %x0\n}}\n")

    contract = Contract({"B": Sizes((1,))})
    contract.check(graph("B"))
    with pytest.raises(GraphError, match="have no sizes") as caught:
        contract.check(graph("B,T", "A,2,T"), ["x", "mask"])
    assert caught.value.message.endswith(
        "A (axis 0 of input 'mask'); T (axis 1 of input 'x' and axis 2 of input 'mask')"
    )
    assert caught.value.hint == (
        "say which sizes to compile for: --size A=64,128 --size T=64,128;"
        " or a range: --range A=1..64 --range T=1..64"
    )
    with pytest.raises(GraphError, match="no dimension symbol B"):
        contract.check(graph("3"))
    many = Contract({n: Sizes(tuple(range(1, 18))) for n in "AB"})
    with pytest.raises(GraphError, match="at most 256 programs"):
        many.check(graph("A,B"))


@pytest.mark.parametrize(
    "found",
    [
        [],
        {"B": {"compiled": [1]}},
        {"B": {"compiled": [], "low": None}},
        {"B": {"compiled": [2, 1], "low": None}},
        {"B": {"compiled": [1, 1], "low": None}},
        {"B": {"compiled": [0], "low": None}},
        {"B": {"compiled": [2**31], "low": None}},
        {"B": {"compiled": [True], "low": None}},
        {"B": {"compiled": ["1"], "low": None}},
        {"B": {"compiled": "1", "low": None}},
        {"B": {"compiled": [4], "low": -1}},
    ],
)
def test_what_is_no_contract(found: object):
    with pytest.raises(LoadError):
        Contract.from_json(found)


def test_symbols_of_unknown_sizes_do_not_depend_on_what_was_built_before():
    """Two processes that build one model write the same bytes."""

    def built() -> str:
        x = layers.Input((None, 4), name="x")
        y = layers.Input((None, None, 4), name="y")
        wide = layers.Dense(3, name="dense")(x)
        pooled = layers.GlobalAveragePooling2D(name="pool")(y)
        model = graphc.Model([x, y], [wide, pooled], name="model")
        return str(model_source(model, "predict").graph)

    first = built()
    layers.Input((None, None), name="other")
    assert built() == first
    assert "%x_0: f32[B,N0,4], %x_1: f32[B,N1,N2,4]" in first
