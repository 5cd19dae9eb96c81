"""Progress bars, status lines and messages, on terminals and elsewhere."""

import io
import logging
import re
import time

import keras
import pytest

from graphc.frontend import progress
from graphc.frontend.config import (
    disable_interactive_logging,
    enable_interactive_logging,
)
from graphc.frontend.progress import Progbar, print_message, show_status


class Terminal(io.StringIO):
    """A terminal that remembers all that was written to it."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def fileno(self):
        raise OSError

    def screen(self):
        """The lines as they end up on the screen."""
        lines, column = [""], 0
        for character in re.sub(r"\x1b\[[\d;]*m", "", self.getvalue()):
            if character == "\n":
                lines.append("")
                column = 0
            elif character == "\r":
                column = 0
            elif character == "\b":
                column -= 1
            else:
                line = lines[-1]
                lines[-1] = line[:column] + character + line[column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    monkeypatch.setattr(progress, "_line", progress._Line(stream))
    monkeypatch.setattr(progress, "_status", progress._Status(progress._line))
    return stream


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when the test says so."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


def without_times(text):
    return re.sub(r"\d+(s|ms|us)", "TIME", text)


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("stateful", [None, ["loss"]])
def test_last_line_reads_like_that_of_keras(verbose, stateful, capsys):
    lines = []
    for kind in (Progbar, keras.utils.Progbar):
        bar = kind(12, verbose=verbose, stateful_metrics=stateful)
        for step in range(12):
            bar.update(step + 1, [("loss", 1.0 / (step + 1)), ("small", 1e-5)])
        text = re.sub(r"\x1b\[[\d;]*m|\x08", "", capsys.readouterr().out)
        # Keras pads its line if an earlier one was longer.
        lines.append(without_times(text.rpartition("\r")[2]).rstrip(" \n"))
    assert lines[0] == lines[1]
    assert (lines[0] == "") == (verbose == 0)


def test_draws_in_place_on_a_terminal(terminal, clock):
    bar = Progbar(20, interval=0.05)
    clock.now += 2
    bar.update(1, {"loss": 0.5}, finalize=False)
    assert terminal.screen() == [
        " 1/20 ━─────────────────── 38s 2s/step - loss: 0.5000"
    ]
    clock.now += 0.1
    bar.update(11, {"loss": 0.25}, finalize=False)
    # The first step, which includes compiling, does not count.
    assert terminal.screen() == [
        "11/20 ━━━━━━━━━━━───────── 0s 10ms/step - loss: 0.2500"
    ]
    bar.update(20, {"loss": 0.125, "val_loss": 1.0}, finalize=True)
    assert terminal.screen() == [
        "20/20 ━━━━━━━━━━━━━━━━━━━━ 2s 5ms/step - loss: 0.1250 - val_loss: 1.0000",
        "",
    ]
    assert "\x1b[32m━" in terminal.getvalue()


def test_draws_rarely_and_reads_values_only_then(terminal, clock):
    class Logs(dict):
        reads = 0

        def items(self):
            Logs.reads += 1
            return super().items()

    bar = Progbar(1000)
    for step in range(500):
        bar.update(step + 1, Logs(loss=1.0), finalize=False)
        clock.now += 0.001
    assert Logs.reads == terminal.getvalue().count("/1000") == 10
    assert terminal.screen()[0].startswith(" 451/1000")
    # The last step is drawn whatever the time, before validation takes its time.
    bar.update(1000, Logs(loss=1.0), finalize=False)
    assert terminal.screen()[0].startswith("1000/1000")


def test_an_update_costs_little(capsys):
    bar = Progbar(10**6)
    logs = {"loss": 1.0}
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for step in range(1000):
            bar.update(step, logs, finalize=False)
        best = min(best, time.perf_counter() - start)
    assert best / 1000 < 20e-6  # about 1 us on an idle machine


def test_unknown_number_of_steps(terminal, clock):
    bar = Progbar(None)
    clock.now += 90
    bar.update(3, {"loss": 1.0})
    assert terminal.screen() == ["      3/Unknown 1:30 30s/step - loss: 1.0000"]
    bar.update(4, {"loss": 1.0}, finalize=True)
    assert terminal.screen()[0].startswith("4/4 ━━━━━━━━━━━━━━━━━━━━ 1:30 ")


def test_lines_are_cut_to_the_width_until_the_last(terminal, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(progress, "_line", progress._Line(terminal))
    bar = Progbar(2, interval=0)
    bar.update(1, {"loss": 1.0}, finalize=False)
    assert len(terminal.screen()[0]) == 29
    assert terminal.screen()[0].endswith("…")
    bar.update(2, {"loss": 1.0}, finalize=True)
    assert terminal.screen()[0].endswith("loss: 1.0000")


def test_averages_pairs_over_steps(terminal, clock):
    bar = Progbar(10, interval=0, stateless_metrics=["mean"])
    bar.update(1, [("mean", 1.0), ("last", 1.0)])
    bar.update(4, [("mean", 3.0), ("last", 3.0)])
    # The second values are those of three steps.
    assert terminal.screen()[0].endswith("mean: 2.5000 - last: 3.0000")
    bar.add(6, [("mean", 7.0)])
    assert terminal.screen()[0].endswith("mean: 7.0000 - last: 3.0000")


def test_what_values_look_like(capsys):
    values = {"array": [0.25, 1 / 3], "zero": 0.0, "text": "on", "nan": float("nan")}
    Progbar(1, verbose=2).update(1, values)
    line = without_times(capsys.readouterr().out)
    assert line == (
        "1/1 - TIME - TIME/step - array: [0.25   0.3333] - zero: 0.0000e+00 - text: on"
        " - nan: nan\n"
    )


def test_both_kinds_of_metrics():
    with pytest.raises(ValueError, match="Received: both"):
        Progbar(1, stateful_metrics=[], stateless_metrics=[])


def test_messages_go_above_the_bar(terminal, clock):
    bar = Progbar(2, interval=0)
    bar.update(1, {}, finalize=False)
    print_message("Epoch 1: saved")
    bar.update(2, {}, finalize=True)
    assert terminal.screen() == [
        "Epoch 1: saved",
        "2/2 ━━━━━━━━━━━━━━━━━━━━ 0s 0s/step",
        "",
    ]


def test_status_with_seconds(terminal, monkeypatch):
    monkeypatch.setattr(progress, "STATUS_SECONDS", 0.01)
    show_status("compiling train_step")
    deadline = time.monotonic() + 5
    while "0.1 s" not in terminal.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert re.fullmatch(r"compiling train_step \.\.\. 0\.\d s", terminal.screen()[0])
    show_status("")
    assert terminal.screen() == [""]
    show_status("")


def test_a_status_of_an_instant_is_not_shown(terminal):
    show_status("tracing")
    show_status("compiling")
    show_status("")
    assert terminal.getvalue() == ""


def test_no_status_in_a_log_file(capsys, monkeypatch):
    monkeypatch.setattr(progress, "STATUS_SECONDS", 0.001)
    show_status("compiling")
    time.sleep(0.02)
    show_status("")
    assert capsys.readouterr().out == ""


def test_without_interactive_logging_lines_go_to_the_logger(capsys, caplog):
    disable_interactive_logging()
    try:
        with caplog.at_level(logging.INFO, "graphc"):
            print_message("Epoch 1/2")
            bar = Progbar(2, verbose=2)
            bar.update(1, {"loss": 1.0})
            bar.update(2, {"loss": 1.0})
    finally:
        enable_interactive_logging()
    assert capsys.readouterr().out == ""
    assert [without_times(line) for line in caplog.messages] == [
        "Epoch 1/2",
        "2/2 - TIME - TIME/step - loss: 1.0000",
    ]


def test_ascii_terminals(terminal, clock):
    terminal.encoding = "ascii"
    bar = Progbar(2, width=4, interval=0)
    bar.update(1, {}, finalize=False)
    assert terminal.screen()[0].startswith("1/2 ==.. ")
