"""`python -m csgisnet`: the command `csgisnet`, where its script is not on the PATH."""

from importlib.metadata import entry_points

if __name__ == "__main__":
    (_command,) = entry_points(group="console_scripts", name="csgisnet")
    _command.load()(prog_name="python -m csgisnet")
