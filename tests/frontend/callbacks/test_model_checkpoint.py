"""ModelCheckpoint."""

import pytest

from graphc.frontend.callbacks import ModelCheckpoint


def test_saves_after_each_epoch(train, model, tmp_path):
    path = tmp_path / "new" / "{epoch:02d}-{loss:.1f}.graphc"
    train(ModelCheckpoint(path), [{"loss": 1.0}, {"loss": 0.25}])
    assert model.saved == [
        ("model", f"{tmp_path}/new/01-1.0.graphc"),
        ("model", f"{tmp_path}/new/02-0.2.graphc"),
    ]
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"monitor": "loss"}, [1, 3]),
        ({"monitor": "loss", "mode": "max"}, [1, 2]),
        ({"monitor": "loss", "initial_value_threshold": 0.9}, [3]),
    ],
)
def test_saves_the_best_only(options, epochs, train, model, tmp_path):
    callback = ModelCheckpoint(
        tmp_path / "{epoch}.weights.safetensors",
        save_best_only=True,
        save_weights_only=True,
        **options,
    )
    train(callback, [{"loss": v} for v in (1.0, 2.0, 0.5, 0.75)])
    assert model.saved == [
        ("weights", f"{tmp_path}/{epoch}.weights.safetensors") for epoch in epochs
    ]


def test_the_best_is_kept_between_trainings(train, model, tmp_path):
    callback = ModelCheckpoint(tmp_path / "a.graphc", "loss", save_best_only=True)
    train(callback, [{"loss": 1.0}])
    train(callback, [{"loss": 2.0}])
    assert len(model.saved) == 1
    assert callback.best == 1.0


def test_saves_every_few_batches_across_epochs(model, tmp_path):
    callback = ModelCheckpoint(tmp_path / "{epoch}-{batch}.graphc", save_freq=3)
    assert callback.uses_batch_hooks("train")
    assert not callback.uses_batch_hooks("test")
    assert not ModelCheckpoint("a.graphc").uses_batch_hooks("train")
    callback.set_model(model)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert [path for _, path in model.saved] == [
        f"{tmp_path}/1-3.graphc",
        f"{tmp_path}/2-2.graphc",
    ]


def test_messages(train, tmp_path, capsys):
    path = f"{tmp_path}/a.graphc"
    callback = ModelCheckpoint(path, "loss", verbose=1, save_best_only=True)
    train(callback, [{"loss": 1.0}, {"loss": 2.0}])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: loss improved from None to 1.00000",
        f"Epoch 1: saving model to {path}",
        "Epoch 2: loss did not improve from 1.00000",
    ]


@pytest.mark.parametrize(
    ("filepath", "weights", "message"),
    [
        (
            "a.keras",
            False,
            "ends in '.graphc' for models. Received: filepath='a.keras'",
        ),
        ("a.h5", False, "ends in '.graphc'"),
        ("a.safetensors", False, "ends in '.graphc'"),
        ("a.weights.h5", True, "ends in '.safetensors' for `save_weights_only=True`"),
        ("a.graphc", True, "ends in '.safetensors'"),
    ],
)
def test_endings_of_file_names(filepath, weights, message):
    with pytest.raises(ValueError, match="Expected a `filepath`") as error:
        ModelCheckpoint(filepath, save_weights_only=weights)
    assert message in str(error.value)


def test_errors(train, model):
    for save_freq in ("batch", 0, 1.5):
        with pytest.raises(ValueError, match=f"Received: save_freq={save_freq!r}"):
            ModelCheckpoint("a.graphc", save_freq=save_freq)
    with pytest.raises(KeyError, match="which names 'val_los'"):
        train(ModelCheckpoint("{val_los}.graphc"), [{"loss": 1.0}])
    with pytest.warns(UserWarning, match="ModelCheckpoint is conditioned on metric"):
        train(ModelCheckpoint("a.graphc", save_best_only=True), [{"loss": 1.0}] * 2)
    assert model.saved == []
