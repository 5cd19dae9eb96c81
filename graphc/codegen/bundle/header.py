"""The header of a bundle: what C programs call."""

from __future__ import annotations

from collections.abc import Iterable

from graphc.codegen.bundle.names import comment, element, identifiers
from graphc.codegen.bundle.records import Bundle

CODES = (
    ("OK", "success"),
    ("BAD_ARGUMENT", "an input is missing, or has a size that there is no program for"),
    ("NO_DRIVER", "no NVIDIA driver, or one that is too old"),
    ("WRONG_GPU", "the GPU is of another architecture"),
    ("DRIVER_FAILED", "a call of the driver failed"),
    ("NO_MEMORY", "the GPU or the host has not that much memory"),
)
"""What functions return, from 0."""


def header(bundle: Bundle) -> str:
    """The text of the header."""
    name = bundle.name
    guard = f"{name.upper()}_H"
    parts = [
        f"/* {comment(bundle.title)}",
        f"   Machine code for {bundle.architecture}; it needs the NVIDIA driver alone.",
        "   One thread at a time may call these functions: they share the memory on the",
        "   GPU and the message of the last error. Threads may take turns, behind a lock",
        "   of yours; each call makes the GPU's primary context that of its thread. */\n",
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        _codes(name),
        _inputs(bundle),
        _outputs(bundle),
        _functions(bundle),
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
    ]
    return "\n".join(parts)


def _codes(name: str) -> str:
    rows = [
        f"    {name.upper()}_{code} = {number}, /* {meaning} */"
        for number, (code, meaning) in enumerate(CODES)
    ]
    return "\n".join(["enum {", *rows, "};\n"])


def _struct(name: str, fields: Iterable[str]) -> str:
    # C has no struct without members.
    listed = [f"    {field}" for field in fields] or ["    char none;"]
    return "\n".join(["typedef struct {", *listed, f"}} {name};\n"])


def _inputs(bundle: Bundle) -> str:
    symbols = [symbol.name for symbol in bundle.symbols]
    names = identifiers([*symbols, *(array.name for array in bundle.inputs)])
    sizes = [
        f"int64_t {name}; /* {symbol} */"
        for name, symbol in zip(names, bundle.symbols, strict=False)
    ]
    arrays = [
        f"const {element(array.type.dtype)} *{name};"
        f" /* {comment(str(array.type))}{_called(array.name, name)} */"
        for name, array in zip(names[len(symbols) :], bundle.inputs, strict=True)
    ]
    text = "/* Arrays in the host's memory, without gaps, the last axis nearest."
    text += "\n   Elements that C has no type for are their bits. */\n"
    return text + _struct(f"{bundle.name}_inputs", [*sizes, *arrays])


def _outputs(bundle: Bundle) -> str:
    names = identifiers([array.name for array in bundle.outputs])
    fields = [
        f"{element(array.type.dtype)} *{name};"
        f" /* {comment(str(array.type))}{_called(array.name, name)} */"
        for name, array in zip(names, bundle.outputs, strict=True)
    ]
    text = "/* Where results are written; NULL for what is not wanted. */\n"
    return text + _struct(f"{bundle.name}_outputs", fields)


def _called(name: str, field: str) -> str:
    return "" if name == field else f", {comment(name)}"


def _functions(bundle: Bundle) -> str:
    name = bundle.name
    found = [
        "/* Loads everything on a GPU. The first run does so on GPU 0. */",
        f"int {name}_open(int gpu);\n",
        "/* Runs once; returns when the outputs are written. */"
        if not bundle.written
        else "/* Runs once, and replaces the state; returns when outputs are written. */",
        f"int {name}_run(const {name}_inputs *inputs, {name}_outputs *outputs);\n",
    ]
    if bundle.written:
        tensors = [
            f"   {number}: {comment(tensor.name)} {comment(str(tensor.type))}"
            for number, tensor in enumerate(bundle.state)
        ]
        found += [
            "\n".join(
                ["/* Copy a tensor of the state to the host, and back:", *tensors]
            )
            + " */",
            f"int {name}_read_state(int tensor, void *to);",
            f"int {name}_write_state(int tensor, const void *from);\n",
        ]
    found += [
        "/* What the last error was, in words. */",
        f"const char *{name}_error(void);\n",
        "/* Runs are recorded as CUDA graphs when they come again. Why the last one was",
        '   not, and will not be, in words; "" otherwise. */',
        f"const char *{name}_unrecorded(void);\n",
        "/* Frees everything; after DRIVER_FAILED, do so before anything else. */",
        f"void {name}_close(void);\n",
    ]
    return "\n".join(found)
