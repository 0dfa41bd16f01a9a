"""CSGIS-Net: contrastive semantic-guided image smoothing (arXiv 2209.00977)."""

__version__ = "0.1.0"
