import subprocess
import sys

import pytest
from tokenizers import Tokenizer

from pipelines.chunking.tokenizer import ModelTokenizer


def test_counts_are_those_of_the_model_without_truncation(tokenizer, model_directory):
    plain = Tokenizer.from_file(str(model_directory / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    texts = ["", "one", "unaffable tokens " * 500, "naïve 漢字 [SEP] 🙂"]
    assert tokenizer.count(texts) == [len(plain.encode(text).ids) for text in texts]
    assert tokenizer.count(texts)[2] > 1500
    assert tokenizer.special_tokens == 2


def test_counts_do_not_depend_on_batches(tokenizer, monkeypatch):
    texts = [f"text number {number} " * number for number in range(50)]
    whole = tokenizer.count(texts)
    monkeypatch.setattr("pipelines.chunking.tokenizer._BATCH_CHARACTERS", 100)
    assert tokenizer.count(texts) == whole


def test_spans_are_offsets_into_the_text(tokenizer):
    text = "Naïve  unaffable 漢字"
    assert [text[start:end] for start, end in tokenizer.spans(text)] == [
        "Naïve", "una", "ffa", "ble", "漢", "字",
    ]  # fmt: skip


def test_the_name_follows_the_content(tokenizer, model_directory, tmp_path):
    content = (model_directory / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content)
    assert ModelTokenizer(tmp_path).name == tokenizer.name
    (tmp_path / "tokenizer.json").write_text(content + "\n")
    assert ModelTokenizer(tmp_path).name != tokenizer.name


def test_a_missing_or_broken_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        ModelTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a tokenizer"):
        ModelTokenizer(tmp_path)


def test_chunking_imports_neither_torch_nor_transformers():
    code = (
        "import sys; import pipelines.chunking, pipelines.chunking.tokenizer;"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
