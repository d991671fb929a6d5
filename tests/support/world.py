"""A whole Holdfast in a folder, driven step by step: a scripted source, a fake encoder, a clock that is set.

`World(home)` needs a migrated registry in `home`; the fixture `world` gives one with a tenant and a source.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.build.document_preparer import DocumentPreparer
from pipelines.capture.capturer import Captured
from pipelines.chunking.chunker import Chunker
from pipelines.ingestion.ingestion import Ingestion, open_capturer, with_checks
from pipelines.ingestion.outcome import Outcome
from registry import canaries, contracts, generations, sources, tenants
from registry.canaries import Question, canary_id
from registry.database import Registry
from registry.schema import Alert, Generation
from registry.settings import Settings
from registry.verdicts import Verdict
from retrieval.lexical.analyzer import Analyzer
from retrieval.opening import open_store
from retrieval.search.encoders import Encoders
from retrieval.search.query import Answer, SearchQuery
from retrieval.search.searcher import Searcher
from tests.support import scripted_source
from tests.support.fake_encoder import FakeEncoder, FakeTokenizer
from tests.support.scripted_source import Script

START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_TOKENS = 32
MAX_BYTES = 100_000
TOPICS = (
    "harbour", "glacier", "violin", "copper", "orchard", "telescope", "saddle", "lantern", "granite", "falcon",
    "compass", "meadow", "anchor", "pepper", "quartz", "ribbon", "thunder", "velvet", "walnut", "zephyr",
)  # fmt: skip


class SetClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def text_about(topic: str, sentences: int = 4, version: int = 0) -> str:
    """A plain text on a topic; each sentence is told apart by its number, each version by its first one."""
    lead = f"The {topic} report, edition {version}."
    return " ".join(
        [lead] + [f"Sentence {n} of the {topic} file says {topic}{n} matters." for n in range(sentences)]
    )


class World:
    """One process's view of a home. Tests may replace `ingestion` (and its parts) as they like."""

    def __init__(
        self,
        home: Path,
        *,
        encoder: FakeEncoder | None = None,
        clock: SetClock | None = None,
        max_tokens: int = MAX_TOKENS,
        **settings: Any,
    ) -> None:
        scripted_source.install()
        self.home = home
        self.clock = clock or SetClock()
        self.encoder = encoder or FakeEncoder()
        self.settings = Settings(home=home, **{"embedding_batch": 8, **settings})
        self.registry = Registry(self.settings.registry)
        self.models: dict[str, Callable[[], FakeEncoder]] = {self.encoder.model.name: lambda: self.encoder}
        self.encoders = Encoders(self.registry, lambda name: self.models[name]())
        self.store = open_store(self.settings)
        self.searcher = Searcher(self.registry, self.store, self.encoders, self.clock)
        self.ingestion = self._ingestion(max_tokens)
        self.tenant = ""
        self.runs = 0

    def _ingestion(self, max_tokens: int) -> Ingestion:
        tokenizer = FakeTokenizer()
        preparer = DocumentPreparer(
            Chunker(tokenizer, max_tokens), Analyzer(), tokenizer.name, max_tokens, MAX_BYTES
        )
        capturer = open_capturer(self.settings, self.registry, self.clock)
        return Ingestion(
            self.settings, self.registry, self.store, self.searcher, self.encoders,
            self.encoder.model, preparer, capturer, self.clock, self.clock.advance,
        )  # fmt: skip

    def close(self) -> None:
        self.store.close()
        self.registry.close()

    # What there is.

    def add_tenant(self, name: str = "acme") -> str:
        with self.registry.write() as session:
            self.tenant = tenants.create(session, name, self.clock()).id
        return self.tenant

    def add_source(self, name: str = "docs", tenant: str | None = "", **options: str) -> Script:
        """A scripted source of the tenant (tenant=None: shared). Quiescence is 0 unless given."""
        script = Script(self.home / f"{name}.script")
        with self.registry.write() as session:
            sources.add(
                session, name=name, tenant_id=self.tenant if tenant == "" else tenant,
                kind=scripted_source.KIND, uri=str(script.path), owner="o@example.org",
                options={"quiescence": "0", **options}, consistency="transactional", now=self.clock(),
            )  # fmt: skip
        return script

    def script(self, name: str = "docs") -> Script:
        return Script(self.home / f"{name}.script")

    def commit(
        self, upserts: Any = None, deletes: Any = (), unreadable: Any = None, source: str = "docs"
    ) -> str:
        """One commit of a source, ten seconds after whatever was before."""
        self.clock.advance(10)
        return self.script(source).append(self.clock(), upserts, deletes, unreadable)

    def ask_about(self, questions: dict[str, Sequence[str]]) -> None:
        """Set the canaries: query to the keys of its documents."""
        found = [Question(canary_id(query), query, tuple(keys)) for query, keys in questions.items()]
        with self.registry.write() as session:
            canaries.replace(session, self.tenant, found, self.clock())

    def set_contract(self, **values: Any) -> None:
        with self.registry.write() as session:
            changed = contracts.current(session, self.tenant).changed(values)
            contracts.store(session, self.tenant, changed, self.clock())

    # What happens.

    def capture(self) -> list[Captured]:
        return self.ingestion.capture(self.tenant)

    def build(self, run: str = "", tenant: str = "") -> Outcome:
        self.runs += 1
        return self.ingestion.build(tenant or self.tenant, run or f"run-{self.runs}")

    def run(self, tenant: str = "") -> Outcome:
        """Capture, build, judge, publish, as the job does. The outcome is `rejected` where the gate said no."""
        tenant = tenant or self.tenant
        self.ingestion.capture(tenant)
        run = f"run-{self.runs + 1}"
        outcome = self.build(run, tenant)
        try:
            if outcome.status != "published":
                return outcome
            assert outcome.generation is not None
            outcome = with_checks(outcome, self.ingestion.judge(tenant, outcome.generation))
            if outcome.status == "published":
                assert outcome.generation is not None
                self.ingestion.publish(tenant, outcome.generation)
            return outcome
        finally:
            self.ingestion.release(tenant, run)

    def use_encoder(self, encoder: FakeEncoder, *, keep_old: bool = True) -> None:
        """Configure another model. Unless `keep_old`, the one before can no longer be loaded."""
        if not keep_old:
            self.models.clear()
        self.models[encoder.model.name] = lambda: encoder
        self.encoder = encoder
        self.ingestion = replace(self.ingestion, model=encoder.model)

    # What came of it.

    def search(
        self, query: str, k: int = 10, *, tenant: str = "", as_of: int | None = None, **more: Any
    ) -> Answer:
        return self.searcher.search(tenant or self.tenant, SearchQuery(query, k=k, **more), as_of=as_of)

    def found(self, query: str, **more: Any) -> list[str]:
        """Keys of the documents that a search finds, best first."""
        return [hit.document for hit in self.search(query, collapse="document", **more).hits]

    def live(self, tenant: str = "") -> Generation | None:
        with self.registry.read() as session:
            return generations.live(session, tenant or self.tenant)

    def documents(self, number: int | None = None) -> dict[str, str]:
        """Key to state of a generation's documents (the live one's)."""
        live = self.live()
        assert number or live is not None
        with self.registry.read() as session:
            rows = generations.documents(session, self.tenant, number or live.number)  # type: ignore[union-attr]
        return {row.key: row.state for row in rows}

    def texts(self) -> dict[str, list[str]]:
        """Document to the texts of its chunks in the live index, read from the index itself."""
        live = self.live()
        assert live is not None
        found: dict[str, list[tuple[int, str]]] = {}
        with self.store.open(generation_ref(live)) as reader:
            for point in reader.points():
                found.setdefault(point.payload["document"], []).append(
                    (point.payload["ordinal"], point.payload["text"])
                )
        return {key: [text for _, text in sorted(chunks)] for key, chunks in found.items()}

    def alerts(self, kind: str = "") -> list[Alert]:
        with self.registry.read() as session:
            found = list(session.scalars(select(Alert).order_by(Alert.id)))
        return [alert for alert in found if not kind or alert.kind == kind]

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self.registry.read() as session:
            yield session

    def index_entries(self) -> list[str]:
        """Names in the tenant's index folder."""
        folder = self.settings.index / self.tenant
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def generation_ref(generation: Generation) -> Any:
    from retrieval.index.store import GenerationRef

    return GenerationRef(generation.tenant_id, generation.number)


def red(verdicts: Sequence[Verdict]) -> set[str]:
    """Names of the checks that hold back."""
    return {verdict.name for verdict in verdicts if verdict.holds_back}


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an empty, migrated registry, to be copied."""
    home = tmp_path_factory.mktemp("migrated")
    registry = Registry(Settings(home=home).registry)
    registry.migrate()
    registry.close()
    return home


@pytest.fixture
def empty_world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """A home without any tenant."""
    home = tmp_path / "home"
    shutil.copytree(migrated_home, home)
    opened = World(home)
    yield opened
    opened.close()
    scripted_source.uninstall()


@pytest.fixture
def world(empty_world: World) -> World:
    """A home with the tenant `acme` and its source `docs`, without a commit yet."""
    empty_world.add_tenant()
    empty_world.add_source()
    return empty_world


@pytest.fixture
def published(world: World) -> World:
    """Ten documents d0…d9, a topic each, published as generation 1, with a canary for each."""
    world.commit({f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    world.ask_about({f"what does the {topic} file say": [f"d{n}"] for n, topic in enumerate(TOPICS[:10])})
    outcome = world.run()
    assert outcome.status == "published", [v for v in outcome.checks if not v.passed]
    return world
