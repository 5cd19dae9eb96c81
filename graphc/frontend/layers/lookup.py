"""Layers that number tokens: words and other integers, by a vocabulary.

They prepare data and run in Python, before a model: graphs have no strings.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from graphc.frontend.arguments import positive_integer
from graphc.frontend.dtypes import floatx
from graphc.frontend.keras_tensor import symbolic_leaves
from graphc.frontend.layers.categories import check_mode
from graphc.frontend.layers.layer import Layer
from graphc.frontend.tracing import current_trace
from graphc.ir.errors import GraphError
from graphc.ir.types import dtype as ir_dtype

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")

Array = np.ndarray[Any, Any]


class HostLayer(Layer):
    """A layer that runs in Python on arrays and lists, and returns NumPy arrays."""

    def __call__(self, inputs: Any) -> Any:
        """Computes the output.

        Raises:
            GraphError: In a model: its graphs have no such operations.
        """
        if symbolic_leaves(inputs) or current_trace() is not None:
            raise GraphError(
                f"{type(self).__name__} runs in Python and cannot be part of a model",
                hint="apply it to the data, and give the model what it returns",
            )
        return self.call(inputs)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned.

        Raises:
            ValueError: If it names a file: configs come out of files that may be
                anybody's, and must not make a program read others.
        """
        if isinstance(config.get("vocabulary"), (str, bytes)):
            raise ValueError(
                f"Expected a config of {cls.__name__} with the vocabulary itself, not"
                f" the name of a file. Received: {str(config['vocabulary'])[:80]!a}"
            )
        return super().from_config(config)


def rows_of(data: Any) -> Iterable[Any]:
    """The rows of an array or a list, or of batches of them."""
    if isinstance(data, (list, tuple, np.ndarray)):
        yield from data
    else:
        for batch in data:
            yield from np.asarray(batch[0] if isinstance(batch, tuple) else batch)


def tokens_of(data: Any) -> Array:
    """An array of tokens: of strings, where they are given as bytes, too."""
    array: Array = np.asarray(data)
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


