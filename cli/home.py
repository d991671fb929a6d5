"""The home folder: made, migrated, with Dagster's own folder in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from registry.clock import utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.settings import Settings

DAGSTER_YAML = """\
# Written by `holdfast init`; yours to change: it is never written again.
telemetry:
  enabled: false
nux:
  enabled: false
# Runs start at once: one run at a time per tenant is the registry's business.
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 86400
  poll_interval_seconds: 60
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 1
      failure: 30
      success: 30
code_servers:
  local_startup_timeout: 180
"""

WORKSPACE_YAML = """\
load_from:
  - python_module:
      module_name: pipelines.definitions
"""


@dataclass(frozen=True, slots=True)
class Home:
    """What `init` made or found."""

    home: Path
    registry: str
    created: bool
    model: str
    weights_sha256: str


def initialise(settings: Settings) -> Home:
    """Make the home, migrate the registry, register the embedding model, finish what a kill cut off.

    Safe to repeat. Raises EncoderUnavailable where the embedding model is not there.
    """
    from cli.erasure import finish_erasures
    from registry import models
    from retrieval.encoder.identity import identify

    created = not settings.state.exists()
    settings.state.mkdir(parents=True, exist_ok=True)
    settings.index.mkdir(parents=True, exist_ok=True)
    prepare_dagster_home(settings)
    crash_point("init:folders-made")
    registry = Registry(settings.registry)
    try:
        registry.migrate()
        identity = identify(settings.embedding_model)
        with registry.write() as session:
            models.register(session, identity, utc_now())
        crash_point("init:model-registered")
        finish_erasures(registry, settings)
        address = registry.url.render_as_string(hide_password=True)
    finally:
        registry.close()
    return Home(settings.state, address, created, identity.id, identity.weights_sha256)


def prepare_dagster_home(settings: Settings) -> Path:
    """Dagster's folder with its configuration, which this process and its children use from now on."""
    folder = settings.dagster_home
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "dagster.yaml"
    if not configuration.exists():
        # Written whole or not at all: half of it would never be written again.
        draft = configuration.with_name(f".{configuration.name}.{os.getpid()}")
        draft.write_text(DAGSTER_YAML, encoding="utf-8")
        crash_point("init:dagster-configured")
        draft.replace(configuration)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def workspace(settings: Settings) -> Path:
    """The workspace file: the one in the current folder where it loads our definitions, else the home's."""
    here = Path("workspace.yaml").absolute()
    if here.is_file() and "pipelines.definitions" in here.read_text(encoding="utf-8"):
        return here
    own = settings.state / "workspace.yaml"
    own.write_text(WORKSPACE_YAML, encoding="utf-8")
    return own
