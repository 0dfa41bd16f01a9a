"""Evaluation: smoothers of any kind, measured on the same images and reported side by side.

Read `metrics` first, then `samples` (the images to measure on), `measure` (every smoother on each
of them), `tune` and `intervals` (of paired differences); `tables`, `plots` and `gallery` show the
outcome, and `report` writes it all.

May import: the ground of both packages, `vocsmooth.shards`.
"""
