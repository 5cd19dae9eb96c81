"""The files of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from graphc.codegen.bundle.data import Data, Part, data_of
from graphc.codegen.bundle.header import header
from graphc.codegen.bundle.names import expression, identifiers, quoted
from graphc.codegen.bundle.records import Array, Bundle, Program
from graphc.codegen.bundle.steps import Statements

RUNNER = "runner.h"
"""The part that is the same in all bundles."""

COPIED_BYTES = 4096
"""Up to how large tensors of the state are copied to where they were."""


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """The files of a C program by name, the same bytes for the same bundle.

    Raises:
        UnsupportedError: If a plan needs graphc on the host, or there are too many
            bytes of weights.
    """
    name, data = bundle.name, data_of(bundle)
    runner = files("graphc.codegen.bundle").joinpath(RUNNER).read_text("utf-8")
    texts = {
        f"{name}.h": header(bundle),
        f"{name}.c": _source(bundle, data),
        f"{name}_data.S": _assembly(name),
        f"{name}_{RUNNER}": runner,
        "Makefile": _makefile(name),
    }
    found = {file: text.encode() for file, text in texts.items()}
    return found | {f"{name}_data.bin": bytes(data.content)}


def handed_over(
    bundle: Bundle, program: Program
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What happens to the state after a run: copies, in order, and exchanges of memory.

    A result that replaces a tensor may lie in memory of its own, or in another's. If it
    is small it is copied, so that the next run finds the same addresses. Or else that
    memory becomes the tensor's, and what the tensor had goes where it came from.

    Returns:
        Pairs of regions: what is written and what is read; then what gets other memory,
        and whose that was.
    """
    first, regions = len(bundle.inputs), program.plan.results
    source = {
        first + place: region
        for place, (_, region) in zip(
            bundle.written, regions[len(bundle.outputs) :], strict=True
        )
        if region != first + place
    }
    copies: list[tuple[int, int]] = []
    moves: list[tuple[int, int]] = []
    read = set(source.values())
    for head in [region for region in source if region not in read]:
        links: list[tuple[int, int]] = []
        region = head
        while region in source:
            links.append((region, source.pop(region)))
            region = links[-1][1]
        if program.plan.regions[head].bytes <= COPIED_BYTES:
            copies += links
        else:
            moves += [*links, (region, head)]
    return copies, sorted([*moves, *source.items()])  # what is left exchanges places


def _source(bundle: Bundle, data: Data) -> str:
    name = bundle.name
    most = max([1, *(len(k.pointers) for p in bundle.programs for k in p.plan.kernels)])
    ranks = max([1, *(a.type.rank for a in (*bundle.inputs, *bundle.outputs))])
    parts = [
        f"/* {name}: launch plans and tables, printed by graphc. */\n",
        f"#define MAX_RANK {ranks}\n#define MAX_POINTERS {most}\n",
        f'#include "{name}.h"\n#include "{name}_{RUNNER}"\n',
        f"extern const unsigned char {name}_data[]; /* {name}_data.S */\n",
        _tables(bundle, data),
    ]
    rows: list[str] = []
    for number, program in enumerate(bundle.programs):
        sizes = ", ".join(f"{n} = {size}" for n, size in sorted(program.sizes.items()))
        parts.append(f"/* -- program {number}{f': {sizes}' if sizes else ''} -- */\n")
        steps = Statements(program.plan, data.numbers[number])
        parts.append(steps.function(f"run_{number}"))
        tables, row = _program(bundle, number, data.constants[number])
        parts.append(tables)
        rows.append(row)
    parts += [_table("Program", "programs", rows), _shapes(bundle)]
    parts.append(_bundle(bundle, data))
    return "\n".join([*parts, _interface(bundle)])


def _table(type: str, name: str, rows: Sequence[str]) -> str:
    """A constant array. C has no empty ones: then it has a row of zeros."""
    body = "".join(f"    {row},\n" for row in rows or ["{0}"])
    return f"static const {type} {name}[] = {{\n{body}}};\n"


def _numbers(type: str, name: str, numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers or [0]))
    return f"static const {type} {name}[] = {{{listed}}};\n"


def _pairs(name: str, pairs: Sequence[tuple[int, int]]) -> str:
    listed = ", ".join(f"{{{a}, {b}}}" for a, b in pairs) or "{0}"
    return f"static const int {name}[][2] = {{{listed}}};\n"


def _part(part: Part) -> str:
    return f"{{{part[0]}, {part[1]}}}"


def _tables(bundle: Bundle, data: Data) -> str:
    kernels = [
        f"{{{k.image}, {quoted(k.entry)}, {{{k.grid[0]}, {k.grid[1]}, {k.grid[2]}}},"
        f" {k.threads}, {k.shared}, {k.scratch}}}"
        for k in data.kernels
    ]
    symbols = [
        f"{{{quoted(s.name)}, {s.low or 0}, {len(s.compiled)}, sizes_of_{i}}}"
        for i, s in enumerate(bundle.symbols)
    ]
    return "\n".join(
        [
            _table("Part", "images", [*map(_part, data.images)]),
            _table("Kernel", "kernels", kernels),
            *(
                _numbers("int64_t", f"sizes_of_{i}", s.compiled)
                for i, s in enumerate(bundle.symbols)
            ),
            _table("Symbol", "symbols", symbols),
            _table("Array", "inputs", [*map(_array, bundle.inputs)]),
            _table("Array", "outputs", [*map(_array, bundle.outputs)]),
            _table("Part", "state", [*map(_part, data.state)]),
            _numbers("int", "told", bundle.told),
        ]
    )


def _array(array: Array) -> str:
    item = max(8, array.type.dtype.bits) // 8
    return f"{{{quoted(array.name)}, {item}, {array.type.rank}}}"


