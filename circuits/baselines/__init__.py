"""What `breach` is compared with: the same flag, computed as one would at first. Importing the package defines them.

They are without error, take the library's own choice of parameters, and belong to no profile that a service runs. For
`bench` and tests.
"""

from atomic_margin.circuits.baselines.naive import NAIVE_BREACH
from atomic_margin.circuits.baselines.straightforward import STRAIGHTFORWARD_BREACH

__all__ = ["NAIVE_BREACH", "STRAIGHTFORWARD_BREACH"]
