"""`csgisnet models`: the networks that come with the package."""

from __future__ import annotations

import json

import click

from . import messages, options


@click.command()
@options.JSON
def models(as_json: bool) -> None:
    """List the bundled networks, which every --checkpoint accepts by name.

    For each: its name, its size, its description, and the SHA-256 of its file.

    \b
    Example: csgisnet models
    """
    from csgisnet.checkpoints.format import load_weights
    from csgisnet.checkpoints.pretrained import DEFAULT, bundled_models
    from vocsmooth.files import sha256_file

    found = bundled_models()
    networks = [
        {
            "name": name,
            "default": name == DEFAULT,
            "bytes": path.stat().st_size,
            "description": load_weights(path, "network").metadata.get("description", ""),
            "sha256": sha256_file(path),
        }
        for name, path in found.items()
    ]
    if as_json:
        click.echo(json.dumps(networks, indent=2))
        return
    if not networks:
        messages.show("This package came without networks; train one with `csgisnet train`.")
    for network in networks:
        label = network["name"] + (" (default)" if network["default"] else "")
        messages.show(f"{label}: {network['bytes'] / 1e6:.1f} MB")
        if network["description"]:
            messages.show(f"  {network['description']}")
        messages.show(f"  SHA-256 {network['sha256']}")
