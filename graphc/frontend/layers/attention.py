"""Multi-head attention, with a key and a value for each head or for several."""

from __future__ import annotations

import math
import string
from typing import Any

from graphc.frontend import constraints, initializers, ops, random, regularizers
from graphc.frontend.arguments import positive_integer
from graphc.frontend.layers.attention_axes import AttentionAxes
from graphc.frontend.layers.einsum_dense import EinsumDense
from graphc.frontend.layers.layer import Layer

_WEIGHT_OPTIONS = {
    f"{weight}_{kind}": {
        "initializer": initializers,
        "regularizer": regularizers,
        "constraint": constraints,
    }[kind]
    for weight in ("kernel", "bias")
    for kind in ("initializer", "regularizer", "constraint")
}


class HeadAttention(Layer):
    """The base of attention layers with heads: what they build and compute.

    Args:
        query_heads: The number of the query's heads.
        key_heads: The number of the key's and value's, which divides it.
        key_size: The size of a head's query and key.
        value_size: The size of a head's value.
        dropout: The fraction of attention weights to drop in training.
        use_bias: Whether the projections have biases.
        output_shape: The sizes of the output's axes in place of the query's features;
            as many as the query's features if it is None.
        seed: A seed for dropout.
        sliding_window: The least distance of steps that do not see each other; None if
            all do.
        use_gate: Whether what heads return is multiplied by the sigmoid of a
            projection of the query.
        attention_axes: The axes that steps lie along; all between the batch and the
            features if it is None.
        flash_attention: Accepted as in Keras: the compiler chooses the kernel.
        keywords: ``kernel_`` and ``bias_`` ``initializer``, ``regularizer`` and
            ``constraint`` of the projections, and what `Layer` takes.

    Raises:
        ValueError: If `sliding_window` is no positive integer.
    """

    def __init__(
        self,
        query_heads: int,
        key_heads: int,
        key_size: int,
        value_size: int,
        *,
        dropout: float,
        use_bias: bool,
        output_shape: Any,
        seed: int | None,
        sliding_window: int | None,
        use_gate: bool,
        attention_axes: Any = None,
        flash_attention: bool | None = None,
        **keywords: Any,
    ) -> None:
        self._weight_options = {
            name: keywords.pop(name) for name in _WEIGHT_OPTIONS if name in keywords
        }
        super().__init__(**keywords)
        self._query_heads = query_heads
        self._key_heads = key_heads
        self._key_size = key_size
        self._value_size = value_size
        self._output_shape = _sizes(output_shape)
        self.dropout = dropout
        self.use_bias = use_bias
        self.seed = seed
        self.sliding_window = (
            None
            if sliding_window is None
            else positive_integer("sliding_window", sliding_window)
        )
        self.use_gate = use_gate
        self.attention_axes = _sizes(attention_axes)
        self.flash_attention = flash_attention
        self.seed_generator = random.SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Creates the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        AttentionAxes.of(len(query_shape), self.attention_axes)  # refuses wrong ones
        queries, keys = self._query_heads, self._key_heads
        self.query_dense = self._projection("query", queries, self._key_size)
        self.key_dense = self._projection("key", keys, self._key_size)
        self.gate_dense: Any = None
        if self.use_gate:
            self.gate_dense = self._projection("gate", queries, self._value_size)
            self.gate_dense.ensure_built_for((None, None, query_shape[-1]))
        self.value_dense = self._projection("value", keys, self._value_size)
        sizes = self._output_shape or (query_shape[-1],)
        letters = string.ascii_lowercase[4 : 4 + len(sizes)]
        self.output_dense = EinsumDense(
            f"abcd,cd{letters}->ab{letters}",
            output_shape=(None, *sizes),
            bias_axes=letters if self.use_bias else None,
            name="attention_output",
            dtype=self.dtype_policy,
            **self._weight_options,
        )
        for layer, sizes in (
            (self.query_dense, query_shape[-1:]),
            (self.key_dense, key_shape[-1:]),
            (self.value_dense, value_shape[-1:]),
            (self.output_dense, (queries, self._value_size)),
        ):
            layer.ensure_built_for((None, None, *sizes))
        self.built = True

    def _projection(self, name: str, heads: int, size: int) -> EinsumDense:
        return EinsumDense(
            "abc,cde->abde",
            output_shape=(None, heads, size),
            activation="sigmoid" if name == "gate" else None,
            bias_axes="de" if self.use_bias else None,
            name=name,
            dtype=self.dtype_policy,
            **self._weight_options,
        )

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attends from the query to the value.

        T and S stand for the sizes of all `attention_axes`; with them, axes of other
        examples may stand behind the batch.

        Args:
            query: (batch, T, features).
            value: (batch, S, features).
            key: (batch, S, features); the value by default.
            query_mask: (batch, T), True for steps that count.
            value_mask: (batch, S).
            key_mask: (batch, S).
            attention_mask: (batch, T, S) or (batch, heads, T, S), True where a query
                may attend.
            return_attention_scores: Whether to return (output, weights (batch, heads,
                T, S)).
            training: Whether to drop attention weights.
            use_causal_mask: Whether a step attends to itself and earlier steps only.
        """
        key = value if key is None else key
        axes = AttentionAxes.of(len(query.shape), self.attention_axes)
        given = query, key
        if attention_mask is not None:
            attention_mask = axes.merge_pairs(ops.cast(attention_mask, "bool"), query)
        if not axes.is_plain:
            self._check_order(axes, use_causal_mask)
            query, value, key = map(axes.merge, (query, value, key))
            query_mask, value_mask, key_mask = (
                None if mask is None else axes.merge_mask(mask)
                for mask in (query_mask, value_mask, key_mask)
            )
        mask = self._mask(
            query,
            value,
            query_mask,
            value_mask,
            key_mask,
            attention_mask,
            use_causal_mask,
        )
        output, weights = self._attended(
            query, value, key, mask, bool(training), return_attention_scores
        )
        if not axes.is_plain:
            output = axes.split(output, given[0])
            weights = None if weights is None else axes.split_weights(weights, *given)
        return (output, weights) if return_attention_scores else output

    def _check_order(self, axes: AttentionAxes, causal: bool) -> None:
        """Refuses masks by the order of steps if they lie along several axes."""
        if len(axes.axes) > 1 and (causal or self.sliding_window is not None):
            raise ValueError(
                "Steps along several axes have no order: `use_causal_mask` and"
                " `sliding_window` need one of `attention_axes`. Received:"
                f" attention_axes={axes.axes}"
            )

    def _attended(
        self,
        query: Any,
        value: Any,
        key: Any,
        mask: Any,
        training: bool,
        weighted: bool,
    ) -> tuple[Any, Any]:
        """The output (batch, T, ...), and the weights if they are needed."""
        q = self.query_dense(query)
        k = self.key_dense(key)
        v = self.value_dense(value)
        drops = training and self.dropout > 0
        if drops or weighted:
            attended, weights = self._attend(q, k, v, mask, drops)
        else:
            attended = ops.dot_product_attention(
                q, k, v, mask=mask, scale=1.0 / math.sqrt(self._key_size)
            )
            weights = None
        if self.gate_dense is not None:
            attended = attended * self.gate_dense(query)
        return self.output_dense(attended), weights

    def _attend(self, q: Any, k: Any, v: Any, mask: Any, drops: bool) -> Any:
        """Attention step by step: with dropout, and with the weights to return."""
        if self._key_heads != self._query_heads:
            shared = self._query_heads // self._key_heads
            k, v = ops.repeat(k, shared, axis=2), ops.repeat(v, shared, axis=2)
        q = q * (1.0 / math.sqrt(self._key_size))
        scores = ops.einsum("bthd,bshd->bhts", q, k)
        if mask is not None:
            low = -3e4 if scores.dtype == "float16" else -1e9
            scores = scores + (1.0 - ops.cast(mask, scores.dtype)) * low
        weights = ops.softmax(scores, axis=-1)
        kept = weights
        if drops:
            kept = random.dropout(weights, self.dropout, None, self.seed_generator)
        return ops.einsum("bhts,bshd->bthd", kept, v), weights

    def _mask(
        self,
        query: Any,
        value: Any,
        query_mask: Any,
        value_mask: Any,
        key_mask: Any,
        attention_mask: Any,
        causal: bool,
    ) -> Any:
        """All masks joined, as (batch or 1, heads or 1, T, S), or None."""
        found: Any = None

        def join(mask: Any) -> None:
            nonlocal found
            found = mask if found is None else ops.logical_and(found, mask)

        if attention_mask is not None:
            join(attention_mask)
        if query_mask is not None:
            mask = ops.cast(query_mask, "bool")
            join(ops.expand_dims(ops.expand_dims(mask, -1), 1))
        for given in (value_mask, key_mask):
            if given is not None:
                mask = ops.cast(given, "bool")
                join(ops.expand_dims(ops.expand_dims(mask, 1), 1))
        if causal or self.sliding_window is not None:
            rows = ops.expand_dims(ops.arange(query.shape[1]), 1)
            columns = ops.expand_dims(ops.arange(value.shape[1]), 0)
            if causal:
                join(ops.expand_dims(ops.expand_dims(rows >= columns, 0), 0))
            if self.sliding_window is not None:
                near = ops.abs(rows - columns) < self.sliding_window
                join(ops.expand_dims(ops.expand_dims(near, 0), 0))
        return found

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the query."""
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        options = {
            name: _WEIGHT_OPTIONS[name].serialize(_WEIGHT_OPTIONS[name].get(given))
            for name, given in self._weight_options.items()
        }
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "seed": self.seed,
            "sliding_window": self.sliding_window,
            "use_gate": self.use_gate,
            "flash_attention": self.flash_attention,
            **options,
        }


