"""The commands `vocsmooth` and `csgisnet`: thin layers of click over the two packages."""
