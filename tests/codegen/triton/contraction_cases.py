"""Kernel graphs that multiply matrices."""

GELU = """
      %cube = multiply(%z, %z) : {type}
      %cube1 = multiply(%cube, %z) : {type}
      %cube2 = multiply(%cube1, 0.044715:{dtype}) : {type}
      %inner = add(%z, %cube2) : {type}
      %scaled = multiply(%inner, 0.7978845608:{dtype}) : {type}
      %t = tanh(%scaled) : {type}
      %t1 = add(%t, 1.0:{dtype}) : {type}
      %half = multiply(%z, 0.5:{dtype}) : {type}
      %y = multiply(%half, %t1) : {type}
"""


def matmul(
    m: int, n: int, k: int, dtype: str = "bf16", form: str = "NN", name: str = "matmul"
) -> str:
    """A product of matrices; `form` says which are transposed, as BLAS does."""
    a = f"{m},{k}" if form[0] == "N" else f"{k},{m}"
    b = f"{k},{n}" if form[1] == "N" else f"{n},{k}"
    terms = f"[[{1 - 'NT'.index(form[0])}],[{'NT'.index(form[1])}]]"
    return f"""
    graph @{name}(%x: {dtype}[{a}], %w: {dtype}[{b}]) -> ({dtype}[{m},{n}]) {{
      %y = dot_general(%x, %w) {{contract={terms}}} : {dtype}[{m},{n}]
      return %y
    }}"""


def linear_gelu(m: int, n: int, k: int, dtype: str = "bf16") -> str:
    """A dense layer with GELU; what goes into the activation is a result as well."""
    type = f"{dtype}[{m},{n}]"
    return f"""
    graph @linear_gelu(%x: {dtype}[{m},{k}], %w: {dtype}[{k},{n}], %b: {dtype}[{n}])
        -> ({type}, {type}) {{
      %p = dot_general(%x, %w) {{contract=[[1],[0]]}} : {type}
      %bias = broadcast_in_dim(%b) {{dims=[1], shape=[{m},{n}]}} : {type}
      %z = add(%p, %bias) : {type}
{GELU.format(type=type, dtype=dtype)}
      return %z, %y
    }}"""


def convolution(
    x: tuple[int, ...],
    kernel: tuple[int, ...],
    result: tuple[int, ...],
    *,
    labels: str = "b01f_01io->b01f",
    padding: object = "[[1,1],[1,1]]",
    strides: str = "[1,1]",
    dilation: str = "[1,1]",
    input_dilation: str = "[1,1]",
    groups: int = 1,
    batch_groups: int = 1,
    dtype: str = "bf16",
    name: str = "convolution",
) -> str:
    """A convolution alone."""
    types = [f"{dtype}[{','.join(map(str, shape))}]" for shape in (x, kernel, result)]
    return f"""
    graph @{name}(%x: {types[0]}, %w: {types[1]}) -> ({types[2]}) {{
      %y = convolution(%x, %w) {{batch_groups={batch_groups}, groups={groups},
        input_dilation={input_dilation}, kernel_dilation={dilation},
        labels="{labels}", padding={padding}, strides={strides}}} : {types[2]}
      return %y
    }}"""


BATCHED = """
    graph @batched(%x: f16[2,24,2,9], %w: f16[24,2,5,2,6], %r: f16[6,2,5,9])
        -> (f16[6,2,5,9]) {
      %p = dot_general(%x, %w) {batch=[[0],[1]], contract=[[1,2],[0,3]]} : f16[2,9,5,6]
      %t = transpose(%p) {permutation=[3,0,2,1]} : f16[6,2,5,9]
      %y = add(%t, %r) : f16[6,2,5,9]
      return %y
    }"""
"""Several dimensions of each kind, and a residual that lies otherwise than the result."""

GATED = """
    graph @gated(%x: f32[20,33], %s: f32[33], %w: f32[33,40], %v: f32[33,40])
        -> (f32[20,40]) {
      %b = broadcast_in_dim(%s) {dims=[1], shape=[20,33]} : f32[20,33]
      %xs = add(%x, %b) : f32[20,33]
      %p = dot_general(%xs, %w) {contract=[[1],[0]]} : f32[20,40]
      %q = dot_general(%xs, %v) {contract=[[1],[0]]} : f32[20,40]
      %t = tanh(%q) : f32[20,40]
      %y = multiply(%t, %p) : f32[20,40]
      return %y
    }"""
"""Two products of one operand, which is shifted first: zeros are no longer zeros."""

PREPARED = """
    graph @prepared(%x: f16[6,5,20], %i: i32[24], %w: f16[30,20])
        -> (bf16[24,32]) {
      %t = transpose(%x) {permutation=[2,0,1]} : f16[20,6,5]
      %m = reshape(%t) {shape=[20,30]} : f16[20,30]
      %c = convert(%m) {dtype="bf16"} : bf16[20,30]
      %p = pad(%c, 2.0:bf16) {high=[1,1], low=[0,1]} : bf16[21,32]
      %g = gather(%w, %i) {collapsed_dims=[0], index_axis=1, offset_dims=[1],
        slice_sizes=[1,20], start_index_map=[0]} : f16[24,20]
      %h = convert(%g) {dtype="bf16"} : bf16[24,20]
      %h1 = pad(%h, 1.0:bf16) {high=[0,1], low=[0,0]} : bf16[24,21]
      %y = dot_general(%h1, %p) {contract=[[1],[0]]} : bf16[24,32]
      return %y
    }"""
