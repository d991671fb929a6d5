"""Parsed documents in, chunks that fit an encoder out. Importing this imports no tokenizer library."""

from pipelines.chunking.chunker import Chunker, ChunkText
from pipelines.chunking.tokens import Tokenizer
from pipelines.chunking.version import CHUNKER_VERSION

__all__ = ["CHUNKER_VERSION", "ChunkText", "Chunker", "Tokenizer"]
