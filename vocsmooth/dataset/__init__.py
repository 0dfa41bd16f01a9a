"""Everything that is done with a whole dataset: plan, build, verify, repair, archive.

Read `plan`, `make` (one shard), `work` (those of a run), `claim`, `parts`, `folder`, `tally`,
`runner` and `build` first; then `check` (one shard, by way of `reading` and `values`), `records`,
`journal` and `verify`; then `recover` (the JSON files) and `repair`; then `archive`.

May import the ground, `workers`, `operators`, `images`, `shards`, `views`, `sources` and `maps`.
"""