class _Lookup(HostLayer):
    """Numbers tokens: the mask's number 0, those of unknown ones, then the vocabulary's."""

    kind: ClassVar[type]

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: Any = None,
        oov_token: Any = None,
        vocabulary: Sequence[Any] | None = None,
        idf_weights: Sequence[float] | None = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if max_tokens is not None:
            positive_integer("max_tokens", max_tokens)
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError("`pad_to_max_tokens` needs `max_tokens`. Received: None")
        self.output_mode = check_mode(output_mode, _MODES)
        if invert and self.output_mode != "int":
            raise ValueError(
                f"`invert` needs output_mode='int'. Received: {output_mode=}"
            )
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.invert = invert
        self.pad_to_max_tokens = pad_to_max_tokens
        self._tokens: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self._idf: Array = np.zeros(0, np.float32)
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # -- the vocabulary ----------------------------------------------------------------

    @property
    def _masked(self) -> bool:
        return self.mask_token is not None and self.output_mode == "int"

    @property
    def _first(self) -> int:
        """The number of the first token of the vocabulary."""
        return int(self._masked) + self.num_oov_indices

    def _special(self) -> list[Any]:
        masks = [self.mask_token] if self._masked else []
        return masks + [self.oov_token] * self.num_oov_indices

    def set_vocabulary(
        self, vocabulary: Sequence[Any], idf_weights: Sequence[float] | None = None
    ) -> None:
        """Sets the tokens.

        Args:
            vocabulary: The tokens in the order of their numbers, with or without the
                special ones in front; or the name of a file with one in each line.
            idf_weights: With ``"tf_idf"``, the weight of each.

        Raises:
            ValueError: If a token comes twice, there are more than `max_tokens`, or
                weights are missing.
        """
        if isinstance(vocabulary, str):
            with open(vocabulary, encoding="utf-8") as file:
                vocabulary = file.read().splitlines()
        tokens = [self.kind(token) for token in np.asarray(vocabulary).tolist()]
        if tokens[: self._first] == self._special():
            tokens = tokens[self._first :]
        twice = [token for token, count in Counter(tokens).items() if count > 1]
        if twice:
            raise ValueError(f"Expected different tokens. Received twice: {twice[:5]}")
        if self.max_tokens and self._first + len(tokens) > self.max_tokens:
            raise ValueError(
                f"Expected at most max_tokens={self.max_tokens} tokens. Received:"
                f" {len(tokens)}, and {self._first} special ones"
            )
        if self.output_mode == "tf_idf":
            given = np.asarray(() if idf_weights is None else idf_weights, np.float32)
            if len(given) not in (len(tokens), self._first + len(tokens)):
                raise ValueError(
                    "Expected a weight for each token in `idf_weights`. Received:"
                    f" {len(given)} weights for {len(tokens)} tokens"
                )
            missing = self._first + len(tokens) - len(given)
            self._idf = np.pad(given, (missing, 0), constant_values=given.mean())
        self._tokens = tokens
        self._numbers = {t: n for n, t in enumerate(tokens, self._first)}

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their numbers."""
        return (self._special() if include_special_tokens else []) + self._tokens

    def vocabulary_size(self) -> int:
        """How many numbers there are, those of special tokens included."""
        return self._first + len(self._tokens)

    def adapt(self, data: Any) -> None:
        """Takes the vocabulary from data: the most frequent token comes first.

        Args:
            data: An array or a list of tokens, or of rows of tokens; or batches of
                them. Rows are the documents of ``"tf_idf"``.

        Raises:
            ValueError: If there are no tokens in it.
        """
        self.learn([_flat(row) for row in rows_of(data)])

    def learn(self, documents: Sequence[Sequence[Any]]) -> None:
        """Takes the vocabulary from lists of tokens."""
        counts: Counter[Any] = Counter()
        holding: Counter[Any] = Counter()
        for tokens in documents:
            kept = [self.kind(token) for token in tokens]
            counts.update(kept)
            holding.update(set(kept))
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        if not counts:
            raise ValueError("`adapt` needs data. Received: no tokens")
        # As in Keras: of tokens that are equally frequent the last comes first.
        ordered = sorted(counts, key=lambda t: (counts[t], t), reverse=True)
        kept = ordered[: self.max_tokens - self._first if self.max_tokens else None]
        found = np.asarray([holding[token] for token in kept], np.float32)
        weights = np.log1p(len(documents) / (1 + found))
        self.set_vocabulary(kept, weights.tolist())

    # -- lookups -----------------------------------------------------------------------

    @abstractmethod
    def unknown(self, token: Any) -> int:
        """Which of the numbers of unknown tokens one has, counted from 0."""

    def number(self, token: Any) -> int:
        """The number of a token; -1 for a mask that has none.

        Raises:
            ValueError: If it is unknown and there is no number for such.
        """
        found = self._numbers.get(token)
        if found is not None:
            return found
        if self.mask_token is not None and token == self.mask_token:
            return 0 if self._masked else -1
        if not self.num_oov_indices:
            raise ValueError(
                f"Layer '{self.name}' has no number for unknown tokens. Set"
                f" `num_oov_indices`, or add it to the vocabulary. Received: {token!r}"
            )
        return int(self._masked) + self.unknown(token)

    def call(self, inputs: Any) -> Any:
        """Numbers the tokens, or with `invert` gives the tokens of numbers."""
        array = tokens_of(inputs)
        items = array.reshape(-1).tolist()
        if self.invert:
            known = dict(enumerate(self.get_vocabulary()))
            named = [known.get(int(item), self.oov_token) for item in items]
            return np.asarray(named).reshape(array.shape)
        numbers = [self.number(self.kind(item)) for item in items]
        found: Array = np.asarray(numbers, np.int64).reshape(array.shape)
        if self.output_mode == "int":
            return found
        if self.output_mode == "one_hot":
            dropped = found.ndim > 1 and found.shape[-1] == 1
            found = found[..., 0] if dropped else found
            rows = self.encoded([[number] for number in found.reshape(-1).tolist()])
            return rows.reshape(*found.shape, -1)
        if found.ndim > 2:
            raise ValueError(
                f"Expected tokens, or rows of tokens. Received: shape={array.shape}"
            )
        rows = self.encoded(np.atleast_2d(found).tolist())
        return rows if found.ndim == 2 else rows[0]

    def encoded(self, documents: Sequence[Sequence[int]]) -> Array:
        """Lists of numbers as rows: where they occur, how often, or weighted."""
        if self.output_mode == "tf_idf" and not len(self._idf):
            raise ValueError(
                f"Layer '{self.name}' needs adapt(data) before it is called"
            )
        depth = self.vocabulary_size()
        if self.pad_to_max_tokens and self.max_tokens:
            depth = self.max_tokens
        rows = np.zeros((len(documents), depth), ir_dtype(floatx()).numpy)
        for row, numbers in zip(rows, documents, strict=True):
            np.add.at(row, [number for number in numbers if number >= 0], 1)
        if self.output_mode in ("one_hot", "multi_hot"):
            return np.minimum(rows, 1)
        if self.output_mode == "tf_idf":
            rows[:, : len(self._idf)] *= self._idf
        return rows

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from, vocabulary included."""
        return {
            **super().get_config(),
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "mask_token": self.mask_token,
            "oov_token": self.oov_token,
            "vocabulary": list(self._tokens) or None,
            "idf_weights": self._idf.tolist() or None,
            "invert": self.invert,
            "output_mode": self.output_mode,
            "pad_to_max_tokens": self.pad_to_max_tokens,
        }


