"""Checkpoints: files of weights and training states, each checked before it is used.

Read `format` first, our own weight files, then `foreign`, those of other projects; `recognise`
names what is neither, and `fitting` puts tensors into modules. `networks` (with `bare`, for the
authors' own files, and `calibrations`, the ranges for int8) and `segmenters` build on these;
`states` and `best` keep what a run needs to resume and what it has found; `pretrained` finds the
file that a name means, and `hub` those of the Hugging Face Hub; `export` writes for other runtimes;
`own` keeps networks of somebody else's.

May import: the ground of both packages, `networks`.
"""
