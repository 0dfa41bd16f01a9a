"""Dataset recipes (TOML) and id lists, installed as `vocsmooth.manifests`."""
