"""StableHLO texts and the graphs they become; what is refused and how."""

import textwrap

import numpy as np
import pytest

import graphc
from graphc.ir import Graph, LoadError, UnsupportedError, evaluate

X = "%x: tensor<3xf32>"


def imported(body: str, parameters: str = X, result: str = "tensor<3xf32>") -> Graph:
    return graphc.from_stablehlo(
        f"func.func @main({parameters}) -> {result} {{\n{body}\n}}"
    )


def nodes(graph: Graph) -> str:
    """The nodes of the graph and its callees, without locations."""
    lines = (line.split("  loc(")[0] for line in str(graph).splitlines())
    return "\n".join(line for line in lines if line.startswith(("graph", "  ")))


def check(graph: Graph, expected: str) -> None:
    assert nodes(graph) == textwrap.dedent(expected).strip("\n")


def test_operations_constants_and_names():
    graph = graphc.from_stablehlo("""
        module @model {
          func.func @main(%a: tensor<2x3xf32> loc("x"), %b: tensor<3xf32> loc("not name"))
              -> tensor<2x3xf32> {
            %half = stablehlo.constant dense<0.5> : tensor<f32>
            %all = stablehlo.constant dense<-1.0> : tensor<2x3xf32>
            %c = stablehlo.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
            %0 = stablehlo.add %b, %c : tensor<3xf32>
            %1 = stablehlo.broadcast_in_dim %0, dims = [1]
              : (tensor<3xf32>) -> tensor<2x3xf32>
            %2 = stablehlo.broadcast_in_dim %half, dims = []
              : (tensor<f32>) -> tensor<2x3xf32>
            %3 = stablehlo.multiply %1, %2 : tensor<2x3xf32>
            %4 = stablehlo.clamp %half, %a, %half
              : (tensor<f32>, tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>
            %5 = stablehlo.add %3, %all : tensor<2x3xf32>
            %6 = stablehlo.subtract %5, %4 : tensor<2x3xf32>
            return %6 : tensor<2x3xf32>
          }
        }""")
    check(
        graph,
        """
        graph @model(%x: f32[2,3], %0: f32[3]) -> (f32[2,3]) {
          %1 = broadcast_in_dim(-1.0) {dims=[], shape=[2,3]} : f32[2,3]
          %2 = constant() {name="c"} : f32[3]
          %3 = add(%0, %2) : f32[3]
          %4 = broadcast_in_dim(%3) {dims=[1], shape=[2,3]} : f32[2,3]
          %5 = broadcast_in_dim(0.5) {dims=[], shape=[2,3]} : f32[2,3]
          %6 = multiply(%4, %5) : f32[2,3]
          %7 = clamp(0.5, %x, 0.5) : f32[2,3]
          %8 = add(%6, %1) : f32[2,3]
          %9 = subtract(%8, %7) : f32[2,3]
          return %9
        """,
    )


@pytest.mark.parametrize(
    ("dense", "type", "expected"),
    [
        ("dense<[1.5, -0.0, 0x7F800000]>", "3xf32", [1.5, -0.0, np.inf]),
        ("dense<[1.5, 0xFF80, 0x7FC0]>", "3xbf16", [1.5, -np.inf, np.nan]),
        ('dense<"0xC03F80BF0000">', "3xbf16", [1.5, -1.0, 0.0]),
        ('dense<"0x0000803F00000040">', "2xf32", [1.0, 2.0]),
        ("dense<[[1, -2], [3, 4]]>", "2x2xi64", [[1, -2], [3, 4]]),
        ("dense<[255, 0]>", "2xui8", [255, 0]),
        ("dense<[true, false]>", "2xi1", [True, False]),
        ("dense<[-8, 7]>", "2xi4", [-8, 7]),
        ("dense<[1.5, 0x7F]>", "2xf8E4M3FN", [1.5, np.nan]),
        ("dense<[1.5, 0x7C]>", "2xf8E5M2", [1.5, np.inf]),
        ("dense<-0.5>", "f8E5M2", -0.5),
        ("dense<true>", "2xi1", [True, True]),
        ("dense<0xFC00>", "2xf16", [-np.inf, -np.inf]),
        ("dense<-1.5>", "2xbf16", [-1.5, -1.5]),
        ("dense<7>", "i4", 7),
        ("dense<>", "0x2xf32", np.zeros((0, 2))),
    ],
)
def test_constants(dense: str, type: str, expected: object):
    text = f"  %0 = stablehlo.constant {dense} : tensor<{type}>\n"
    text += f"  return %0 : tensor<{type}>"
    (found,) = evaluate(imported(text, "", f"tensor<{type}>"))
    wide = np.asarray(found).astype(np.float64)
    np.testing.assert_array_equal(wide, np.asarray(expected, np.float64))
    np.testing.assert_array_equal(np.signbit(wide), np.signbit(np.float64(expected)))


