"""The fast xDNN against the slow one, on data chosen to have ties, repeats and merges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from baselines import _xdnn_clouds, _xdnn_nearest
from baselines.xdnn import XDNN, ReleasedCodeStops

# The oracle lies beside this file, which pytest's importlib mode does not put on the path.
ORACLE: dict[str, Any] = {"__name__": "xdnn_oracle"}
