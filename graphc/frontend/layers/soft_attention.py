"""Attention without heads and projections: by products, or by sums."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops, random
from graphc.frontend.arguments import one_of
from graphc.frontend.layers.layer import Layer


class SoftAttention(Layer):
    """The base of attention without projections; subclasses define `_scores`.

    Args:
        use_scale: Whether scores have a trained scale.
        dropout: The fraction of attention weights to drop in training.
        seed: A seed for dropout.
        keywords: What `Layer` takes.
    """

    def __init__(
        self, use_scale: bool, dropout: float, seed: int | None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.use_scale = use_scale
        self.dropout = dropout
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True

    def _scores(self, query: Any, key: Any) -> Any:
        """How much each step of the query, [..., T, dim], attends to each of the key.

        Returns:
            A tensor [..., T, S].
        """
        raise NotImplementedError(f"{type(self).__name__} must define `_scores`.")

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attends from the query to the value.

        Args:
            inputs: [query (batch, T, dim), value (batch, S, features)] and, unless it
                is the value, key (batch, S, dim).
            mask: [query mask (batch, T), value mask (batch, S)], each True for steps
                that count, or None.
            training: Whether to drop attention weights.
            return_attention_scores: Whether to return (output, weights (batch, T, S)).
            use_causal_mask: Whether a step attends to itself and earlier steps only.

        Returns:
            A tensor (batch, T, features); 0 for masked steps of the query.

        Raises:
            ValueError: If the inputs are no list of two or three.
        """
        check_inputs(self, inputs)
        query, given = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else given
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        scores = self._scores(query, key)
        allowed = None
        if value_mask is not None:
            allowed = ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            rows = ops.expand_dims(ops.arange(query.shape[-2]), 1)
            past = ops.expand_dims(rows >= ops.arange(key.shape[-2]), 0)
            allowed = past if allowed is None else ops.logical_and(allowed, past)
        if allowed is not None:
            least = 65504.0 if scores.dtype == "float16" else 1e9
            scores = ops.where(allowed, scores, scores - least)
        weights = ops.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, None, self.seed_generator)
        output = ops.matmul(weights, given)
        if query_mask is not None:
            kept = ops.expand_dims(ops.cast(query_mask, "bool"), -1)
            output = ops.where(kept, output, ops.zeros_like(output))
        return (output, weights) if return_attention_scores else output

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the query."""
        return None if previous_mask is None else previous_mask[0]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def check_inputs(layer: Layer, inputs: Any) -> None:
    """Fails unless there are two or three inputs, or shapes of inputs.

    Raises:
        ValueError: If there are not.
    """
    if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
        raise ValueError(
            f"{type(layer).__name__} must be called on a list of inputs, [query, value]"
            f" or [query, value, key]. Received: inputs={inputs!r}"
        )


class Attention(SoftAttention):
    """Attention by products of query and key, or by the tanh of their sum.

    Source: Luong et al., "Effective Approaches to Attention-based Neural Machine
    Translation", 2015.

    Args:
        use_scale: Whether scores have a trained scale.
        score_mode: ``"dot"`` for products, ``"concat"`` for the sum over features of
            the tanh of the sum of query and key.
        dropout: The fraction of attention weights to drop in training.
        seed: A seed for dropout.
        keywords: What `Layer` takes.

    Raises:
        ValueError: For another `score_mode`.

    Example:
        >>> import numpy as np, graphc
        >>> query, value = np.ones((2, 3, 4), "float32"), np.ones((2, 5, 4), "float32")
        >>> graphc.layers.Attention()([query, value]).shape
        (2, 3, 4)
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(use_scale, dropout, seed, **keywords)
        self.score_mode = one_of("score_mode", score_mode, ("dot", "concat"))

    def build(self, input_shape: Any) -> None:
        """Creates the scale of scores, and for sums their weight."""
        check_inputs(self, input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if self.scale is None else scores * self.scale
        sums = _pairwise_sums(query, key)
        scaled = sums if self.scale is None else sums * self.scale
        return ops.sum(ops.tanh(scaled), axis=-1) * self.concat_score_weight

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "score_mode": self.score_mode}


class AdditiveAttention(SoftAttention):
    """Attention by the tanh of sums of query and key.

    Source: Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align
    and Translate", 2014.

    Args:
        use_scale: Whether features have trained weights in the scores.
        dropout: The fraction of attention weights to drop in training.
        seed: A seed for dropout.
        keywords: What `Layer` takes.
    """

    def __init__(
        self,
        use_scale: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(use_scale, dropout, seed, **keywords)

    def build(self, input_shape: Any) -> None:
        """Creates the weights of features."""
        check_inputs(self, input_shape)
        self.scale = None
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(input_shape[0][-1],))
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        scores = ops.tanh(_pairwise_sums(query, key))
        if self.scale is not None:
            scores = scores * self.scale
        return ops.sum(scores, axis=-1)


def _pairwise_sums(query: Any, key: Any) -> Any:
    """The sum of each step of the query and each of the key, [..., T, S, dim]."""
    return ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