def test_locations():
    graph = graphc.from_stablehlo(
        """#file = loc("model.py":12:9)
        func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
          %0 = stablehlo.tanh %x : tensor<3xf32> loc(#file)
          %1 = stablehlo.tanh %0 : tensor<3xf32> loc("encoder/mlp"(#file))
          %2 = stablehlo.tanh %1 : tensor<3xf32> loc(callsite(#file at "main.py":1:1))
          %3 = stablehlo.tanh %2 : tensor<3xf32> loc(fused["a", #file])
          %4 = stablehlo.tanh %3 : tensor<3xf32> loc(unknown)
          %5 = stablehlo.tanh %4 : tensor<3xf32>
          return %5 : tensor<3xf32>
        }"""
    )
    places = [
        location and (location.file, location.line, location.column, location.path)
        for location in (node.location for node in graph.nodes)
    ]
    assert places == [
        ("model.py", 12, 9, None),
        ("model.py", 12, 9, "encoder/mlp"),
        ("model.py", 12, 9, None),
        ("model.py", 12, 9, "a"),
        None,
        ("-", 8, 16, None),
    ]


def test_functions_become_graphs():
    graph = graphc.from_stablehlo(
        """module {
          func.func private @"the inner"(%x: tensor<3xf32>) -> tensor<3xf32> {
            %0 = stablehlo.tanh %x : tensor<3xf32>
            return %0 : tensor<3xf32>
          }
          func.func private @unused(%x: tensor<?xf32>) -> tensor<?xf32> {
            return %x : tensor<?xf32>
          }
          func.func public @f(%x: tensor<3xf32>) -> tensor<3xf32> {
            %0 = func.call @"the inner"(%x) : (tensor<3xf32>) -> tensor<3xf32>
            %1 = stablehlo.composite "my.square" %0 {decomposition = @"the inner"}
              : (tensor<3xf32>) -> tensor<3xf32>
            return %1 : tensor<3xf32>
          }
        }"""
    )
    check(
        graph,
        """
        graph @f(%0: f32[3]) -> (f32[3]) {
          %1 = call(%0) {graph="the_inner"} : f32[3]
          %2 = call(%1) {graph="the_inner"} : f32[3]
          return %2
        graph @the_inner(%0: f32[3]) -> (f32[3]) {
          %1 = tanh(%0) : f32[3]
          return %1
        """,
    )


CHOICE = """
  %one = stablehlo.constant dense<1.0> : tensor<3xf32>
  %y = stablehlo.add %x, %one : tensor<3xf32>
  %0 = "stablehlo.case"(%i) ({
    stablehlo.return %x : tensor<3xf32>
  }, {
    %1 = stablehlo.multiply %x, %y : tensor<3xf32>
    stablehlo.return %1 : tensor<3xf32>
  }, {
    stablehlo.return %y : tensor<3xf32>
  }) : (tensor<i32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>"""


@pytest.mark.parametrize(("index", "scale"), [(-5, 4), (0, 3), (1, 12), (2, 4), (9, 4)])
def test_case_takes_the_last_branch_for_an_index_out_of_range(index: int, scale: int):
    graph = imported(CHOICE, f"%i: tensor<i32>, {X}")
    (found,) = evaluate(graph, np.int32(index), np.full(3, 3, np.float32))
    np.testing.assert_array_equal(found, np.full(3, scale))


