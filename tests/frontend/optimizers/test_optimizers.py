"""Optimizers, compared with Keras over steps with the same gradients."""

import warnings
from itertools import compress
from typing import Any

import numpy as np
import pytest

from graphc.frontend import constraints, ops, optimizers
from graphc.frontend.optimizers import schedules
from graphc.frontend.optimizers.clipping import clip_by_global_norm, clip_by_norm
from graphc.frontend.tensor import Array
from graphc.frontend.transforms import TensorSpec, program_of
from graphc.frontend.variables import Variable
from graphc.ir import evaluate
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]
from tests.closeness import Comparison, assert_close

STEPS = 7

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "learning_rate": 0.05}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"clipnorm": 0.5, "learning_rate": 0.3}),
    ("SGD", {"clipvalue": 0.2, "learning_rate": 0.3}),
    ("SGD", {"global_clipnorm": 0.5, "learning_rate": 0.3}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 3}),
    ("SGD", {"loss_scale_factor": 8.0, "momentum": 0.5}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-3}),
    ("Adam", {"gradient_accumulation_steps": 3, "clipnorm": 1.0}),
    (
        "Adam",
        {
            "gradient_accumulation_steps": 2,
            "use_ema": True,
            "ema_momentum": 0.5,
            "ema_overwrite_frequency": 2,
            "weight_decay": 0.02,
        },
    ),
    ("AdamW", {"learning_rate": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "rho": 0.8, "epsilon": 1e-2}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "learning_rate": 0.3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.7, "epsilon": 1e-3, "learning_rate": 1.0}),
    ("Adamax", {}),
    ("Adamax", {"beta_1": 0.7, "beta_2": 0.8}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.7, "beta_2": 0.8}),
    ("Lamb", {"learning_rate": 0.1}),
    ("Lamb", {"beta_1": 0.7, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.7, "weight_decay": 0.1}),
    ("Adafactor", {}),
    ("Adafactor", {"learning_rate": 0.5, "relative_step": False}),
    ("Adafactor", {"beta_2_decay": -0.5, "clip_threshold": 0.3, "epsilon_2": 2.0}),
    ("Ftrl", {"learning_rate": 0.1}),
    (
        "Ftrl",
        {
            "learning_rate": 0.2,
            "learning_rate_power": -0.7,
            "initial_accumulator_value": 0.5,
            "l1_regularization_strength": 0.4,
            "l2_regularization_strength": 0.1,
            "l2_shrinkage_regularization_strength": 0.2,
        },
    ),
    ("Ftrl", {"learning_rate": 0.2, "beta": 0.5}),
    ("Muon", {"learning_rate": 0.05}),
    ("Muon", {"nesterov": False, "rms_rate": None, "ns_steps": 2, "momentum": 0.5}),
    ("Muon", {"exclude_layers": ["^a$"], "adam_weight_decay": 0.1}),
]


