"""Dtype policies: which dtype a layer computes in and which its variables have."""

from __future__ import annotations

from typing import Any

from graphc.frontend.dtypes import floatx, standardize_dtype

__all__ = [
    "DTypePolicy",
    "QuantizedFloat8DTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]

_MIXED = "mixed_"

FLOAT8 = "float8"
"""The one quantization mode: products of 8-bit floats."""


class DTypePolicy:
    """The dtypes of a layer's computation and of its variables.

    Args:
        name: A dtype name, which stands for both, or ``"mixed_float16"`` or
            ``"mixed_bfloat16"``: computation in that dtype, variables in float32.

    Raises:
        ValueError: If `name` is not such a name.

    Example:
        >>> from graphc.frontend.dtype_policies import DTypePolicy
        >>> policy = DTypePolicy("mixed_bfloat16")
        >>> policy.compute_dtype, policy.variable_dtype
        ('bfloat16', 'float32')
    """

    __slots__ = ("compute_dtype", "name", "quantization_mode", "variable_dtype")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(
                "Expected the name of a dtype policy, such as 'float32' or "
                f"'mixed_bfloat16'. Received: name={name!r}"
            )
        if name in ("mixed_float16", "mixed_bfloat16"):
            compute, variable = name.removeprefix(_MIXED), "float32"
        else:
            try:
                compute = variable = standardize_dtype(name)
            except ValueError as error:
                raise ValueError(
                    "Expected the name of a dtype policy: 'mixed_float16', "
                    "'mixed_bfloat16' or a dtype such as 'float32'. "
                    f"Received: name={name!r}"
                ) from error
        self.name = name
        self.compute_dtype = compute
        self.variable_dtype = variable
        self.quantization_mode: str | None = None

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal policy from."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DTypePolicy)
            and self.name == other.name
            and self.get_config() == other.get_config()
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self.name}">'


class QuantizedFloat8DTypePolicy(DTypePolicy):
    """Products of 8-bit floats; all else as another policy says.

    Its name is, for example, ``"float8_from_mixed_bfloat16"``, which layers take as
    ``dtype`` as well.

    Args:
        mode: ``"float8"``.
        source_name: The name of the other policy; that of the global one by default.
        amax_history_length: From how many steps before the largest magnitude is taken
            that scales are made of (delayed scaling). 0 stands for the present tensor's
            own (current scaling), which needs no state; Keras does not have that.

    Raises:
        ValueError: For another mode, or a negative length.
        TypeError: If the length is no integer.

    Example:
        >>> from graphc.frontend.dtype_policies import QuantizedFloat8DTypePolicy
        >>> policy = QuantizedFloat8DTypePolicy("float8", "mixed_bfloat16")
        >>> policy.name, policy.compute_dtype, policy.amax_history_length
        ('float8_from_mixed_bfloat16', 'bfloat16', 1024)
    """

    __slots__ = ("amax_history_length", "source_name")

    def __init__(
        self, mode: str, source_name: str | None = None, amax_history_length: int = 1024
    ) -> None:
        if mode != FLOAT8:
            raise ValueError(
                f"Expected the quantization mode '{FLOAT8}'. Received: mode={mode!r}"
            )
        if isinstance(amax_history_length, bool) or not isinstance(
            amax_history_length, int
        ):
            raise TypeError(
                "`amax_history_length` must be an integer. "
                f"Received: amax_history_length={amax_history_length!r}"
            )
        if amax_history_length < 0:
            raise ValueError(
                "`amax_history_length` must be at least 0. "
                f"Received: amax_history_length={amax_history_length}"
            )
        source = source_name or dtype_policy().name
        super().__init__(source)
        self.name = f"{mode}_from_{source}"
        self.source_name = source
        self.quantization_mode = mode
        self.amax_history_length = amax_history_length

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal policy from."""
        return {
            "mode": self.quantization_mode,
            "source_name": self.source_name,
            "amax_history_length": self.amax_history_length,
        }


_MODULES = {
    "DTypePolicy": "keras",
    "QuantizedFloat8DTypePolicy": "keras.dtype_policies",
}
"""Where Keras says that the classes are; the serialized form names it."""

_policy: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given none; `floatx` unless it was set."""
    return _policy or DTypePolicy(floatx())


def set_dtype_policy(policy: str | DTypePolicy | None) -> None:
    """Sets the policy of layers that are given none; None goes back to `floatx`.

    Args:
        policy: A policy, or the name of one, such as ``"mixed_bfloat16"``.
    """
    global _policy
    _policy = None if policy is None else get(policy)


def serialize(policy: DTypePolicy) -> dict[str, Any]:
    """The policy in JSON form, as Keras writes it."""
    return {
        "module": _MODULES[type(policy).__name__],
        "class_name": type(policy).__name__,
        "config": policy.get_config(),
        "registered_name": None,
    }


def deserialize(config: dict[str, Any]) -> DTypePolicy:
    """The policy that `serialize` wrote.

    Raises:
        ValueError: If it is not a serialized policy.
    """
    if config.get("class_name") == "QuantizedFloat8DTypePolicy":
        return QuantizedFloat8DTypePolicy.from_config(config["config"])
    if config.get("class_name") != "DTypePolicy":
        raise ValueError(
            f"Expected a serialized DTypePolicy. Received: config={config}"
        )
    return DTypePolicy.from_config(config["config"])


def get(identifier: Any) -> DTypePolicy:
    """The policy that a name, a policy, a serialized policy or a dtype stands for.

    Args:
        identifier: One of these, or None for the global policy.

    Raises:
        ValueError: If there is no such policy.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        mode, _, source = identifier.partition("_from_")
        if source and mode == FLOAT8:
            return QuantizedFloat8DTypePolicy(mode, source)
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))
