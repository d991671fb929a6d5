"""Every file of a generation is on disk before the generation is named: read from a trace of system calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CALLS = "fsync,fdatasync,rename,renameat,renameat2,write,pwrite64,writev,pwritev,ftruncate,fallocate"
SEALING = """
import sys
from pathlib import Path
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.store import GenerationRef
from tests.support.index_points import SPEC, chunks
store = EdgeGenerationStore(Path(sys.argv[1]))
for number, base in ((1, None), (2, GenerationRef("acme", 1))):
    with store.stage(GenerationRef("acme", number), SPEC, base) as stage:
        stage.upsert(chunks(60 * number))
        stage.seal()
"""
_SYNC = re.compile(r"\bf(?:data)?sync\(\d+<(.+?)>\)\s+= 0")
_WRITE = re.compile(r"\b(?:write|pwrite64|writev|pwritev|ftruncate|fallocate)\(\d+<(/.+?)>")
_RENAME = re.compile(r"\brename(?:at2?)?\((?:AT_FDCWD[^,]*, )?\"(.+?)\", (?:AT_FDCWD[^,]*, )?\"(.+?)\".*= 0")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The index's folder, and the calls of a process that sealed two generations in it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: apt-get install strace")
    folder = tmp_path_factory.mktemp("trace")
    root, log = folder / "index", folder / "calls"
    done = subprocess.run(
        [strace, "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", log, sys.executable, "-c", SEALING, root],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip(f"this machine lets nobody trace: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return root, _joined(log.read_text(errors="replace").splitlines())


def _joined(lines: list[str]) -> list[str]:
    """Calls that another thread cut in two, made whole at the place of their end."""
    begun: dict[str, str] = {}
    whole = []
    for line in lines:
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").strip()
        elif call.startswith("<... "):
            whole.append(f"{begun.pop(thread, '')} {call.partition('resumed>')[2].strip()}")
        else:
            whole.append(call)
    return whole


@pytest.mark.parametrize("number", [1, 2])
def test_a_generation_is_durable_before_it_is_named(trace: tuple[Path, list[str]], number: int) -> None:
    root, calls = trace
    target = root / "acme" / str(number)
    renames = [
        (i, m[1]) for i, call in enumerate(calls) if (m := _RENAME.search(call)) and m[2] == str(target)
    ]
    assert len(renames) == 1
    named, stage = renames[0]
    assert "/.stage-" in stage

    synced = {m[1]: i for i, call in enumerate(calls[:named]) if (m := _SYNC.search(call))}
    written = {m[1]: i for i, call in enumerate(calls[:named]) if (m := _WRITE.search(call))}
    inside = sorted(path for path in target.rglob("*"))
    assert len(inside) > 15
    for path in inside:
        before = f"{stage}/{path.relative_to(target)}"
        assert before in synced, f"{before} was not fsynced before the rename"
        assert written.get(before, -1) < synced[before], f"{before} was written after its last fsync"
        assert synced[before] < synced[str(Path(before).parent)], f"its folder was fsynced before {before}"
    assert stage in synced


@pytest.mark.parametrize("number", [1, 2])
def test_the_name_is_durable_before_the_sealing_ends(trace: tuple[Path, list[str]], number: int) -> None:
    root, calls = trace
    target = str(root / "acme" / str(number))
    named = next(i for i, call in enumerate(calls) if (m := _RENAME.search(call)) and m[2] == target)
    after = [m[1] for call in calls[named:] if (m := _SYNC.search(call))]
    assert after[:2] == [str(root / "acme"), str(root)]
