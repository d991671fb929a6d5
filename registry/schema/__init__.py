"""The registry's tables."""

from registry.schema.base import Base
from registry.schema.builds import BuildProgress, EmbeddingUsage
from registry.schema.canaries import Canary, CanaryAnswer, CanaryRun
from registry.schema.changes import Change, Content, Head, Source, SourceCommit, TenantCommit
from registry.schema.dead_letters import DeadLetter
from registry.schema.documents import Chunk, EmbeddingModel, ParsedDocument, Vector
from registry.schema.generations import Generation, GenerationDocument, GenerationPin, Publication, Verdict
from registry.schema.operations import Alert, Lease, RunAttempt, RunOutcome
from registry.schema.owners import SuspendedOwner
from registry.schema.source_rows import ReplicationSlot, SourceRow
from registry.schema.tenants import ApiKey, ContractVersion, Tenant

__all__ = [
    "Alert",
    "ApiKey",
    "Base",
    "BuildProgress",
    "Canary",
    "CanaryAnswer",
    "CanaryRun",
    "Change",
    "Chunk",
    "Content",
    "ContractVersion",
    "DeadLetter",
    "EmbeddingModel",
    "EmbeddingUsage",
    "Generation",
    "GenerationDocument",
    "GenerationPin",
    "Head",
    "Lease",
    "ParsedDocument",
    "Publication",
    "ReplicationSlot",
    "RunAttempt",
    "RunOutcome",
    "Source",
    "SourceCommit",
    "SourceRow",
    "SuspendedOwner",
    "Tenant",
    "TenantCommit",
    "Vector",
    "Verdict",
]
