"""Evaluation: measure smoothers of any kind on the same images, and report them side by side.

Read `metrics` first, then `samples` (the images to measure on), `outputs` (what other methods have
made of them), `measure` (every smoother on each of them), `tune`, `intervals` (of paired
differences) and `boundaries` (what people drew on a photograph); `tables`, `plots` (with
`placement`, for the names on it) and `gallery` show the outcome, and `report` writes it all.

May import: the ground of both packages, `vocsmooth.shards`.
"""