def make(rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """Two variables, and gradients of each step."""
    values = [rng.normal(size=s).astype(np.float32) for s in ((3, 2), (4,))]
    gradients = [
        [rng.normal(size=v.shape).astype(np.float32) for v in values]
        for _ in range(STEPS)
    ]
    return [Variable(v, name=n) for v, n in zip(values, "ab", strict=True)], gradients


def steps_of_keras(
    keras: Any, optimizer: Any, variables: list[Any], gradients: list[Any]
) -> list[tuple[list[Any], list[Any], list[Any]]]:
    """After each step: the variables, the optimizer's state and its variables' paths.

    Args:
        keras: Keras.
        optimizer: One of Keras's.
        variables: Variables that its are made like.
        gradients: Those of each step.
    """
    twins = [keras.Variable(v.numpy(), name=v.name) for v in variables]
    optimizer.build(twins)
    kept = [not is_placeholder(v) for v in optimizer.variables]
    paths = [path_in_keras(v) for v in compress(optimizer.variables, kept)]
    state, values = [v.value for v in optimizer.variables], [v.value for v in twins]
    found = []
    for given in gradients:
        values, state = optimizer.stateless_apply(state, given, values)
        found.append((list(values), list(compress(state, kept)), paths))
    return found


def is_placeholder(variable: Any) -> bool:
    """Whether a variable of Keras's stands for the factors of a vector, in Adafactor."""
    return variable.shape == () and variable.name in ("a", "b")


def path_in_keras(variable: Any) -> str:
    """The path of a variable of Keras's; that of Nadam's product has no name there."""
    named = not variable.name.startswith("variable")
    return variable.path if named else "o/momentum_product"


def check(found: Any, expected: Any) -> None:
    assert_close(found, expected, Comparison.FRAMEWORK)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any, rng: Any
):
    ours, gradients = make(rng)

    def theirs() -> Any:
        twin = getattr(keras.optimizers, name)(name="o", **options)
        return steps_of_keras(keras, twin, ours, gradients)[-1]

    values, state, paths = recorded(theirs)
    optimizer = getattr(optimizers, name)(name="o", **options)
    optimizer.build(ours)
    assert [v.path for v in optimizer.variables] == paths
    for given in gradients:
        optimizer.apply([Array(g) for g in given])
    for mine, expected in zip(ours, values, strict=True):
        check(mine.numpy(), expected)
    for mine, expected in zip(optimizer.variables, state, strict=True):
        check(mine.numpy(), expected)
    if optimizer.use_ema:
        optimizer.finalize_variable_values(ours)
        for mine, average in zip(ours, optimizer._averages, strict=True):
            check(mine.numpy(), average.numpy())


def test_a_variable_of_zeros_moves_under_lamb():
    variable = Variable([0.0, 0.0])
    optimizers.Lamb(0.5).apply([Array(np.ones(2, np.float32))], [variable])
    check(variable.numpy(), [-0.5, -0.5])


def test_adam_updates_what_muon_does_not():
    shapes = {"kernel": (2, 3), "bias": (3,), "embeddings": (4, 2)}
    variables = [Variable(np.ones(s, np.float32), name=n) for n, s in shapes.items()]
    optimizer = optimizers.Muon(name="o")
    optimizer.build(variables)
    assert [v.name for v in optimizer.variables[2:]] == [
        "kernel_momentum",
        "bias_momentum",
        "bias_velocity",
        "embeddings_momentum",
        "embeddings_velocity",
    ]


@pytest.mark.parametrize("name", ["Adam", "Adamax", "Nadam", "Lamb"])
def test_what_follows_from_the_step_is_computed_once(name: str):
    def powers(count: int) -> int:
        variables = [Variable(np.ones(2, "float32")) for _ in range(count)]
        optimizer = getattr(optimizers, name)()
        optimizer.build(variables)

        def step(gradient: Any) -> None:
            optimizer.apply([gradient] * count, variables)

        graph = program_of(step, [TensorSpec((2,))]).graph
        return sum(node.op.name == "power" for node in graph.nodes)

    assert powers(3) == powers(1) > 0


def test_traced_steps_with_a_schedule(keras: Any, recorded: Any, rng: Any):
    ours, gradients = make(rng)
    rate = {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}
    options = {"clipnorm": 1.0, "gradient_accumulation_steps": 2}
    optimizer = optimizers.Adam(schedules.ExponentialDecay(**rate), **options)

    def theirs() -> Any:
        schedule = keras.optimizers.schedules.ExponentialDecay(**rate)
        twin = keras.optimizers.Adam(schedule, **options)
        return steps_of_keras(keras, twin, ours, gradients)[-1]

    wanted, state, _ = recorded(theirs)
    optimizer.build(ours)
    values = {v: v.numpy() for v in [*ours, *optimizer.variables]}
    specs = [TensorSpec(v.shape) for v in ours]
    program = program_of(lambda *given: optimizer.apply(list(given)), specs)
    for given in gradients:
        results = evaluate(program.graph, *given, *(values[v] for v in program.state))
        values.update(zip(program.written, results, strict=True))
    for variable, expected in zip(
        [*ours, *optimizer.variables], [*wanted, *state], strict=True
    ):
        check(values[variable], expected)
    places = [n.location for n in program.graph.nodes if n.location is not None]
    assert {place.path for place in places} == {optimizer.name}