def test_if_and_while_read_values_from_outside():
    body = """
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %0 = "stablehlo.if"(%p) ({
        %3 = stablehlo.add %x, %x : tensor<3xf32>
        stablehlo.return %3 : tensor<3xf32>
      }, {
        stablehlo.return %x : tensor<3xf32>
      }) : (tensor<i1>) -> tensor<3xf32>
      %1:2 = stablehlo.while(%i = %n, %y = %x) : tensor<i32>, tensor<3xf32>
       cond {
        %3 = stablehlo.compare GT, %i, %zero : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %3 : tensor<i1>
      } do {
        %one = stablehlo.constant dense<1> : tensor<i32>
        %3 = stablehlo.subtract %i, %one : tensor<i32>
        %4 = stablehlo.add %y, %0 : tensor<3xf32>
        stablehlo.return %3, %4 : tensor<i32>, tensor<3xf32>
      }
      return %1#1 : tensor<3xf32>"""
    graph = imported(body, f"%p: tensor<i1>, %n: tensor<i32>, {X}")
    x = np.arange(3, dtype=np.float32)
    for holds, factor in ((True, 1 + 2 * 2), (False, 1 + 2)):
        (found,) = evaluate(graph, np.array(holds), np.int32(2), x)
        np.testing.assert_array_equal(found, factor * x)


@pytest.mark.parametrize(
    ("combining", "element", "op"),
    [
        ("add", "f32", "reduce_sum(%0) {axes=[0]}"),
        ("maximum", "f32", "maximum(%1, 0.0)"),
        ("or", "i1", "reduce_or(%0) {axes=[0]}"),
        ("xor", "i32", 'reduce(%0, 0:i32) {axes=[0], graph="combine"}'),
    ],
)
def test_reductions(combining: str, element: str, op: str):
    zero = {"f32": "0.0", "i1": "false", "i32": "0"}[element]
    graph = imported(
        f"  %c = stablehlo.constant dense<{zero}> : tensor<{element}>\n"
        f"  %0 = stablehlo.reduce(%x init: %c) applies stablehlo.{combining}"
        " across dimensions = [0]"
        f" : (tensor<3x{element}>, tensor<{element}>) -> tensor<{element}>\n"
        f"  return %0 : tensor<{element}>",
        f"%x: tensor<3x{element}>",
        f"tensor<{element}>",
    )
    assert f"= {op} : " in nodes(graph)


def sorting(arguments: str, body: str) -> Graph:
    return imported(
        '  %0:2 = "stablehlo.sort"(%a, %b) <{dimension = 0 : i64, is_stable = true}> ({\n'
        f"  ^bb0({arguments}):\n{body}\n"
        "    stablehlo.return %r : tensor<i1>\n"
        "  }) : (tensor<6xi32>, tensor<6xf32>) -> (tensor<6xi32>, tensor<6xf32>)\n"
        "  return %0#0, %0#1 : tensor<6xi32>, tensor<6xf32>",
        "%a: tensor<6xi32>, %b: tensor<6xf32>",
        "(tensor<6xi32>, tensor<6xf32>)",
    )


ELEMENTS = "%p: tensor<i32>, %q: tensor<i32>, %u: tensor<f32>, %v: tensor<f32>"
INTS = "(tensor<i32>, tensor<i32>) -> tensor<i1>"
FLOATS = "(tensor<f32>, tensor<f32>) -> tensor<i1>"
ZEROS = np.array([0.0, -0.0, 2.0, -1.0, np.nan, 1.0], np.float32)
TIES = np.array([1, 1, 0, 0, 1, 0], np.int32)


