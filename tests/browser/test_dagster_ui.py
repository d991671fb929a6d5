"""What a person sees in Dagster: the asset graph, a tenant's partition, a passed and a failed check."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOPICS = ["pantographs", "ballast", "couplings", "sanding", "wheelsets", "signalling", "batteries", "doors"]
PATIENCE_MS = 60_000

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no chromium here: install Debian's package `chromium`"),
    pytest.mark.timeout(900),
    # The browser driver's own event loop is left open by its library on some Python versions.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@dataclass(frozen=True)
class Shown:
    """A home with one published and one rejected generation, and Dagster's web server over it."""

    url: str
    tenant_id: str
    published: dict[str, Any]
    rejected: dict[str, Any]


class Home:
    """Runs the real command line over one home folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HOLDFAST_HOME": str(folder),
            "DAGSTER_HOME": str(folder / "dagster"),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *words: str, expected: int = 0) -> Any:
        command = [sys.executable, "-m", "cli", *words, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == expected, done.stdout + done.stderr
        return json.loads(done.stdout)


def write_documents(folder: Path) -> None:
    folder.mkdir()
    for topic in TOPICS:
        text = f"# {topic.title()}\n\nHow {topic} are inspected, and what is written down about {topic}.\n"
        (folder / f"{topic}.md").write_text(text)


def write_canaries(path: Path, answers: dict[str, str]) -> Path:
    lines = [
        json.dumps({"query": f"inspection of {topic}", "relevant": [key]}) for topic, key in answers.items()
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("ui")
    home = Home(folder / "home")
    write_documents(folder / "documents")
    home.run("init")
    tenant = home.run("tenant", "create", "acme")
    where = ["--kind", "folder", "--uri", str(folder / "documents"), "--option", "quiescence=0"]
    home.run("source", "add", "handbook", "--tenant", "acme", "--owner", "owner@example.org", *where)
    right = write_canaries(folder / "right.jsonl", {topic: f"{topic}.md" for topic in TOPICS})
    home.run("canary", "import", str(right), "--tenant", "acme")
    published = home.run("ingest", "--tenant", "acme")
    wrong = {topic: f"{TOPICS[i - 1]}.md" for i, topic in enumerate(TOPICS)}
    home.run(
        "canary",
        "import",
        str(write_canaries(folder / "wrong.jsonl", wrong)),
        "--tenant",
        "acme",
        "--replace",
    )
    home.run("contract", "set", "--tenant", "acme", "mrr_floor=0.9")
    (folder / "documents" / "brakes.md").write_text("# Brakes\n\nHow brakes are inspected.\n")
    rejected = home.run("ingest", "--tenant", "acme", expected=1)
    with web_server(home) as url:
        yield Shown(url, tenant["id"], published, rejected)


class web_server:  # noqa: N801 - reads as what it gives
    """Dagster's web server as a child process, up when entered."""

    def __init__(self, home: Home) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home

    def __enter__(self) -> str:
        server = Path(sys.executable).with_name("dagster-webserver")
        self.log = (self.home.folder / "webserver.log").open("wb")
        self.process = subprocess.Popen(
            [str(server), "-w", str(ROOT / "workspace.yaml"), "-p", str(self.port)],
            env=self.home.environment,
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{self.port}"
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(transport=transport) as client:
            self._wait(client, f"{url}/server_info")
        return url

    def _wait(self, client: httpx.Client, url: str) -> None:
        for _ in range(600):
            assert self.process.poll() is None, "the web server died; see its log"
            try:
                if client.get(url, timeout=1).is_success:
                    return
            except httpx.TransportError:
                pass
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError("the web server did not answer")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def page(shown: Shown) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def photograph(page: Page, name: str) -> None:
    folder = ROOT / "artifacts" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size > 20_000, "the screenshot is blank"


def test_the_runs_said_what_they_should(shown: Shown) -> None:
    assert shown.published["status"] == "published"
    assert shown.rejected["status"] == "rejected"
    red = {check["name"] for check in shown.rejected["checks"] if not check["passed"]}
    assert red == {"canary_recall"}


def test_the_asset_graph_shows_every_asset(shown: Shown, page: Page) -> None:
    page.goto(f"{shown.url}/locations/pipelines.definitions/asset-groups/ingestion/lineage")
    for asset in (
        "captured_changes",
        "documents",
        "chunks",
        "embeddings",
        "candidate_index",
        "published_index",
    ):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    photograph(page, "asset-graph")


def test_a_tenant_is_a_partition(shown: Shown, page: Page) -> None:
    page.goto(f"{shown.url}/assets/published_index?view=partitions&partition={shown.tenant_id}")
    expect(page.get_by_text(shown.tenant_id, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("generation", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    photograph(page, "tenant-partition")


def test_a_failed_check_is_red(shown: Shown, page: Page) -> None:
    page.goto(f"{shown.url}/assets/candidate_index?view=checks&checkDetail=canary_recall")
    expect(page.get_by_text("Failed").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("below the floor").first).to_be_visible(timeout=PATIENCE_MS)
    photograph(page, "failed-check")


def test_a_passed_check_is_green(shown: Shown, page: Page) -> None:
    page.goto(f"{shown.url}/assets/candidate_index?view=checks&checkDetail=index_reconciles")
    expect(page.get_by_text("all 9 points are as they should be").first).to_be_visible(timeout=PATIENCE_MS)
    photograph(page, "passed-check")


def test_a_failed_run_is_red_in_the_list(shown: Shown, page: Page) -> None:
    page.goto(f"{shown.url}/runs")
    expect(page.get_by_text("Failure").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Success").first).to_be_visible(timeout=PATIENCE_MS)
    photograph(page, "runs")