class MultiHeadAttention(HeadAttention):
    """Attention in several heads (Vaswani et al., "Attention Is All You Need", 2017).

    Inputs: query (batch, T, features), value and key (batch, S, features). Output:
    (batch, T, output features).

    Args:
        num_heads: The number of heads.
        key_dim: The size of a head's query and key.
        value_dim: The size of a head's value; `key_dim` by default.
        dropout: The fraction of attention weights to drop in training.
        use_bias: Whether the projections have biases.
        output_shape: The size of the output's last axis, or the sizes of several in
            its place; the query's by default.
        attention_axes: The axes that steps lie along, of inputs (batch, ..., features):
            axis 2 of (batch, rows, columns, features) attends within rows. All axes but
            the batch and the features by default.
        sliding_window: Steps attend to steps that are nearer than this; to all by
            default.
        flash_attention: Accepted as in Keras: the compiler chooses the kernel.
        use_gate: Whether what heads return is multiplied by the sigmoid of a
            projection of the query.
        seed: A seed for dropout.
        keywords: ``kernel_`` and ``bias_`` ``initializer``, ``regularizer`` and
            ``constraint`` of the projections, and what `Layer` takes.

    Raises:
        ValueError: If `attention_axes` are no axes between the batch and the features,
            or several where steps need an order.

    Call arguments:
        query: (batch, T, features).
        value: (batch, S, features).
        key: (batch, S, features); the value by default.
        query_mask: Booleans (batch, T): which steps of the query count. So for
            `value_mask` and `key_mask`; layers before attach them.
        attention_mask: Booleans (batch, T, S): which steps attend to which.
        return_attention_scores: Whether to return the weights (batch, heads, T, S), too.
        training: Whether to drop weights.
        use_causal_mask: Whether steps attend to no later steps.

    Example:
        >>> import graphc
        >>> x = graphc.Input((5, 8))
        >>> layer = graphc.layers.MultiHeadAttention(num_heads=2, key_dim=3)
        >>> layer(x, x, use_causal_mask=True).shape
        (None, 5, 8)
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        self.num_heads = positive_integer("num_heads", num_heads)
        self.key_dim = positive_integer("key_dim", key_dim)
        self.value_dim = key_dim if value_dim is None else value_dim
        self.projected_shape = output_shape
        super().__init__(
            num_heads,
            num_heads,
            key_dim,
            self.value_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=output_shape,
            seed=seed,
            sliding_window=sliding_window,
            use_gate=use_gate,
            attention_axes=attention_axes,
            flash_attention=flash_attention,
            **keywords,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "output_shape": self.projected_shape,
            "attention_axes": self.attention_axes,
        }


class GroupQueryAttention(HeadAttention):
    """Attention whose keys and values serve several heads of the query each.

    Source: Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models",
    2023. Inputs: query (batch, T, features), value and key (batch, S, features).
    Output: (batch, T, features).

    Args:
        head_dim: The size of a head.
        num_query_heads: The number of the query's heads.
        num_key_value_heads: The number of the key's and value's, which divides it.
        dropout: The fraction of attention weights to drop in training.
        use_bias: Whether the projections have biases.
        sliding_window: Steps attend to steps that are nearer than this; to all by
            default.
        flash_attention: Accepted as in Keras: the compiler chooses the kernel.
        use_gate: Whether what heads return is multiplied by the sigmoid of a
            projection of the query.
        seed: A seed for dropout.
        keywords: ``kernel_`` and ``bias_`` ``initializer``, ``regularizer`` and
            ``constraint`` of the projections, and what `Layer` takes.

    Raises:
        ValueError: If the heads of the key do not divide those of the query.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        self.head_dim = positive_integer("head_dim", head_dim)
        self.num_query_heads = positive_integer("num_query_heads", num_query_heads)
        self.num_key_value_heads = positive_integer(
            "num_key_value_heads", num_key_value_heads
        )
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`. Received:"
                f" num_query_heads={num_query_heads},"
                f" num_key_value_heads={num_key_value_heads}"
            )
        super().__init__(
            num_query_heads,
            num_key_value_heads,
            head_dim,
            head_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=None,
            seed=seed,
            sliding_window=sliding_window,
            use_gate=use_gate,
            flash_attention=flash_attention,
            **keywords,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
        }


def _sizes(given: Any) -> tuple[int, ...] | None:
    """One integer or several as a tuple; None stays."""
    return (
        (given,) if isinstance(given, int) else None if given is None else tuple(given)
    )
