"""Everything that pipelines can raise.

PipelineError
├── SourceError               a source is configured wrongly or said something impossible
│   ├── SourceUnavailable     a source cannot be read now; what is captured stays as it is
│   └── SchemaDrift           a table is no longer what the source's options say; capture waits, nothing is lost
├── ParseError                one document cannot be turned into text (quarantined, never fatal)
│   └── ParseAborted          its parser took too long, too much memory, or ended its process
├── ParserUnavailable         the process that parses does not start; no document is to blame
├── CaptureBusy               another process captures this source
├── IngestBusy                another run ingests this tenant
├── IngestRefused             the registry does not let this run go on (held, suspended, fenced off)
├── BackupRefused             a backup or a restore would overwrite something
└── BackupDamaged             a folder is no whole backup
"""

from __future__ import annotations


class PipelineError(Exception):
    """The root of the room's errors."""


class SourceError(PipelineError):
    """A source is configured wrongly or said something impossible."""


class SourceUnavailable(SourceError):
    """A source cannot be read now. What is captured stays; nothing is taken for deleted."""


class SchemaDrift(SourceError):
    """A table is no longer what its source's options say. Capture of it stops here and nothing is lost."""


class ParseError(PipelineError):
    """One document cannot be turned into text. It is quarantined and never stops the others."""


class ParseAborted(ParseError):
    """A document's parser took too long, too much memory, or ended its process."""


class ParserUnavailable(PipelineError):
    """The process that parses documents does not start. No document is to blame, and none is quarantined."""


class CaptureBusy(PipelineError):
    """Another process holds the capture lease of this source."""


class IngestBusy(PipelineError):
    """Another run holds the ingestion lease of this tenant."""


class IngestRefused(PipelineError):
    """The registry does not let this run go on."""


class BackupRefused(PipelineError):
    """A backup or a restore would overwrite something, or does not fit what is configured."""


class BackupDamaged(PipelineError):
    """A folder is no whole backup: it was cut off, or a file of it is not what it was."""
