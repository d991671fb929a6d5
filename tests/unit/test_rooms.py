"""The rooms' imports go one way, and what is heavy is imported only where it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
ROOMS = ("registry", "gateway_client", "retrieval", "canaries", "pipelines", "cli")
HEAVY = ("torch", "sentence_transformers", "transformers", "dagster", "qdrant_edge")

# A module alone in a fresh interpreter would take seconds each: all of them in one, in the order given.
LOADED = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]))
"""


def modules() -> list[str]:
    paths = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if ".migrations." not in name and not name.endswith("__main__")]


def knows_dagster(module: str) -> bool:
    return module.startswith(("pipelines.orchestration", "pipelines.definitions", "canaries.asset_checks"))


def loaded_by(names: list[str]) -> list[str]:
    command = [sys.executable, "-c", LOADED, json.dumps(names), json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_import_linter_has_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / ".importlinter"), cache_dir=str(tmp_path))
    assert status == 0, capsys.readouterr().out


def test_no_module_loads_a_model_or_an_orchestrator_when_imported() -> None:
    plain = [name for name in modules() if not knows_dagster(name) and ".index.edge" not in name]
    assert len(plain) > 100
    assert set(loaded_by(plain)) <= {"qdrant_edge"}


def test_the_registry_and_the_command_line_load_nothing_heavy() -> None:
    light = [name for name in modules() if name.startswith(("registry", "gateway_client"))]
    assert loaded_by([*light, "cli.main"]) == []