def test_loss_scale_optimizer(keras: Any, recorded: Any, rng: Any):
    ours, _ = make(rng)
    factors = (1.0, 1.0, 1.0, np.inf, 2.0, np.nan, 1.0)
    gradients = [[np.full(v.shape, f, np.float32) for v in ours] for f in factors]

    def theirs() -> Any:
        twin = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1, momentum=0.9),
            initial_scale=8.0,
            dynamic_growth_steps=2,
        )
        return steps_of_keras(keras, twin, ours, gradients)

    optimizer = optimizers.LossScaleOptimizer(
        optimizers.SGD(0.1, momentum=0.9), initial_scale=8.0, dynamic_growth_steps=2
    )
    wanted = recorded(theirs)
    optimizer.build(ours)
    scale = 8.0
    for given, (values, state, _) in zip(gradients, wanted, strict=True):
        assert float(optimizer.scale_loss(Array(np.float32(1)))) == scale
        optimizer.apply([Array(g) for g in given])
        scale = float(state[3])
        for mine, expected in zip(optimizer.variables, state, strict=True):
            check(mine.numpy(), expected)
        for mine, expected in zip(ours, values, strict=True):
            check(mine.numpy(), expected)
    assert int(optimizer.iterations) == 5


def test_learning_rate_can_be_set_between_steps():
    variable = Variable([1.0])
    optimizer = optimizers.SGD(0.5)
    optimizer.apply([Array(np.ones(1, np.float32))], [variable])
    optimizer.learning_rate = 0.25
    optimizer.apply([Array(np.ones(1, np.float32))])
    optimizer.learning_rate.assign(0.125)
    optimizer.apply([Array(np.ones(1, np.float32))])
    assert variable.numpy().tolist() == [0.125]
    assert int(optimizer.iterations) == 3
    optimizer.learning_rate = schedules.InverseTimeDecay(1.0, 1, 1.0)
    assert float(optimizer.learning_rate) == 0.25
    with pytest.raises(TypeError, match=r"not settable.*learning_rate=0.1"):
        optimizer.learning_rate = 0.1


def test_learning_rate_may_be_a_callable():
    optimizer = optimizers.SGD(lambda: 0.5)
    variable = Variable([1.0])
    optimizer.apply_gradients([(Array(np.ones(1, np.float32)), variable)])
    assert variable.numpy().tolist() == [0.5]


def test_frozen_and_missing_variables_stay():
    frozen, missing, moved = (Variable([1.0], name=n) for n in "fmw")
    frozen.trainable = False
    one = Array(np.ones(1, np.float32))
    with pytest.warns(UserWarning, match=r"not exist for variables \['m'\]"):
        optimizers.SGD(0.5).apply([one, None, one], [frozen, missing, moved])
    found = [v.numpy().item() for v in (frozen, missing, moved)]
    assert found == [1.0, 1.0, 0.5]


def test_constraints_are_applied_after_the_update():
    variable = Variable([0.25, 1.0])
    variable.constraint = constraints.NonNeg()
    optimizers.SGD(1.0).apply([Array(np.full(2, 0.5, np.float32))], [variable])
    assert variable.numpy().tolist() == [0.0, 0.5]


def test_variables_that_gradients_overwrite():
    variable, other = Variable([1.0]), Variable([1.0])
    variable.overwrite_with_gradient = True
    gradient = Array(np.full(1, 7.0, np.float32))
    optimizers.SGD(1.0, loss_scale_factor=7.0).apply([gradient] * 2, [variable, other])
    assert (variable.numpy().item(), other.numpy().item()) == (7.0, 0.0)


