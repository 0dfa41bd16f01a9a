"""The command `vocsmooth preview`: a local page to try operators and networks on pictures."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click

from . import completion, messages, options


@click.command()
@options.INPUTS
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    shell_complete=completion.names_or_files(completion.networks),
    help=f"{options.CHECKPOINT_WORDS} May be repeated.  [default: the bundled ones]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address only; open no browser.")
@options.DEVICE
@messages.amount_options
def preview(
    inputs: tuple[str, ...], checkpoints: tuple[str, ...], port: int, no_browser: bool, device: str
) -> None:
    """Try every operator and network on images, in a page on this machine.

    Sliders set the parameters; the page shows the image before and after, how long it took, and
    the command that does the same. Only this machine can open the page. Ctrl-C ends it.

    \b
    Example: vocsmooth preview photo.jpg
    """
    from csgisnet.checkpoints.pretrained import bundled_models, find_weights
    from csgisnet.preview.methods import RESULTS
    from csgisnet.preview.server import Preview, address, start
    from vocsmooth.errors import InputError
    from vocsmooth.images.finding import expand_inputs, find_images

    for name in checkpoints:
        find_weights(name)  # a wrong name is better known now than when it is chosen
    results = Path(RESULTS)
    found = [
        path
        for given in expand_inputs(inputs, sys.stdin)
        for path, _ in find_images(given, results)
    ]
    application = Preview(found, [*bundled_models(), *checkpoints], device)
    try:
        server = start(application, port)
    except OSError as error:
        raise InputError(f"--port {port}: cannot listen there: {error.strerror}.") from None
    url = address(application, server)
    messages.show(url)
    messages.note("Press Ctrl-C to stop.")
    if not no_browser:
        webbrowser.open(url)
    server.serve_forever()  # returns when it is interrupted, and closes its socket
    messages.note("Stopped.")
