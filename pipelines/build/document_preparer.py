"""From a document's bytes to its chunks with their term counts: parse, chunk, analyze."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.prepared import PreparedChunk, PreparedDocument
from pipelines.chunking.chunker import Chunker
from pipelines.chunking.tokenizer import ModelTokenizer
from pipelines.chunking.version import CHUNKER_VERSION
from pipelines.parsing.dispatch import parse
from pipelines.parsing.version import PARSER_VERSION
from registry.settings import Settings
from retrieval.encoder.identity import identify
from retrieval.encoder.model_directory import resolve
from retrieval.index.manifest import FORMAT_VERSION
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.packing import pack


@dataclass(frozen=True, slots=True)
class DocumentPreparer:
    """Prepares documents for one model's tokenizer and one language."""

    chunker: Chunker
    analyzer: Analyzer
    tokenizer: str
    max_tokens: int
    max_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> DocumentPreparer:
        """The preparer of these settings. Raises EncoderUnavailable where the model has no tokenizer."""
        tokenizer = ModelTokenizer(resolve(settings.embedding_model).directory)
        model = identify(settings.embedding_model)
        return cls(
            Chunker(tokenizer, model.max_tokens),
            Analyzer(settings.analyzer_language),
            tokenizer.name,
            model.max_tokens,
            settings.max_document_mb * 2**20,
        )

    def configuration(self, model_id: str) -> BuildConfiguration:
        """What a generation prepared by this is built with."""
        return BuildConfiguration(
            PARSER_VERSION,
            str(CHUNKER_VERSION),
            self.tokenizer,
            self.max_tokens,
            self.analyzer.id,
            model_id,
            FORMAT_VERSION,
        )

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        """Parse and chunk one document. Raises ParseError."""
        document = parse(content, media_type, title, max_bytes=self.max_bytes)
        chunks = []
        for chunk in self.chunker.chunk(document):
            terms = self.analyzer.terms(chunk.text)
            chunks.append(
                PreparedChunk(chunk.text, chunk.heading_path, chunk.tokens, pack(terms), terms.length)
            )
        return PreparedDocument(document.title, tuple(chunks))
