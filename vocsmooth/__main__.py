"""`python -m vocsmooth`: the command `vocsmooth`, where its script is not on the PATH."""

from importlib.metadata import entry_points

if __name__ == "__main__":
    (_command,) = entry_points(group="console_scripts", name="vocsmooth")
    _command.load()(prog_name="python -m vocsmooth")
