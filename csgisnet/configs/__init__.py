"""Network and training configurations (TOML), installed with the package."""
