"""CSVLogger."""

import numpy as np
import pytest

from graphc.frontend.callbacks import CSVLogger


def test_a_row_for_each_epoch(train, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old\n")
    train(CSVLogger(path), [{"loss": 0.5, "accuracy": 0.25}, {"loss": 0.125}])
    assert path.read_text() == "epoch,accuracy,loss\n0,0.25,0.5\n1,NA,0.125\n"


def test_metrics_that_come_later_get_columns(train, tmp_path):
    path = tmp_path / "log.csv"
    epochs = [{"loss": 1.0}, {"loss": 0.5, "val_loss": 2.0}, {"loss": 0.25}]
    train(CSVLogger(path, separator=";"), epochs)
    assert path.read_text() == "epoch;loss;val_loss\n0;1.0;NA\n1;0.5;2.0\n2;0.25;NA\n"


def test_appending(train, tmp_path):
    path = tmp_path / "log.csv"
    callback = CSVLogger(path, append=True)
    train(callback, [{"loss": 1.0}])
    train(callback, [{"loss": 0.5}])
    assert path.read_text() == "epoch,loss\n0,1.0\n0,0.5\n"


def test_arrays_and_separators_in_values(train, tmp_path):
    path = tmp_path / "log.csv"
    train(CSVLogger(path), [{"f1": np.array([0.5, 0.25])}])
    assert path.read_text() == 'epoch,f1\n0,"[0.5, 0.25]"\n'


def test_what_cannot_be_written_fails_before_training(train, tmp_path):
    with pytest.raises(FileNotFoundError):
        train(CSVLogger(tmp_path / "missing" / "log.csv"), [])