@pytest.mark.parametrize(
    ("body", "order"),
    [
        (f"%r = stablehlo.compare LT, %p, %q : {INTS}", [2, 3, 5, 0, 1, 4]),
        (f"%r = stablehlo.compare GT, %p, %q : {INTS}", [0, 1, 4, 2, 3, 5]),
        (
            f"%r = stablehlo.compare LT, %u, %v, TOTALORDER : {FLOATS}",
            [3, 1, 0, 5, 2, 4],
        ),
        (
            f"%1 = stablehlo.compare EQ, %p, %q : {INTS}\n"
            f"%2 = stablehlo.compare GT, %u, %v : {FLOATS}\n"
            f"%3 = stablehlo.compare LT, %p, %q : {INTS}\n"
            "%4 = stablehlo.and %1, %2 : tensor<i1>\n"
            "%r = stablehlo.or %3, %4 : tensor<i1>",
            [2, 5, 3, 4, 0, 1],
        ),
        (
            f"%1 = stablehlo.compare EQ, %p, %q : {INTS}\n"
            f"%2 = stablehlo.compare LT, %u, %v : {FLOATS}\n"
            f"%3 = stablehlo.compare LT, %p, %q : {INTS}\n"
            "%r = stablehlo.select %1, %2, %3 : tensor<i1>, tensor<i1>",
            [3, 5, 2, 0, 1, 4],
        ),
    ],
    ids=["ascending", "descending", "total", "mixed", "keys"],
)
def test_sorts(body: str, order: list[int]):
    found = evaluate(sorting(ELEMENTS, body), TIES, ZEROS)
    np.testing.assert_array_equal(found[0], TIES[order])
    np.testing.assert_array_equal(found[1], ZEROS[order])
    np.testing.assert_array_equal(np.signbit(found[1]), np.signbit(ZEROS[order]))


