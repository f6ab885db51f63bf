"""Traces of requests and runs, where somebody collects them; nothing where nobody does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atomic_margin.service import tracing
from atomic_margin.service.errors import ConfigurationError

from .documents import FUND
from .world import World

pytest.importorskip("opentelemetry.sdk")


@pytest.fixture
def spans() -> Iterator[Any]:
    """What is traced, in memory."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracing.start("atomic-margin tested", exporter=exporter)
    yield exporter
    tracing.stop()


def test_all_steps_of_a_run_are_in_one_trace(world_at: Callable[[str], World], spans: Any) -> None:
    world = world_at("submitted")
    run_id = world.play(1)
    world.client.post(f"/v1/runs/{run_id}/answer", json=world.prove_answer(run_id).to_json(), auth=world.auth())
    steps = [span for span in spans.get_finished_spans() if span.context.trace_id == tracing.trace_of(run_id)]
    assert [span.name for span in steps] == ["plan", "evaluate", "record", "verify"]
    for span in steps:
        assert dict(span.attributes) == {"run": run_id}
        assert span.start_time <= span.end_time
    assert steps[0].end_time <= steps[1].end_time <= steps[2].end_time <= steps[3].start_time
    requests = [span for span in spans.get_finished_spans() if span.name.startswith("POST")]
    # Twice: the first is refused, and tells the epoch that requests are signed under.
    assert [span.name for span in requests] == ["POST /v1/runs/{run_id}/answer"] * 2
    # Whoever collects traces is told nothing that the operator keeps to itself.
    told = str([span.to_json() for span in spans.get_finished_spans()])
    assert world.operator.admin_token not in told
    assert "signature" not in told
    assert tracing.trace_of(f"{FUND}.2") != tracing.trace_of(run_id)


def test_what_fails_is_named_without_its_text(spans: Any) -> None:
    def fail() -> None:
        with tracing.span("settle", "fund.3"):
            raise ValueError("5,000 of free collateral")

    with pytest.raises(ValueError, match="5,000"):
        fail()
    (span,) = spans.get_finished_spans()
    assert (span.status.is_ok, span.status.description, span.events) == (False, "ValueError", ())


def test_nothing_is_imported_where_nobody_collects() -> None:
    code = (
        "import sys; from atomic_margin.service import tracing\n"
        "with tracing.span('plan', 'fund.1'): pass\n"
        "tracing.stop(); print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_where_traces_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    assert tracing.wanted(None) is None
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:4318")
    assert tracing.wanted(None) == "http://127.0.0.1:4318"
    assert tracing.wanted("http://127.0.0.1:1") == "http://127.0.0.1:1"
    with pytest.raises(ConfigurationError, match="--otlp takes http://HOST:PORT of a collector, got 'collector'"):
        tracing.start("tested", "collector")
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="need the extra telemetry"):
        tracing.start("tested", "http://127.0.0.1:1")
