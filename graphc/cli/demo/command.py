"""The ``graphc demo`` command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.cli.demo import data, models
from graphc.frontend import optimizers
from graphc.frontend.seeds import set_random_seed
from graphc.frontend.training import losses
from graphc.passes import run_with_report
from graphc.runtime.compile import emit

WANTED_ACCURACY = 0.98
LENGTH = 64

RELOAD = """
import sys, numpy as np, graphc
model = graphc.load_model(sys.argv[1])
x, expected = np.load(sys.argv[2]), np.load(sys.argv[3])
found = model.predict(x, verbose=0)
sys.exit(0 if np.array_equal(found, expected) else 1)
"""


@click.command()
@click.option(
    "-o",
    "--output",
    default="graphc-demo",
    show_default=True,
    help="Where to write the models, graphs and StableHLO.",
)
@click.option("--seed", default=0, show_default=True, help="The random seed.")
def demo(output: str, seed: int) -> None:
    """Train a CNN on handwritten digits and a transformer on English text."""
    directory = Path(output)
    directory.mkdir(parents=True, exist_ok=True)
    set_random_seed(seed)
    accuracy = train_digits(directory)
    train_characters(directory)
    click.echo(f"\ndigits test_accuracy {accuracy:.4f}")
    if accuracy < WANTED_ACCURACY:
        raise click.ClickException(f"expected at least {WANTED_ACCURACY}")
    click.echo("demo ok")


def train_digits(directory: Path) -> float:
    """Trains, reports, saves and reloads the digits model; returns its accuracy."""
    click.echo("== A convolutional network on scikit-learn's handwritten digits")
    (x, y), (test_x, test_y) = data.digits()
    model = models.digits_cnn()
    model.compile(
        optimizer=optimizers.Adam(2e-3),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=64, epochs=20, validation_data=(test_x, test_y))
    accuracy = model.evaluate(test_x, test_y, verbose=0)[1]
    report(model, "digits", directory, x[:64], y[:64])
    check_reload(model, "digits", directory, test_x)
    return float(accuracy)


def train_characters(directory: Path) -> None:
    """Trains, reports, saves, reloads and samples from the character transformer."""
    click.echo("\n== A character transformer on the text of Python's built-in help")
    source = data.text()
    characters = data.Characters(source)
    x, y = data.windows(characters.encode(source), LENGTH, 32 * 300, seed=1)
    model = models.transformer(LENGTH, len(characters))
    model.compile(
        optimizer=optimizers.AdamW(3e-3, weight_decay=0.01),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x, y, batch_size=32, epochs=1)
    report(model, "characters", directory, x[:32], y[:32])
    check_reload(model, "characters", directory, x[:32])
    prompt = "The statement "
    click.echo("sample:")
    click.echo(sample(model, characters, prompt, 160))


def report(model: Any, name: str, directory: Path, x: Any, y: Any) -> None:
    """Prints sizes and times of the training step; writes its graph and StableHLO."""
    traced = model.graph("train_step", batch_size=len(x))
    lowered, _ = run_with_report(traced, "default")
    compiles = [c for step in model.steps() for p in step for c in p.compiles]
    seconds = sum(c.seconds for c in compiles)
    gir, text = directory / f"{name}.gir", directory / f"{name}.mlir"
    gir.write_text(str(traced), encoding="utf-8")
    text.write_text(emit(traced, "xla"), encoding="utf-8")
    nodes = sum(len(g) for g in traced.reachable())
    after = sum(len(g) for g in lowered.reachable())
    click.echo(f"nodes: {nodes} as traced, {after} after passes")
    click.echo(f"compile time: {seconds:.2f} s for {len(compiles)} programs")
    click.echo(f"steps per second: {steps_per_second(model, x, y):.0f}")
    click.echo(f"graph: {gir}\nStableHLO: {text}")


def steps_per_second(model: Any, x: Any, y: Any, steps: int = 30) -> float:
    """Training steps per second on one batch; the weights are put back."""
    weights = model.get_weights()
    model.train_on_batch(x, y)
    start = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(x, y)
    seconds = time.perf_counter() - start
    model.set_weights(weights)
    return steps / seconds


def check_reload(model: Any, name: str, directory: Path, x: Any) -> None:
    """Saves the model and checks that a fresh process predicts the same."""
    path = directory / f"{name}.graphc"
    model.save(path)
    inputs, expected = directory / f"{name}-x.npy", directory / f"{name}-y.npy"
    np.save(inputs, x)
    np.save(expected, model.predict(x, verbose=0))
    command = [sys.executable, "-c", RELOAD, str(path), str(inputs), str(expected)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(
            f"the reloaded model predicts otherwise\n{done.stderr[-2000:]}"
        )
    click.echo(f"model: {path} (reloaded in a fresh process: predictions identical)")


def sample(model: Any, characters: data.Characters, prompt: str, count: int) -> str:
    """`count` characters that the model continues a prompt with."""
    generator = np.random.default_rng(0)
    written = characters.encode(prompt)
    for _ in range(count):
        context = written[-LENGTH:]
        padded = np.zeros((1, LENGTH), np.int32)
        padded[0, : len(context)] = context
        logits = model.predict_on_batch(padded)[0, len(context) - 1]
        odds = np.exp((logits - logits.max()) / 0.7)
        written = np.append(
            written, generator.choice(len(odds), p=odds / odds.sum())
        ).astype(np.int32)
    return characters.decode(written)