def _flat(row: Any) -> list[Any]:
    return np.asarray(row).reshape(-1).tolist()


class StringLookup(_Lookup):
    """Numbers strings by a vocabulary, which is given or taken from data.

    It prepares data and cannot be part of a model. Of several numbers for unknown
    strings (`num_oov_indices`) one is chosen by a hash that is not Keras's.

    Args:
        max_tokens: The size of the vocabulary at most, special tokens included.
        num_oov_indices: How many numbers unknown strings share.
        mask_token: The string whose number is 0, for padding.
        oov_token: What `invert` gives for numbers of unknown strings.
        vocabulary: The strings, or the name of a file with one in each line.
        idf_weights: With ``"tf_idf"``, the weight of each.
        invert: Whether to give the strings of numbers instead.
        output_mode: ``"int"`` for numbers; ``"one_hot"``, ``"multi_hot"``, ``"count"``
            or ``"tf_idf"`` for vectors: see `CategoryEncoding`; the last weighs counts
            by how rare strings are.
        pad_to_max_tokens: Whether vectors have `max_tokens` entries whatever there is.

    Example:
        >>> import graphc
        >>> layer = graphc.layers.StringLookup()
        >>> layer.adapt(["b", "a", "b", "c", "a", "b"])
        >>> layer.get_vocabulary()
        ['[UNK]', 'b', 'a', 'c']
        >>> layer([["a", "z"], ["b", "c"]])
        array([[2, 0],
               [1, 3]])
    """

    kind = str

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        **keywords: Any,
    ) -> None:
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, **keywords)

    def unknown(self, token: Any) -> int:
        """Which number an unknown string has, by a hash."""
        return zlib.crc32(token.encode()) % self.num_oov_indices


class IntegerLookup(_Lookup):
    """Numbers integers by a vocabulary, which is given or taken from data.

    It prepares data and cannot be part of a model.

    Args:
        max_tokens: The size of the vocabulary at most, special tokens included.
        num_oov_indices: How many numbers unknown integers share.
        mask_token: The integer whose number is 0, for padding.
        oov_token: What `invert` gives for numbers of unknown integers.
        vocabulary: The integers.
        idf_weights: With ``"tf_idf"``, the weight of each.
        invert: Whether to give the integers of numbers instead.
        output_mode: As in `StringLookup`.
        pad_to_max_tokens: Whether vectors have `max_tokens` entries whatever there is.

    Example:
        >>> import graphc
        >>> graphc.layers.IntegerLookup(vocabulary=[12, 36])([36, 12, 7])
        array([2, 1, 0])
    """

    kind = int

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        **keywords: Any,
    ) -> None:
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, **keywords)

    def unknown(self, token: Any) -> int:
        """Which number an unknown integer has."""
        return token % self.num_oov_indices
