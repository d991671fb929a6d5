"""Real data for acceptance tests: where it is, and how much of it a run is to take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read once: tests run without the machine's settings.
_FOLDER = os.environ.get("HOLDFAST_DATASETS", "")
_ROOT = Path(_FOLDER).expanduser().absolute() if _FOLDER else None
REAL_MODEL = os.environ.get("HOLDFAST_FULL", "") == "model"
FULL = REAL_MODEL or os.environ.get("HOLDFAST_FULL", "") == "1"


def dataset(name: str) -> Path:
    """The file or folder of this data set; the test is skipped where it is not there."""
    if _ROOT is None:
        pytest.skip("HOLDFAST_DATASETS names no folder of data sets")
    path = _ROOT / name
    if not path.exists():
        pytest.skip(f"there is no data set {name!r} in {_ROOT} (HOLDFAST_DATASETS)")
    return path
