"""The program around the commands: version, `info`, missing extras, Ctrl-C, and output that nobody reads."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import atomic_margin
from atomic_margin.service.cli.extras import EXTRAS, missing_modules
from atomic_margin.service.cli.main import COMMANDS, app
from atomic_margin.service.files import examples_folder
from atomic_margin.service.protocol.signing import Identity

from .documents import price_rules

pytestmark = pytest.mark.long

# One process imports the program, and forks one for each command: importing takes three seconds, a command's help none.
HELP_OF_EACH = """
import os, sys
for name in {modules!r}:
    sys.modules[name] = None
from atomic_margin.service.cli import main
for command in {commands!r}:
    child = os.fork()
    if child == 0:
        sys.argv = ["atomic-margin", command, "--help"]
        main()
    print("ended", command, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


# The same for commands that are run as if no module of some extras were installed; what each says goes into two files.
EACH_WITHOUT = """
import os, sys
from atomic_margin.service.cli import main
for number, (modules, arguments) in enumerate({cases!r}):
    child = os.fork()
    if child == 0:
        for name in modules:
            sys.modules[name] = None
        for descriptor, kind in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{{number}}.{{kind}}", os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
        sys.argv = ["atomic-margin", *arguments]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

MISSING = [
    (("demo", "--out", "unmade"), ("fhe",), "demo needs the extra fhe: pip install 'atomic-margin[fhe,service]'"),
    (("demo", "--out", "unmade"), ("fhe", "service"), "demo needs the extras fhe and service: "),
    (("audit", "fund.1", "--dir", "x"), ("service",), "audit needs the extra service: "),
    (("bench", "fhe"), ("fhe",), "bench fhe needs the extra fhe: pip install 'atomic-margin[fhe]'"),
    (("bench", "fhe", "--compare"), ("bench",), "bench fhe needs the extra bench: "),
    (("feed", "post", "x", "--operator", "x"), ("service",), "feed post needs the extra service: "),
]
INFO = (("info", "--json"), tuple(EXTRAS))


class Said(NamedTuple):
    """What a command said and how it ended."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory: pytest.TempPathFactory) -> list[Said]:
    """What the commands of `MISSING`, and `INFO` after them, say without their extras; they leave no file behind."""
    folder = tmp_path_factory.mktemp("without")
    commands = [*((arguments, extras) for arguments, extras, _ in MISSING), INFO]
    cases = [([module for extra in extras for module in EXTRAS[extra]], list(words)) for words, extras in commands]
    done = subprocess.run(
        [sys.executable, "-c", EACH_WITHOUT.format(cases=cases)],
        cwd=folder, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = [
        Said(int(status), (folder / f"{number}.stdout").read_text(), (folder / f"{number}.stderr").read_text())
        for number, status in enumerate(done.stdout.split())
    ]
    assert len(found) == len(commands)
    assert len(list(folder.iterdir())) == 2 * len(commands)
    return found


def every_help(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from every_help(command.get_command(None, name), (*path, name))


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"atomic-margin {atomic_margin.__version__}\n")


def test_every_command_and_sub_command_has_help() -> None:
    paths = list(every_help(get_command(app)))
    assert {path[0] for path in paths if path} == set(COMMANDS)
    assert ("operator", "deposit") in paths
    for path in paths:
        result = CliRunner().invoke(app, [*path, "--help"])
        assert result.exit_code == 0, path
        assert "Usage: " in result.output


@pytest.mark.long
def test_help_needs_no_extra() -> None:
    modules = [module for extra in EXTRAS.values() for module in extra]
    code = HELP_OF_EACH.format(modules=modules, commands=list(COMMANDS))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    said = re.split(r"^ended (\S+) (\S+)\n", done.stdout, flags=re.MULTILINE)
    assert said[1::3] == list(COMMANDS)
    for help_text, command, status in zip(said[::3], said[1::3], said[2::3], strict=False):
        assert status == "0", command
        assert f"Usage: atomic-margin {command}" in help_text


@pytest.mark.parametrize("number", range(len(MISSING)), ids=[" ".join(words) for words, _, _ in MISSING])
def test_a_missing_extra_is_named_in_one_sentence(without_extras: list[Said], number: int) -> None:
    done = without_extras[number]
    assert (done.status, done.stdout) == (2, "")
    assert MISSING[number][2] in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_info_says_what_is_there() -> None:
    result = CliRunner().invoke(app, ["info", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["version"] == atomic_margin.__version__
    assert said["extras"] == {extra: not missing_modules(extra) for extra in EXTRAS}
    assert said["zk_backends"] == {"arkworks": "loads", "reference": "loads"}
    assert said["fhe_library"] == "loads"
    assert said["libraries"]["numpy"].startswith("1.")
    assert said["caches"]["generators"]["bytes"] > 1 << 20
    assert Path(said["examples"], "universe.json").is_file()
    assert said["machine"]["cores"] >= 1
    assert said["ceilings"] == {
        "proof_bits": 1 << 18,
        "instruments": {"64x16x20": 15, "256x24x24": 63, "1024x64x24": 255, "4096x64x24": 1023},
    }
    table = CliRunner().invoke(app, ["info"])
    assert table.exit_code == 0
    for word in ("atomic-margin", "FHE library", "cache, profiles", "extra fhe", "memory"):
        assert word in table.stdout


def test_info_measures_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_MARGIN_CACHE", str(tmp_path))
    (tmp_path / "modules" / "one").mkdir(parents=True)
    (tmp_path / "modules" / "one" / "server.zip").write_bytes(b"x" * 1234)
    profiles = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)["caches"]["profiles"]
    assert profiles == {"place": str(tmp_path / "modules"), "files": 1, "bytes": 1234}


@pytest.mark.parametrize("cache", ["off", "others"])
def test_info_says_why_there_is_no_cache(cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("ATOMIC_MARGIN_CACHE", "off" if cache == "off" else str(tmp_path))
    said = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)["caches"]
    assert said["directory"] is None
    assert ("=off" if cache == "off" else "chmod 700") in said["problem"]


def test_info_works_without_extras(without_extras: list[Said]) -> None:
    done = without_extras[len(MISSING)]
    assert (done.status, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["extras"] == dict.fromkeys(EXTRAS, False)
    assert "concrete-python cannot be imported" in said["fhe_library"]


def test_the_examples_are_the_repository_s() -> None:
    assert examples_folder() == Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    "arguments",
    [("gap", "--books", "2"), pytest.param(("info", "--json"), marks=pytest.mark.slow), ("margin", "--help")],
    ids=str,
)
def test_output_that_nobody_reads_ends_in_silence(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "atomic_margin", *arguments],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
        )  # fmt: skip
    finally:
        os.close(writer)
    # A progress bar leaves an empty line.
    assert (done.returncode, done.stderr.strip()) == (141, "")


def processor_seconds(process: int) -> float:
    """What a process has computed so far."""
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
def test_ctrl_c_is_one_word_and_a_status_of_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "atomic_margin", "gap", "--books", "1000000", "--model", "scan"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell that started the tests in its background made every process of theirs deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        # By then it has imported what it needs and measures, however busy the machine is.
        while processor_seconds(process.pid) < 4:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, output) == (130, "")
    assert errors.strip().splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--witness", "w1.example"), "--witness takes URL=KEY"),
        (("--witness", "ftp://w1=x+00000000+AAAA"), "--witness takes URL=KEY"),
        (("--witness", "http://w1=x+00000000+AAAA"), "is no key"),
    ],
)
def test_a_witness_that_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, given: tuple[str, ...], why: str
) -> None:
    examples = examples_folder()
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(price_rules(Identity.generate()).canonical()))
    paths = {
        "--dir": tmp_path / "op",
        "--price-rules": rules,
        "--model": examples / "model-scan.json",
        "--universe": examples / "universe.json",
        "--schedule": examples / "collateral-schedule.json",
    }
    arguments = [str(part) for option in paths.items() for part in option]
    result = CliRunner().invoke(app, ["serve", *arguments, *given])
    assert result.exit_code == 2
    assert why in result.stderr
    assert not (tmp_path / "op").exists()


def test_a_log_without_a_key_is_refused(tmp_path: Path) -> None:
    arguments = ["witness", "--dir", str(tmp_path / "w"), "--name", "w", "--log", "margin.example/log"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--log takes ORIGIN=KEY" in result.stderr
    assert not (tmp_path / "w").exists()