def _program(bundle: Bundle, number: int, constants: Part) -> tuple[str, str]:
    """The tables of a program, and its row in the table of programs."""
    program = bundle.programs[number]
    plan = program.plan
    copies, moves = handed_over(bundle, program)
    sizes = [program.sizes[symbol.name] for symbol in bundle.symbols]
    outputs = [region for _, region in plan.results[: len(bundle.outputs)]]
    tables = [
        _numbers("int64_t", f"program_sizes_{number}", sizes),
        _numbers("size_t", f"regions_{number}", [r.bytes for r in plan.regions]),
        _numbers("int", f"outputs_{number}", outputs),
        _pairs(f"copies_{number}", copies),
        _pairs(f"moves_{number}", moves),
    ]
    obstacle = program.obstacle
    row = (
        f"{{program_sizes_{number}, {len(plan.regions)}, regions_{number},"
        f" {_part(constants)}, outputs_{number},"
        f" {len(copies)}, copies_{number}, {len(moves)}, moves_{number}, run_{number},"
        f" {'NULL' if obstacle is None else quoted(obstacle)}}}"
    )
    return "".join(tables), row


def _shapes(bundle: Bundle) -> str:
    symbols = {s.name: f"n[{i}]" for i, s in enumerate(bundle.symbols)}
    lines = [
        f"    shape[{number}][{axis}] = {expression(dim, symbols)};"
        for number, array in enumerate((*bundle.inputs, *bundle.outputs))
        for axis, dim in enumerate(array.type.shape)
    ]
    head = "static void shapes(const int64_t *n, int64_t (*shape)[MAX_RANK])"
    return "\n".join([head, "{", "    (void)n, (void)shape;", *lines, "}", ""])


def _bundle(bundle: Bundle, data: Data) -> str:
    major, minor = divmod(int(bundle.architecture.removeprefix("sm_")), 10)
    fields: Mapping[str, object] = {
        "major": major,
        "minor": minor,
        "data": f"{bundle.name}_data",
        "image_count": len(data.images),
        "kernel_count": len(data.kernels),
        "symbol_count": len(bundle.symbols),
        "input_count": len(bundle.inputs),
        "output_count": len(bundle.outputs),
        "state_count": len(bundle.state),
        "told_count": len(bundle.told),
        "program_count": len(bundle.programs),
    }
    tables = ("images", "kernels", "symbols", "inputs", "outputs", "state", "told")
    fields = {**fields, **{n: n for n in (*tables, "programs", "shapes")}}
    body = "".join(f"    .{name} = {value},\n" for name, value in fields.items())
    return (
        f"static const Bundle bundle = {{\n{body}}};\n\n"
        "static Runner runner = {.bundle = &bundle};\n"
    )


def _interface(bundle: Bundle) -> str:
    """The functions that the header declares."""
    name = bundle.name
    symbols = [symbol.name for symbol in bundle.symbols]
    fields = identifiers([*symbols, *(array.name for array in bundle.inputs)])
    given = [f"inputs->{field}" for field in fields]
    results = identifiers([array.name for array in bundle.outputs])
    wanted = [f"outputs->{field}" for field in results]
    lines = [
        *_function(f"int {name}_open(int gpu)", ["return open_runner(&runner, gpu);"]),
        *_function(
            f"int {name}_run(const {name}_inputs *inputs, {name}_outputs *outputs)",
            [
                "if (inputs == NULL || outputs == NULL)",
                '    return fail(&runner, BAD_ARGUMENT, "inputs or outputs are NULL");',
                f"const int64_t sizes[] = {{{', '.join(given[: len(symbols)] or '0')}}};",
                "const void *const arrays[] ="
                f" {{{', '.join(given[len(symbols) :] or ['NULL'])}}};",
                f"void *const results[] = {{{', '.join(wanted or ['NULL'])}}};",
                "return run_bundle(&runner, sizes, arrays, results);",
            ],
        ),
    ]
    if bundle.written:
        for word, arguments, pair in (
            ("read", "void *to", "to, NULL"),
            ("write", "const void *from", "NULL, from"),
        ):
            lines += _function(
                f"int {name}_{word}_state(int tensor, {arguments})",
                [f"return move_state(&runner, tensor, {pair});"],
            )
    lines += _function(f"const char *{name}_error(void)", ["return runner.message;"])
    reason = 'return runner.unrecorded ? runner.unrecorded : "";'
    lines += _function(f"const char *{name}_unrecorded(void)", [reason])
    lines += _function(f"void {name}_close(void)", ["close_runner(&runner);"])
    return "\n".join(lines)


def _function(head: str, body: Sequence[str]) -> Iterator[str]:
    yield from (head, "{", *(f"    {line}" for line in body), "}", "")


def _assembly(name: str) -> str:
    return (
        f"/* {name}: machine code, constants and weights. */\n"
        "    .section .rodata\n"
        f"    .global {name}_data\n"
        "    .balign 64\n"
        f"{name}_data:\n"
        f'    .incbin "{name}_data.bin"\n'
        '    .section .note.GNU-stack,"",%progbits\n'
    )


def _makefile(name: str) -> str:
    return f"""\
# make, then: cc program.c -I DIR DIR/lib{name}.a -ldl
CFLAGS ?= -O2

lib{name}.a: {name}.o {name}_data.o
\trm -f $@
\t$(AR) rcs $@ $^

{name}.o: {name}.c {name}.h {name}_{RUNNER}
\t$(CC) -std=gnu11 -fPIC $(CFLAGS) -c -o $@ $<

{name}_data.o: {name}_data.S {name}_data.bin
\t$(CC) -fPIC -c -o $@ $<

clean:
\trm -f lib{name}.a {name}.o {name}_data.o

.PHONY: clean
"""