def test_exclusion_from_weight_decay():
    kernel, bias, gain = (Variable([1.0], name=n) for n in ("kernel", "bias", "gain"))
    optimizer = optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[gain], var_names=["bi.s"])
    optimizer.apply([Array(np.zeros(1, np.float32))] * 3, [kernel, bias, gain])
    assert [v.numpy().item() for v in (kernel, bias, gain)] == [0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="only be called before"):
        optimizer.exclude_from_weight_decay(var_names=["x"])


def test_own_optimizer():
    class SignDescent(optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, ops.sign(gradient) * learning_rate)

    variable = Variable([1.0, 1.0])
    optimizer = SignDescent(0.5)
    optimizer.apply([Array(np.array([3.0, -2.0], np.float32))], [variable])
    assert variable.numpy().tolist() == [0.5, 1.5]
    assert optimizer.name.startswith("sign_descent")


def test_stateless_apply_leaves_the_variables():
    variable = Variable([1.0])
    optimizer = optimizers.SGD(0.5)
    optimizer.build([variable])
    new, state = optimizer.stateless_apply(
        [Array(np.int32(3)), Array(np.float32(0.25))],
        [Array(np.ones(1, np.float32))],
        [Array(np.full(1, 2.0, np.float32))],
    )
    assert [v.numpy().tolist() for v in new] == [[1.75]]
    assert [v.numpy().item() for v in state] == [4, 0.25]
    assert variable.numpy().tolist() == [1.0]
    assert int(optimizer.iterations) == 0


def test_saving_and_loading():
    def built() -> Any:
        optimizer = optimizers.Adam()
        optimizer.build([Variable([1.0, 2.0])])
        return optimizer

    first, second = built(), built()
    first.apply([Array(np.array([1.0, -1.0], np.float32))])
    store: dict[str, Any] = {}
    first.save_own_variables(store)
    assert list(store) == ["0", "1", "2", "3"]
    second.load_own_variables(store)
    for a, b in zip(first.variables, second.variables, strict=True):
        assert a.numpy().tolist() == b.numpy().tolist()
    second.set_weights([v.numpy() * 0 for v in first.variables])
    assert not any(np.any(v.numpy()) for v in second.variables)
    with pytest.warns(
        UserWarning, match="4 variables whereas the saved .* 1 variables"
    ):
        second.load_own_variables({"0": 1})
    with pytest.raises(ValueError, match="Received: weights of shapes"):
        second.set_weights([1.0])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9, "nesterov": True, "clipnorm": 1.0}),
        ("Adam", {"learning_rate": 0.25, "use_ema": True}),
        ("AdamW", {"learning_rate": 0.5}),
        ("RMSprop", {"learning_rate": 0.5, "gradient_accumulation_steps": 2}),
        ("Adagrad", {"epsilon": 1e-3}),
        ("Adadelta", {"rho": 0.5}),
        ("Adamax", {"beta_1": 0.5}),
        ("Nadam", {"beta_2": 0.5}),
        ("Lamb", {"weight_decay": 0.1}),
        ("Lion", {"beta_2": 0.5}),
        ("Adafactor", {"relative_step": False}),
        ("Ftrl", {"l1_regularization_strength": 0.5}),
        ("Muon", {"exclude_layers": ["head"], "weight_decay": None}),
    ],
)
def test_configs_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any
):
    optimizer = getattr(optimizers, name)(name="o", **options)
    config = optimizers.serialize(optimizer)
    expected = recorded(
        lambda: keras.optimizers.serialize(
            getattr(keras.optimizers, name)(name="o", **options)
        )
    )
    assert_close(
        config["config"].pop("learning_rate"), expected["config"].pop("learning_rate")
    )
    assert config == expected