def test_an_operation_without_an_op_of_its_own_is_expanded():
    graph = imported(
        "  %0 = chlo.is_inf %x : tensor<3xf32> -> tensor<3xi1>\n"
        "  %1 = chlo.erf %x : tensor<3xf32> -> tensor<3xf32>\n"
        "  %2 = chlo.is_inf %1 : tensor<3xf32> -> tensor<3xi1>\n"
        "  return %0, %2 : tensor<3xi1>, tensor<3xi1>",
        result="(tensor<3xi1>, tensor<3xi1>)",
    )
    assert [n.op.name for n in graph.nodes] == ["call", "erf", "call"]
    assert [callee.name for callee in graph.callees()] == ["is_inf"]
    found = evaluate(graph, np.float32([0.0, -np.inf, np.nan]))
    np.testing.assert_array_equal(found, [[False, True, False], [False] * 3])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "%0 = stablehlo.custom_call @f(%x) : (tensor<3xf32>) -> tensor<3xf32>",
            "stablehlo.custom_call: the operation is not supported",
        ),
        (
            "%0 = stablehlo.tanh %x {some.thing = 3 : i32} : tensor<3xf32>",
            "stablehlo.tanh: attribute 'some.thing' is not supported",
        ),
        (
            "%1 = stablehlo.convert %x : (tensor<3xf32>) -> tensor<3xcomplex<f32>>\n"
            "%0 = stablehlo.real %1 : (tensor<3xcomplex<f32>>) -> tensor<3xf32>",
            "unsupported element type",
        ),
        (
            "%1 = stablehlo.convert %x : (tensor<3xf32>) -> tensor<?xf32>\n"
            "%0 = stablehlo.convert %1 : (tensor<?xf32>) -> tensor<3xf32>",
            "dynamic dimensions are not supported",
        ),
        (
            "%0 = stablehlo.dot_general %x, %x, contracting_dims = [] x [],"
            " algorithm = <lhs_precision_type = tf32, rhs_precision_type = tf32,"
            " accumulation_type = f32, lhs_component_count = 1,"
            " rhs_component_count = 1, num_primitive_operations = 1,"
            " allow_imprecise_accumulation = false>"
            " : (tensor<3xf32>, tensor<3xf32>) -> tensor<3x3xf32>",
            "stablehlo.dot_general: attribute 'algorithm' is not supported",
        ),
    ],
    ids=["operation", "attribute", "dtype", "dynamic", "algorithm"],
)
def test_what_is_not_supported_is_named_with_its_place(body: str, message: str):
    result = "tensor<3x3xf32>" if "3x3" in body else "tensor<3xf32>"
    with pytest.raises(UnsupportedError) as caught:
        imported(f"{body}\nreturn %0 : {result}", result=result)
    assert caught.value.message == message
    assert caught.value.location is not None
    assert caught.value.location.line == 2


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("module {}", LoadError, "must have a function @main"),
        (
            "func.func @f() { return }\nfunc.func @g() { return }",
            LoadError,
            "received: f, g",
        ),
        ("func.func private @main()", UnsupportedError, "@main has no body"),
        (
            "func.func @main() { call @main() : () -> () return }",
            UnsupportedError,
            "@main calls itself",
        ),
        (
            "func.func @main(%x: tensor<?xf32>) { return }",
            UnsupportedError,
            "dynamic dimensions",
        ),
    ],
    ids=["none", "two", "declared", "recursive", "dynamic"],
)
def test_entries_that_are_refused(text: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        graphc.from_stablehlo(text)


SCATTERS = """
    %0:2 = "stablehlo.scatter"(%x, %y, %i, %u, %v) <{{
      scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0],
        scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}}> ({{
    ^bb0(%a: tensor<f32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<i32>):
      {region}
    }}) : (tensor<3xf32>, tensor<3xi32>, tensor<2x1xi32>, tensor<2xf32>, tensor<2xi32>)
      -> (tensor<3xf32>, tensor<3xi32>)
    return %0#0, %0#1 : tensor<3xf32>, tensor<3xi32>"""


def scatters(region: str) -> Graph:
    return imported(
        SCATTERS.format(region=region),
        "%x: tensor<3xf32>, %y: tensor<3xi32>, %i: tensor<2x1xi32>, "
        "%u: tensor<2xf32>, %v: tensor<2xi32>",
        "(tensor<3xf32>, tensor<3xi32>)",
    )


@pytest.mark.parametrize(
    ("region", "wanted"),
    [
        (
            "%0 = stablehlo.add %a, %c : tensor<f32>\n"
            "%1 = stablehlo.maximum %d, %b : tensor<i32>\n"
            "stablehlo.return %0, %1 : tensor<f32>, tensor<i32>",
            ([1.0, 2.0, 13.0], [9, 2, 5]),
        ),
        (
            "stablehlo.return %a, %d : tensor<f32>, tensor<i32>",
            ([1.0, 2.0, 3.0], [9, 2, 5]),
        ),
    ],
)
def test_scatters_of_several_operands(region: str, wanted: tuple[list, list]):
    x, u = np.array([1, 2, 3], np.float32), np.array([10, 20], np.float32)
    y, v = np.array([4, 2, 3], np.int32), np.array([5, 9], np.int32)
    found = evaluate(scatters(region), x, y, np.array([[2], [5]]).astype("i4"), u, v)
    indices = np.array([[2], [0]], np.int32)
    again = evaluate(scatters(region), x, y, indices, u, v)
    floats, integers = wanted
    floats = [floats[0] + 20 * (floats[2] > 3), *floats[1:]]
    assert [again[0].tolist(), again[1].tolist()] == [floats, integers]
    assert found[1].tolist() == [4, 2, 5]


@pytest.mark.parametrize("other", ["%a", "%e"])
def test_scatters_that_mix_their_operands_are_refused(other: str):
    mixed = (
        "%e = stablehlo.convert %d : (tensor<i32>) -> tensor<f32>\n"
        f"%0 = stablehlo.add %a, {other} : tensor<f32>\n"
        "stablehlo.return %0, %b : tensor<f32>, tensor<i32>"
    )
    with pytest.raises(UnsupportedError, match="combining region is not supported"):
        scatters(mixed)


def test_reductions_of_an_element_with_itself_are_no_sums():
    graph = imported(
        """
        %0 = stablehlo.constant dense<0.0> : tensor<f32>
        %1 = "stablehlo.reduce"(%x, %0) <{dimensions = array<i64: 0>}> ({
        ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %2 = stablehlo.add %b, %b : tensor<f32>
          stablehlo.return %2 : tensor<f32>
        }) : (tensor<3xf32>, tensor<f32>) -> tensor<f32>
        return %1 : tensor<f32>""",
        result="tensor<f32>",
    )
    assert [node.op.name for node in graph.nodes] == ["reduce"]