"""Operands that are moved, converted, padded and gathered."""

WEIGHT_GRADIENT = convolution(
    (4, 5, 5, 8), (4, 5, 5, 20), (3, 3, 8, 20), labels="f01b_i01o->01bf"
)
"""The gradient of the weights of a convolution: its window is as large as an image."""

TILE_SUMS = """
    graph @tile_sums(%x: f32[80,40], %w: f32[40,37], %z: f32[80,37])
        -> (f32[5,37], f32[80,37], f32[5,37], f32[5,37]) {
      %p = dot_general(%x, %w) {contract=[[1],[0]]} : f32[80,37]
      %y = multiply(%p, %z) : f32[80,37]
      %r = reshape(%y) {shape=[5,16,37]} : f32[5,16,37]
      %s = reduce_sum(%r) {axes=[1]} : f32[5,37]
      %d = multiply(%y, %p) : f32[80,37]
      %e = reshape(%d) {shape=[5,16,37]} : f32[5,16,37]
      %t = reduce_sum(%e) {axes=[1]} : f32[5,37]
      %u = reduce_max(%r) {axes=[1]} : f32[5,37]
      return %s, %y, %t, %u
    }"""
"""A product, with the sums and the maxima of 16 of its rows each."""

CASES = {
    "odd sizes": matmul(70, 50, 35, "f32"),
    "a bias and gelu": linear_gelu(40, 24, 48),
    "batches": BATCHED,
    "two products": GATED,
    "prepared operands": PREPARED,
    "sums of rows": TILE_SUMS,
    "strides": convolution(
        (2, 9, 9, 16), (3, 3, 16, 24), (2, 5, 5, 24), strides="[2,2]"
    ),
    "groups and input dilation": convolution(
        (1, 5, 5, 12),
        (3, 3, 6, 10),
        (1, 9, 9, 10),
        groups=2,
        input_dilation="[2,2]",
        dtype="f32",
    ),
    "gradient of weights": WEIGHT_GRADIENT,
}

MORE = {
    "NT": matmul(33, 17, 40, form="NT"),
    "TN": matmul(33, 17, 40, "f16", form="TN"),
    "TT": matmul(33, 17, 40, "f32", form="TT"),
    "whole tiles": matmul(32, 32, 64),
    "float64": matmul(20, 18, 33, "f64"),
    "small integers": matmul(20, 18, 33, "i8"),
    "channels first": convolution(
        (2, 20, 6, 6), (24, 20, 3, 3), (2, 24, 6, 6), labels="bf01_oi01->bf01"
    ),
    "dilation": convolution(
        (2, 8, 8, 16),
        (3, 3, 16, 8),
        (2, 8, 8, 8),
        dilation="[2,2]",
        padding="[[2,2],[2,2]]",
    ),
    "a window of one": convolution(
        (2, 7, 7, 20),
        (1, 1, 20, 24),
        (2, 4, 4, 24),
        padding="[[0,0],[0,0]]",
        strides="[2,2]",
    ),
    "few features": convolution(
        (2, 9, 9, 3), (5, 5, 3, 8), (2, 9, 9, 8), padding="[[2,2],[2,2]]"
    ),
    "groups of the batch": convolution(
        (4, 6, 6, 16),
        (3, 3, 16, 12),
        (2, 6, 6, 12),
        batch_groups=2,
        dtype="f32",
    ),
    "sums behind a convolution": """
        graph @f(%x: f32[4,8,8,5], %w: f32[3,3,5,16]) -> (f32[4,8,8,16], f32[16,16]) {
          %y = convolution(%x, %w) {batch_groups=1, groups=1, input_dilation=[1,1],
            kernel_dilation=[1,1], labels="b01f_01io->b01f", padding=[[1,1],[1,1]],
            strides=[1,1]} : f32[4,8,8,16]
          %r = reshape(%y) {shape=[16,16,16]} : f32[16,16,16]
          %s = reduce_sum(%r) {axes=[1]} : f32[16,16]
          return %y, %s
        }""",
    "one spatial dimension": convolution(
        (3, 20, 16),
        (4, 16, 8),
        (3, 20, 8),
        labels="b0f_0io->b0f",
        padding="[[3,0]]",
        strides="[1]",
        dilation="[1]",
        input_dilation="[1]",
    ),
    "three spatial dimensions": convolution(
        (1, 4, 4, 4, 8),
        (2, 2, 2, 8, 8),
        (1, 3, 3, 3, 8),
        labels="b012f_012io->b012f",
        padding="[[0,0],[0,0],[0,0]]",
        strides="[1,1,1]",
        dilation="[1,1,1]",
        input_dilation="[1,1,1]",
    ),
}
