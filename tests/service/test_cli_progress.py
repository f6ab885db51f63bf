"""Progress of what takes long: lines where there is no terminal, and one now and then while nothing changes."""

import io
import time

from rich.console import Console

from atomic_margin.service.cli.progress import Progress


def console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=200), text


def test_what_changes_is_said_and_not_more_often_than_wanted() -> None:
    out, text = console()
    with Progress(out, apart=0.2, at_least=60) as progress:
        for number in range(30):
            progress.say(f"step {number}")
            time.sleep(0.02)
    said = [line.split(" ", 1)[1] for line in text.getvalue().splitlines()]
    assert said[0] == "step 0"
    assert said[-1] == "step 29"
    assert 3 <= len(said) < 15


def test_silence_is_broken() -> None:
    out, text = console()
    with Progress(out, apart=0.05, at_least=0.2) as progress:
        progress.say("compiling")
        time.sleep(0.9)
    lines = text.getvalue().splitlines()
    assert lines[0] == "0:00 compiling"
    assert {line.split(" ", 1)[1] for line in lines} == {"compiling"}
    assert 3 <= len(lines) < 15


def test_a_terminal_gets_one_line_that_is_gone_at_the_end() -> None:
    out, text = console(terminal=True)
    with Progress(out) as progress:
        progress.say("making keys")
        time.sleep(0.2)
    assert "making keys" in text.getvalue()
    assert not text.getvalue().endswith("making keys\n")


def test_nothing_said_is_nothing_printed() -> None:
    out, text = console()
    with Progress(out, apart=0.01, at_least=0.02):
        time.sleep(0.2)
    assert text.getvalue() == ""
