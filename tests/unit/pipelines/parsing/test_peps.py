import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pipelines.parsing import parse

DATASETS = os.environ.get("HOLDFAST_DATASETS")
needs_peps = pytest.mark.skipif(
    not DATASETS, reason="HOLDFAST_DATASETS does not name a folder with peps.bundle"
)

# What is markup and not text: addresses, options, targets, directive names, roles, comments.
MARKUP = re.compile(
    r"https?://\S+"
    r"|^ *:[\w-]+:.*$"
    r"|^ *\.\.(?: _[^\n]*| [\w:-]+::)"
    r"|:[\w:+.-]+:(?=`)"
    r"|^\.\.(?! ?\[)(?: .*)?\n(?: +.*\n)*",
    re.MULTILINE,
)
WORD = re.compile(r"[^\W_]+")


@pytest.fixture(scope="session")
def peps(tmp_path_factory):
    clone = tmp_path_factory.mktemp("peps") / "clone"
    bundle = Path(DATASETS) / "peps.bundle"
    heads = subprocess.run(
        ["git", "bundle", "list-heads", bundle], capture_output=True, text=True, check=True
    )
    branch = heads.stdout.split()[1].removeprefix("refs/heads/")
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", "-b", branch, bundle, clone], check=True, capture_output=True
    )
    return sorted(path for path in clone.rglob("pep-*") if path.suffix in (".rst", ".txt"))


def counted(text):
    return Counter(word.lower() for word in WORD.findall(text))


@needs_peps
def test_no_pep_fails_or_loses_its_words(peps):
    lost, total = Counter(), 0
    for path in peps[::8]:
        source = path.read_text(encoding="utf-8")
        document = parse(source.encode(), "text/x-rst")
        assert document.title.startswith(f"PEP {int(path.stem.removeprefix('pep-'))} ")
        wanted = counted(MARKUP.sub(" ", source))
        headings = [heading for section in document.sections for heading in section.heading_path]
        blocks = [block.text for section in document.sections for block in section.blocks]
        missing = wanted - counted("\n".join(headings + blocks))
        assert missing.total() <= 0.06 * wanted.total() + 10, (path.name, missing.most_common(10))
        lost += missing
        total += wanted.total()
    assert total > 100_000
    assert lost.total() < 0.01 * total
