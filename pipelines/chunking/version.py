"""The chunker's version, as it stands in a generation's build configuration."""

from __future__ import annotations

from importlib.metadata import version

# Raise it whenever the same document, tokenizer and limit give other chunks.
_REVISION = 1

CHUNKER_VERSION = f"{_REVISION};tokenizers={version('tokenizers')}"
