"""What people and other programs see of a dataset.

Read in this order: `text` describes a dataset in the terminal, `card` is its README, `croissant`
its description for machines, `page` is one HTML page to browse it, `sheet` is one picture of some
samples, and `png` exports it as PNG files.

May import the ground and `shards`.
"""
