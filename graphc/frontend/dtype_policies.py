"""Dtype policies: which dtype a layer computes in and which its variables have."""

from __future__ import annotations

from typing import Any

from graphc.frontend.dtypes import floatx, standardize_dtype

__all__ = [
    "DTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]

_MIXED = "mixed_"


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

    __slots__ = ("compute_dtype", "name", "variable_dtype")

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

    @property
    def quantization_mode(self) -> None:
        """None: the policy does not quantize."""
        return

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal policy from."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


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
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": policy.get_config(),
        "registered_name": None,
    }


def deserialize(config: dict[str, Any]) -> DTypePolicy:
    """The policy that `serialize` wrote.

    Raises:
        ValueError: If it is not a serialized policy.
    """
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
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))
