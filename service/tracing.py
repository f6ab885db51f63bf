"""Traces of requests and runs by OpenTelemetry, where the extra `telemetry` is installed and an address is given.

Nothing happens before `start`, and nothing is imported. All steps of a run are in one trace, whose identifier follows
from the run's name: planned and evaluated in the background, answered in a request, settled in another, perhaps by
another process.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from atomic_margin.service.errors import ConfigurationError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Environment variable with the address of a collector, by OpenTelemetry's own name."""
EXPORT_SECONDS = 10
"""Longest time that a batch of spans may take to be handed over."""


class _Traces:
    """What spans are made with, once there is something."""

    tracer: Any = None
    provider: Any = None


def wanted(url: str | None) -> str | None:
    """Return where traces go: the option, else the environment's; None if nowhere."""
    return url or os.environ.get(ENDPOINT) or None


def start(service: str, url: str | None = None, exporter: Any = None) -> None:
    """Send spans to a collector that speaks OTLP over HTTP, or to an exporter that is given.

    Args:
        service: name of this process in traces.
        url: address of the collector, without a path.
        exporter: for tests and other collectors.

    Raises:
        ConfigurationError: the extra is not installed, or the address is none.
    """
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError("traces need the extra telemetry: pip install 'atomic-margin[telemetry]'")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    if exporter is not None:
        processor: Any = SimpleSpanProcessor(exporter)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        if url is None or not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"--otlp takes http://HOST:PORT of a collector, got {str(url)[:80]!r}")
        processor = BatchSpanProcessor(OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS))
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _Traces.provider, _Traces.tracer = provider, provider.get_tracer("atomic_margin")


def stop() -> None:
    """Hand over what is left, and trace nothing more."""
    provider, _Traces.provider, _Traces.tracer = _Traces.provider, None, None
    if provider is not None:
        provider.shutdown()


def watch(app: Any) -> None:
    """Trace the requests of a FastAPI application, by route and status; no header and no body."""
    if _Traces.provider is not None:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=_Traces.provider,
            exclude_spans=["receive", "send"],
            excluded_urls="healthz,readyz,metrics",
        )


@contextmanager
def span(name: str, run_id: str) -> Iterator[None]:
    """Draw the block as a step in the trace of a run; what it raises is named there, without its text."""
    if _Traces.tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    with _Traces.tracer.start_as_current_span(
        name, _context(run_id), attributes={"run": run_id}, record_exception=False, set_status_on_exception=False
    ) as drawn:
        try:
            yield
        except BaseException as error:
            drawn.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def past_span(name: str, run_id: str, started: datetime, ended: datetime) -> None:
    """Draw what is over as a step in the trace of a run."""
    if _Traces.tracer is None:
        return
    first, last = (int(moment.timestamp() * 1_000_000) * 1000 for moment in (started, ended))
    _Traces.tracer.start_span(name, _context(run_id), attributes={"run": run_id}, start_time=first).end(last)


def trace_of(run_id: str) -> int:
    """Return the identifier of a run's trace."""
    return int.from_bytes(_digest(run_id)[:16], "big")


def _digest(run_id: str) -> bytes:
    return hashlib.sha256(b"atomic-margin/trace/" + run_id.encode()).digest()


def _context(run_id: str) -> Any:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    parent = SpanContext(
        trace_of(run_id),
        int.from_bytes(_digest(run_id)[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(parent))
