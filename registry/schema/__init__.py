"""The registry's tables."""

from registry.schema.base import Base
from registry.schema.canaries import Canary, CanaryAnswer, CanaryRun
from registry.schema.changes import Change, Content, Head, Source, SourceCommit, TenantCommit
from registry.schema.documents import Chunk, EmbeddingModel, ParsedDocument, Vector
from registry.schema.generations import Generation, GenerationDocument, GenerationPin, Publication, Verdict
from registry.schema.operations import Alert, Lease, RunAttempt, RunOutcome
from registry.schema.tenants import ApiKey, ContractVersion, Tenant

__all__ = [
    "Alert",
    "ApiKey",
    "Base",
    "Canary",
    "CanaryAnswer",
    "CanaryRun",
    "Change",
    "Chunk",
    "Content",
    "ContractVersion",
    "EmbeddingModel",
    "Generation",
    "GenerationDocument",
    "GenerationPin",
    "Head",
    "Lease",
    "ParsedDocument",
    "Publication",
    "RunAttempt",
    "RunOutcome",
    "Source",
    "SourceCommit",
    "Tenant",
    "TenantCommit",
    "Vector",
    "Verdict",
]
