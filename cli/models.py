"""`csgisnet models`: the networks that come with the package."""

from __future__ import annotations

import click


@click.command()
def models() -> None:
    """List the bundled networks, which every --checkpoint accepts by name.

    For each: its name, its size, its description, and the SHA-256 of its file.

    \b
    Example: csgisnet models
    """
    from csgisnet.checkpoints.format import load_weights
    from csgisnet.checkpoints.pretrained import DEFAULT, bundled_models
    from vocsmooth.files import sha256_file

    found = bundled_models()
    if not found:
        click.echo("This package came without networks; train one with `csgisnet train`.")
    for name, path in found.items():
        weights = load_weights(path, "network")
        label = f"{name} (default)" if name == DEFAULT else name
        click.echo(f"{label}: {path.stat().st_size / 1e6:.1f} MB")
        if description := weights.metadata.get("description"):
            click.echo(f"  {description}")
        click.echo(f"  SHA-256 {sha256_file(path)}")
