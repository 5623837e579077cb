"""Speed, measured so that a slower function is found and a slower machine is not.

`compare` is the gate that blocks, for anybody's tests; `harness bench` informs about two commits.
`docs/benchmarks.md` says which layer is for what.
"""

from harness.bench.comparing import Comparison, compare, slowed
from harness.errors import NothingMeasured

__all__ = ["Comparison", "NothingMeasured", "compare", "slowed"]
