"""Texts as numbers of words."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.frontend.layers.lookup import HostLayer, StringLookup, rows_of, tokens_of

_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")
_STANDARDS = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
_SPLITS = ("whitespace", "character")


class TextVectorization(HostLayer):
    """Splits texts into words and numbers them by a vocabulary.

    It prepares data and cannot be part of a model. The number 0 is padding, 1 stands for
    unknown words.

    Args:
        max_tokens: The size of the vocabulary at most, special tokens included.
        standardize: ``"lower_and_strip_punctuation"``, ``"lower"``,
            ``"strip_punctuation"``, None, or a function of an array of strings.
        split: ``"whitespace"``, ``"character"``, None for texts that are words, or a
            function of a string that returns a list of strings.
        ngrams: Adds sequences of up to so many words; or of the numbers in a tuple,
            instead of single words.
        output_mode: ``"int"`` for rows of numbers; ``"multi_hot"``, ``"count"`` or
            ``"tf_idf"`` for a vector of each text: see `StringLookup`.
        output_sequence_length: How long rows of numbers are: texts are cut or padded;
            by default all are as long as the longest one.
        pad_to_max_tokens: Whether vectors have `max_tokens` entries whatever there is.
        vocabulary: The words, or the name of a file with one in each line.
        idf_weights: With ``"tf_idf"``, the weight of each.

    Example:
        >>> import graphc
        >>> layer = graphc.layers.TextVectorization(output_sequence_length=4)
        >>> layer.adapt(["The cat, the dog.", "A dog!"])
        >>> layer.get_vocabulary()
        ['', '[UNK]', 'the', 'dog', 'cat', 'a']
        >>> layer(["the bird", "a cat a dog a bird"])
        array([[2, 1, 0, 0],
               [5, 4, 5, 3]])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: str | Callable[..., Any] | None = _STANDARDS[0],
        split: str | Callable[..., Any] | None = "whitespace",
        ngrams: int | tuple[int, ...] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        for name, given, known in (
            ("standardize", standardize, _STANDARDS),
            ("split", split, _SPLITS),
        ):
            if not (given is None or callable(given) or given in known):
                raise ValueError(
                    f"Expected `{name}` to be one of {', '.join(known)}, None or a"
                    f" function. Received: {name}={given!r}"
                )
        self.standardize = standardize
        self.split = split
        self.ngrams = ngrams
        self.output_sequence_length = output_sequence_length
        self.lookup = StringLookup(
            max_tokens,
            mask_token="",
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
        )
        if output_sequence_length is not None and self.lookup.output_mode != "int":
            raise ValueError(
                "`output_sequence_length` needs output_mode='int'."
                f" Received: {output_mode=}"
            )

    def adapt(self, data: Any, batch_size: int | None = None) -> None:
        """Takes the vocabulary from texts: the most frequent word comes first.

        Args:
            data: An array or a list of texts, or batches of them.
            batch_size: Kept for Keras's signature.

        Raises:
            ValueError: If there are no words in it.
        """
        self.lookup.learn(self.words(list(rows_of(data))))

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words in the order of their numbers."""
        return self.lookup.get_vocabulary(include_special_tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Sets the words; see `StringLookup.set_vocabulary`."""
        self.lookup.set_vocabulary(vocabulary, idf_weights)

    def vocabulary_size(self) -> int:
        """How many numbers there are, those of special tokens included."""
        return self.lookup.vocabulary_size()

    def words(self, texts: Any) -> list[list[str]]:
        """The words of each text.

        Raises:
            ValueError: If texts are not strings, one for each row.
        """
        array = tokens_of(texts)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim > 1 or array.dtype.kind not in "UO":
            raise ValueError(
                "Expected texts of shape (n,) or (n, 1)."
                f" Received: shape={array.shape}, dtype={array.dtype}"
            )
        if callable(self.standardize):
            array = np.asarray(self.standardize(array))
        return [self._split(str(text)) for text in array.reshape(-1).tolist()]

    def _split(self, text: str) -> list[str]:
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            text = text.lower()
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            text = _PUNCTUATION.sub("", text)
        if callable(self.split):
            words = [str(word) for word in self.split(text)]
        elif self.split is None:
            words = [text]
        else:
            words = text.split() if self.split == "whitespace" else list(text)
        if self.ngrams is None:
            return words
        given = self.ngrams
        sizes = range(1, given + 1) if isinstance(given, int) else given
        return [
            " ".join(words[start : start + size])
            for size in sizes
            for start in range(len(words) - size + 1)
        ]

    def call(self, inputs: Any) -> Any:
        """Numbers the words of texts; a single text gives a single row."""
        single = isinstance(inputs, (str, bytes)) or np.ndim(inputs) == 0
        documents = [
            [self.lookup.number(word) for word in words] for words in self.words(inputs)
        ]
        if self.lookup.output_mode != "int":
            rows = self.lookup.encoded(documents)
        else:
            length = self.output_sequence_length
            if length is None:
                length = max(map(len, documents), default=0)
            rows = np.zeros((len(documents), length), np.int64)
            for row, numbers in zip(rows, documents, strict=True):
                row[: len(numbers)] = numbers[:length]
        return rows[0] if single else rows

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from, vocabulary included.

        Raises:
            ValueError: If it standardizes or splits by a function.
        """
        for name in ("standardize", "split"):
            if callable(getattr(self, name)):
                raise ValueError(
                    f"A TextVectorization whose `{name}` is a function has no config."
                    f" Received: {name}={getattr(self, name)!r}"
                )
        known = self.lookup.get_config()
        shared = ("max_tokens", "output_mode", "pad_to_max_tokens", "vocabulary")
        return {
            **super().get_config(),
            **{name: known[name] for name in (*shared, "idf_weights")},
            "standardize": self.standardize,
            "split": self.split,
            "ngrams": self.ngrams,
            "output_sequence_length": self.output_sequence_length,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        ngrams = config.get("ngrams")
        if isinstance(ngrams, list):
            config = {**config, "ngrams": tuple(ngrams)}
        return super().from_config(config)
