"""`holdfast simulate-provider`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli.options import Json, single
from cli.output import console, note, print_document
from cli.ports import reachable, refuse_taken
from cli.stopping import stopped_by_signals
from gateway_client.catalogue import Catalogue
from gateway_client.simulator.log import Log
from gateway_client.simulator.provider import SimulatedProvider
from gateway_client.simulator.running import SIMULATED, server_of
from gateway_client.simulator.settings import Settings, changed, read

app = single()


@app.command()
def simulate_provider(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8790,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings in TOML; options given here come on top.", show_default=False),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="The models to play, with their prices.", show_default="models of its own"),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Write what was seen and would be billed here, as JSON Lines.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", show_default="0")] = None,
    capacity: Annotated[
        int | None, typer.Option(min=0, help="Requests in flight; above it, 429.", show_default="any number")
    ] = None,
    reject_every: Annotated[
        int | None, typer.Option(min=1, help="Answer 429 to each N-th request.", show_default=False)
    ] = None,
    reject_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Answer 429 to a share, by a hash of request id and attempt."),
    ] = None,
    retry_after: Annotated[
        float | None, typer.Option(min=0, help="What each 429 asks to wait, in seconds.", show_default=False)
    ] = None,
    latency: Annotated[
        float | None, typer.Option(min=0, help="Median seconds before the first token.", show_default="0")
    ] = None,
    latency_spread: Annotated[
        float | None, typer.Option(min=0, help="Sigma of its logarithm (lognormal).", show_default="0")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help='A fault for all: "cut_stream; after=3", "html; share=0.1". May be repeated.'),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a model provider to rehearse with, until Ctrl-C: both wire formats, and every way to fail.

    What it saw is at /admin/log, what it would bill at /admin/bill; PATCH /admin/settings changes it as it runs.
    """
    options = {
        "seed": seed,
        "capacity": capacity,
        "reject": rejection(reject_every, reject_share, retry_after),
        "first_token": distribution(latency, latency_spread),
        "rules": rules(fault or []),
    }
    settings = settings_of(config, {name: value for name, value in options.items() if value is not None})
    refuse_taken(host, port, "the simulated provider", "--port")
    models = Catalogue.load(catalogue or SIMULATED)
    run(SimulatedProvider(models, settings, Log(log)), host, port, as_json)


def rejection(every: int | None, share: float | None, retry_after: float | None) -> dict[str, Any] | None:
    """The settings' section, from the options."""
    if every is not None and share is not None:
        raise typer.BadParameter("give one of --reject-every and --reject-share")
    found: dict[str, Any] = {"retry_after": retry_after, "capacity_retry_after": retry_after}
    if every is not None:
        return found | {"pattern": "every", "n": every}
    if share is not None:
        return found | {"pattern": "hash", "share": share}
    return found if retry_after is not None else None


def distribution(median: float | None, spread: float | None) -> dict[str, Any] | None:
    """The settings' section, from the options."""
    if median is None:
        return None
    return {"kind": "lognormal" if spread else "constant", "seconds": median, "spread": spread or 0.0}


def rules(faults: list[str]) -> list[dict[str, Any]] | None:
    """One rule per fault; conditions are written like its settings."""
    if not faults:
        return None
    return [rule(text) for text in faults]


def rule(text: str) -> dict[str, Any]:
    """`html; share=0.1` as the settings have it. Raises typer.BadParameter."""
    named, *pieces = (piece.strip() for piece in text.split(";"))
    pairs = [piece.partition("=") for piece in [named if "=" in named else f"fault={named}", *pieces]]
    found: dict[str, Any] = {key.strip(): value.strip() for key, _, value in pairs}
    if "status" in found:
        found.setdefault("fault", "status")
    if not found.get("fault"):
        raise typer.BadParameter(f"{text!r} names no fault")
    if "attempts" in found:
        found["attempts"] = found["attempts"].split(",")
    return found


def settings_of(config: Path | None, options: dict[str, Any]) -> Settings:
    """The file's settings with the options on top. Raises typer.BadParameter."""
    try:
        return changed(read(config) if config else Settings(), options)
    except ValidationError as wrong:
        flaws = (f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}" for flaw in wrong.errors())
        raise typer.BadParameter("; ".join(flaws)) from wrong
    except (ValueError, OSError) as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def run(provider: SimulatedProvider, host: str, port: int, as_json: bool) -> None:
    """Serve until a signal."""
    url = f"http://{reachable(host)}:{port}"
    paths = {"openai": f"{url}/openai", "anthropic": f"{url}/anthropic", "admin": f"{url}/admin/settings"}
    models = sorted(provider.models)
    if as_json:
        print_document({"url": url, **paths, "models": models})
    else:
        console().print(
            f"OpenAI's format: {paths['openai']}   Anthropic's: {paths['anthropic']}   (Ctrl-C ends it)"
        )
        note(f"models: {', '.join(models)}")
        note(f"seen: {url}/admin/log   billed: {url}/admin/bill   change: PATCH {url}/admin/settings")
    with stopped_by_signals():
        server_of(provider, host=host, port=port).run()
    provider.log.close()
