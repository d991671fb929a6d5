import json
import os
from itertools import islice
from pathlib import Path

import pytest

from pipelines.chunking import Chunker
from pipelines.parsing import parse

DATASETS = os.environ.get("HOLDFAST_DATASETS")


@pytest.mark.skipif(not DATASETS, reason="HOLDFAST_DATASETS does not name a folder with scifact/corpus.jsonl")
def test_abstracts_give_as_many_chunks_as_the_measured_reference(tokenizer):
    """The reference: 9,926 chunks of title and up to 256 tokens for all 5,183 documents."""
    chunker = Chunker(tokenizer)
    count = 0
    with (Path(DATASETS) / "scifact" / "corpus.jsonl").open() as corpus:
        for line in islice(corpus, 800):
            row = json.loads(line)
            chunks = chunker.chunk(parse(row["text"].encode(), "text/plain", row["title"]))
            assert all(chunk.text.startswith(" ".join(row["title"].split()) + "\n\n") for chunk in chunks)
            assert sum(chunk.tokens < 38 for chunk in chunks) == 0
            count += len(chunks)
    assert count / 800 == pytest.approx(9926 / 5183, rel=0.03)
