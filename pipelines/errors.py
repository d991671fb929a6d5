"""Everything that pipelines can raise.

PipelineError
├── SourceError               a source is configured wrongly or said something impossible
│   └── SourceUnavailable     a source cannot be read now; what is captured stays as it is
├── ParseError                one document cannot be turned into text (quarantined, never fatal)
├── CaptureBusy               another process captures this source
├── IngestBusy                another run ingests this tenant
└── IngestRefused             the registry does not let this run go on (held, suspended, fenced off)
"""

from __future__ import annotations


class PipelineError(Exception):
    """The root of the room's errors."""


class SourceError(PipelineError):
    """A source is configured wrongly or said something impossible."""


class SourceUnavailable(SourceError):
    """A source cannot be read now. What is captured stays; nothing is taken for deleted."""


class ParseError(PipelineError):
    """One document cannot be turned into text. It is quarantined and never stops the others."""


class CaptureBusy(PipelineError):
    """Another process holds the capture lease of this source."""


class IngestBusy(PipelineError):
    """Another run holds the ingestion lease of this tenant."""


class IngestRefused(PipelineError):
    """The registry does not let this run go on."""