def test_nested_configs_make_equal_optimizers():
    inner = optimizers.SGD(schedules.CosineDecay(0.1, 10, warmup_target=0.2))
    config = optimizers.serialize(optimizers.LossScaleOptimizer(inner))
    again = optimizers.deserialize(config)
    assert optimizers.serialize(again) == config
    assert isinstance(again.inner_optimizer._learning_rate, schedules.CosineDecay)
    assert optimizers.Adam(0.001).get_config()["learning_rate"] == 0.001


def test_names():
    assert isinstance(optimizers.get("adam"), optimizers.Adam)
    assert isinstance(optimizers.get("AdamW"), optimizers.AdamW)
    assert isinstance(optimizers.get("RMSPROP"), optimizers.RMSprop)
    assert isinstance(optimizers.get(optimizers.SGD), optimizers.SGD)
    made = optimizers.get({"class_name": "SGD", "config": {"learning_rate": 0.5}})
    assert float(made.learning_rate) == 0.5
    assert optimizers.get(made) is made


def test_decay_is_ignored_with_a_warning():
    with pytest.warns(UserWarning, match="`decay` is no longer supported"):
        optimizers.SGD(decay=0.1)


ONE = Array(np.ones(1, np.float32))


def apply_unknown() -> None:
    optimizer = optimizers.SGD()
    optimizer.build([Variable([1.0])])
    optimizer.apply([ONE], [Variable([1.0], name="other")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.get("adan"), r"identifier='adan'. Did you mean 'adam'\?"),
        (lambda: optimizers.get(None), "Received: identifier=None"),
        (
            lambda: optimizers.SGD(clipnorm=1.0, clipvalue=2.0),
            r"Only one of .*clipnorm=1.0, clipvalue=2.0, global_clipnorm=None",
        ),
        (lambda: optimizers.SGD(learning_rate="x"), "learning_rate='x'"),
        (lambda: optimizers.SGD(momentum=2.0), "momentum=2.0"),
        (lambda: optimizers.SGD(lr=2.0), r"not recognized: \{'lr': 2.0\}"),
        (lambda: optimizers.SGD(use_ema=True, ema_momentum=2), "ema_momentum=2"),
        (
            lambda: optimizers.SGD(use_ema=True, ema_overwrite_frequency=0),
            "ema_overwrite_frequency=0",
        ),
        (lambda: optimizers.SGD(gradient_accumulation_steps=1), ">= 2.*steps=1"),
        (lambda: optimizers.AdamW(weight_decay=None), "must be a float"),
        (lambda: optimizers.Lion(beta_1=0.0), "above 0 and at most 1.*beta_1=0.0"),
        (lambda: optimizers.Ftrl(learning_rate_power=1.0), "learning_rate_power=1.0"),
        (
            lambda: optimizers.Ftrl(l1_regularization_strength=-1.0),
            "l1_regularization_strength=-1.0",
        ),
        (lambda: optimizers.SGD().apply([ONE]), "must already be built"),
        (
            lambda: optimizers.SGD().apply([ONE], [Variable([1.0])] * 2),
            "1 gradients for 2 variables",
        ),
        (
            lambda: optimizers.SGD().apply([None], [Variable([1.0], name="w")]),
            r"No gradients provided for any variable.*\['w'\]",
        ),
        (apply_unknown, "Unknown variable: .*other"),
        (lambda: optimizers.SGD().stateless_apply([], [], []), "must be built"),
        (
            lambda: optimizers.serialize(optimizers.SGD(lambda: 0.1)),
            "A lambda cannot be saved",
        ),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()


def test_loss_scale_optimizer_needs_an_optimizer():
    with pytest.raises(TypeError, match="inner_optimizer='adam'"):
        optimizers.LossScaleOptimizer("adam")  # type: ignore[arg-type]


def test_clipping_of_zero_and_infinite_gradients():
    zero = Array(np.zeros(2, np.float32))
    assert clip_by_norm(zero, 1.0).tolist() == [0.0, 0.0]
    infinite = Array(np.array([np.inf], np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        clipped = clip_by_global_norm([infinite, ONE], 1.0)
    assert all(np.isnan(np.asarray(g)).all() for g in clipped)
