"""One photograph becomes all its maps: label, inputs, textures, negatives, edges and mask.

Read in this order: `recipe` and `texture_settings` hold every setting, `labels` chooses the label,
`textures` lays photographed tiles over it, or those of `procedural`, whose parts are in `torus`;
`by_class` does so for each class, and `photograph` makes all maps of one photograph.

May import the ground, `workers`, `operators`, `images`, `shards` and `sources`.
"""
