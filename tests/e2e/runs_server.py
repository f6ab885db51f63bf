"""The operator's own program with one change: runs are evaluated under encryption, their shortfalls in the clear.

After a breach a shortfall takes longer than the run, and no run waits for it. `test_shortfall` and `test_demo` have the
real program, which evaluates both under encryption.
"""

from atomic_margin.service.cli import main

from .plain_server import Trusted

if __name__ == "__main__":
    from atomic_margin.service.operator.runs import shortfalls

    shortfalls.Evaluator = Trusted  # type: ignore[misc]  # the change is to put another class in its place
    main()
