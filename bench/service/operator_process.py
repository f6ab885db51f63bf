"""The operator of a load: ``python -m atomic_margin.bench.service.operator_process FILE``. Only `load` starts it.

It serves as `atomic-margin serve` does, with the plain evaluator where the load says so, and writes a trace.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn

from atomic_margin.bench.service.plain import PlainEvaluator
from atomic_margin.bench.service.scene import Scene
from atomic_margin.bench.service.tracing import trace_operator
from atomic_margin.service.files import read_json
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.price_rules import PriceRules


def main() -> None:
    """Serve until the process is told to stop."""
    said: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    scene = Scene(said["profile"], said["ticks"])
    settings = Settings(
        Path(said["directory"]),
        PriceRules.parse(read_json(Path(said["price_rules"]))),
        answer_seconds=said["answer_seconds"],
        database_url=said["database"],
        policy=Policy(said["policy"]),
        proof_seconds=said["proof_seconds"],
    )
    operator = Operator(settings, scene.terms(), PlainEvaluator(scene.profile) if said["plain"] else None)
    trace_operator(operator, Path(said["trace"]))
    uvicorn.run(create_app(operator), host="127.0.0.1", port=said["port"], log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
