"""Structure-preserving smoothing operators and the VOC-smooth dataset builder."""

__version__ = "0.1.0"
