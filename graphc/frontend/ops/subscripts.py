"""Einstein summation, and rearranging dimensions by a pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import permuted, reshaped
from graphc.frontend.ops.creation import diagonal
from graphc.frontend.ops.elementwise import multiply
from graphc.frontend.ops.linalg import wide_result
from graphc.frontend.ops.operands import (
    TensorLike,
    materialize,
    promote,
    read,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.ops.contraction import labelled_dot
from graphc.ir.types import BOOL, I8, I32, product

__all__ = ["einsum", "rearrange"]

# -- einsum ----------------------------------------------------------------------------


@op
def einsum(subscripts: str, *operands: TensorLike, **kwargs: Any) -> Tensor:
    """Sums of products, with the dimensions named by letters.

    Args:
        subscripts: The letters of each operand's dimensions, such as
            ``"bij,bjk->bik"``. ``...`` stands for dimensions that are broadcast.
            Without an arrow the result has the letters that occur once, in order.
        *operands: A tensor for each.
        **kwargs: Accepted as in Keras: hints for other backends.

    Returns:
        A tensor with the letters behind the arrow as dimensions; int32 for int8.

    Raises:
        GraphError: If the subscripts are malformed or do not fit the operands.
    """
    if not operands:
        refuse("Expected at least one operand. Received: none")
    values = [materialize(x) for x in promote(*operands)]
    labels, result = _parse(subscripts, values)
    is_bool = values[0].dtype is BOOL
    if is_bool:
        values = [ir_ops.convert(v, dtype=I32) for v in values]
    terms = [_once(v, own) for v, own in zip(values, labels, strict=True)]
    terms = _squeezed(terms)
    found, own = terms[0]
    for position, (other, other_labels) in enumerate(terms[1:], 1):
        later = {x for _, rest in terms[position + 1 :] for x in rest}
        needed = later.union(result)
        found, own = _multiplied(found, own, other, other_labels, needed)
    found, own = _summed(found, own, set(result))
    found = permuted(found, [own.index(label) for label in result])
    if found.dtype is I8:
        found = ir_ops.convert(found, dtype=I32)
    return tensor(ir_ops.convert(found, dtype=BOOL) if is_bool else found)


def _parse(
    subscripts: str, values: Sequence[Value]
) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand and of the result, with ``...`` spelled out."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(values):
        refuse(
            f"Expected {len(terms)} operands for subscripts {subscripts!r}. "
            f"Received: {len(values)}"
        )
    labels = [
        _spelled(term, v.type.rank, subscripts)
        for term, v in zip(terms, values, strict=True)
    ]
    hidden = max((own for own in map(_hidden, labels)), key=len)
    if not arrow:
        counts = Counter(label for own in labels for label in own)
        once = sorted(x for x, n in counts.items() if n == 1 and x.isalpha())
        return labels, [*hidden, *once]
    before, dots, behind = right.partition("...")
    result = [*before, *(hidden if dots else []), *behind]
    known = {label for own in labels for label in own}
    if len(set(result)) != len(result) or not set(result) <= known:
        refuse(
            "Expected result labels that are distinct and occur in an operand. "
            f"Received: subscripts={subscripts!r}"
        )
    return labels, result


def _hidden(labels: Sequence[str]) -> list[str]:
    return [label for label in labels if not label.isalpha()]


def _spelled(term: str, rank: int, subscripts: str) -> list[str]:
    """The labels of one term; those of ``...`` are numbers, counted from the last."""
    before, dots, behind = term.partition("...")
    count = rank - len(before) - len(behind)
    letters = before + behind
    if (letters and not letters.isalpha()) or count < 0 or (count > 0 and not dots):
        refuse(
            f"Expected one letter for each of {rank} dimensions. "
            f"Received: term {term!r} of subscripts={subscripts!r}"
        )
    return [*before, *(str(n) for n in reversed(range(count))), *behind]


Term = tuple[Value, list[str]]


def _once(x: Value, labels: list[str]) -> Term:
    """The diagonals of dimensions that have the same label."""
    for label, count in Counter(labels).items():
        for _ in range(count - 1):
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = materialize(value(diagonal(tensor(x), 0, first, second)))
            rest = [v for d, v in enumerate(labels) if d not in (first, second)]
            labels = [*rest, label]
    return x, labels


def _squeezed(terms: Sequence[Term]) -> list[Term]:
    """Drops dimensions of size 1 whose label has another size in another term."""
    sizes: dict[str, Dim] = {}
    for x, labels in terms:
        for label, size in zip(labels, x.shape, strict=True):
            if sizes.get(label, 1) == 1:
                sizes[label] = size
            elif size not in (1, sizes[label]):
                refuse(
                    f"Expected one size for label {label!r}. "
                    f"Received: {sizes[label]} and {size}"
                )
    found: list[Term] = []
    for x, labels in terms:
        kept = [
            (label, size)
            for label, size in zip(labels, x.shape, strict=True)
            if size == sizes[label]
        ]
        found.append(
            (reshaped(x, [size for _, size in kept]), [label for label, _ in kept])
        )
    return found


def _summed(x: Value, labels: list[str], needed: set[str]) -> Term:
    axes = [d for d, label in enumerate(labels) if label not in needed]
    if not axes:
        return x, labels
    kept = [label for label in labels if label in needed]
    if x.dtype is I8:
        x = ir_ops.convert(x, dtype=I32)
    return ir_ops.reduce_sum(x, axes=axes), kept


def _multiplied(
    a: Value, a_labels: list[str], b: Value, b_labels: list[str], needed: set[str]
) -> Term:
    """The product of two terms, summed over what nothing else needs."""
    a, a_labels = _summed(a, a_labels, needed.union(b_labels))
    b, b_labels = _summed(b, b_labels, needed.union(a_labels))
    shared = [label for label in a_labels if label in b_labels]
    kept = [label for label in a_labels if label in needed]
    result = [*kept, *(label for label in b_labels if label not in a_labels)]
    by_element = all(label in needed for label in shared)
    if a.dtype is not b.dtype or (by_element and a.dtype is I8):
        a, b = (ir_ops.convert(x, dtype=I32) for x in (a, b))
    if by_element:
        sizes = dict(zip([*a_labels, *b_labels], [*a.shape, *b.shape], strict=True))
        shape = [sizes[label] for label in result]
        wide = [
            tensor(_placed(x, own, result, shape))
            for x, own in ((a, a_labels), (b, b_labels))
        ]
        return materialize(value(multiply(*wide))), result
    batch = [label for label in shared if label in needed]
    free = [label for label in result if label not in batch]
    dtype = wide_result(a)
    found = labelled_dot(a, a_labels, b, b_labels, [*batch, *free], dtype)
    return found, [*batch, *free]


def _placed(
    x: Value, labels: list[str], result: list[str], shape: Sequence[Dim]
) -> Value:
    if labels == result:
        return x
    dims = [result.index(label) for label in labels]
    return ir_ops.broadcast_in_dim(x, shape=shape, dims=dims)


# -- rearrange -------------------------------------------------------------------------


@op
def rearrange(tensor: TensorLike, pattern: str, **axes_lengths: int) -> Tensor:
    """Splits, reorders and joins dimensions as a pattern says.

    Args:
        tensor: A tensor.
        pattern: The names of the dimensions before and after an arrow, those that are
            split or joined in parentheses, as in ``"b (h d) -> b h d"``. ``1`` is a
            dimension of size 1.
        **axes_lengths: Sizes by name; one of each group may be left out.

    Returns:
        The elements in the new order and shape.

    Raises:
        GraphError: If the pattern is malformed or does not fit.
    """
    return _rearrange(read(tensor), pattern, axes_lengths)


def _rearrange(x: Value, pattern: str, lengths: dict[str, int]) -> Tensor:
    left, arrow, right = pattern.partition("->")
    groups, target = _groups(left, pattern), _groups(right, pattern)
    names = [name for group in groups for name in group]
    wanted = [name for group in target for name in group]
    if not arrow or sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        refuse(
            "Expected the same names, each once, on both sides of '->'. "
            f"Received: pattern={pattern!r}"
        )
    if len(groups) != x.type.rank:
        refuse(
            f"Expected a pattern of {x.type.rank} dimensions. "
            f"Received: pattern={pattern!r}"
        )
    sizes: dict[str, Dim] = dict(lengths)
    for group, size in zip(groups, x.shape, strict=True):
        _measure(group, size, sizes, pattern)
    apart = reshaped(x, [sizes[name] for name in names])
    ordered = permuted(apart, [names.index(name) for name in wanted])
    shape = [product(sizes[name] for name in group) for group in target]
    return tensor(reshaped(ordered, shape))


def _groups(side: str, pattern: str) -> list[list[str]]:
    """The names of each dimension of one side of a pattern; none for size 1."""
    groups: list[list[str]] = []
    inside = False
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word in "()":
            if inside == (word == "("):
                refuse(
                    f"Expected parentheses that match. Received: pattern={pattern!r}"
                )
            inside = word == "("
            groups += [[]] if inside else []
        elif word == "1":
            groups += [] if inside else [[]]
        elif not word.isidentifier():
            refuse(f"Expected names, got {word!r}. Received: pattern={pattern!r}")
        elif inside:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _measure(
    group: Sequence[str], size: Dim, sizes: dict[str, Dim], pattern: str
) -> None:
    """Notes the sizes of the dimensions that one of `size` splits into."""
    unknown = [name for name in group if name not in sizes]
    if len(unknown) > 1:
        refuse(f"Expected the sizes of {unknown[1:]}. Received: pattern={pattern!r}")
    known = product(sizes[name] for name in group if name in sizes)
    if unknown:
        sizes[unknown[0]] = size // known if known != 0 else 0
    if product(sizes[name] for name in group) != size:
        refuse(
            f"Expected sizes of ({' '.join(group)}) with the product {size}. "
            f"Received: pattern={pattern!r}"
        )
