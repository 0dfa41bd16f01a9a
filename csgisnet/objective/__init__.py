"""The objective: what training minimises, and the teachers that it asks.

Read in this order: `losses` is the whole objective, a term a function; `structure` and `contrast`
are the two larger terms, and `teachers` loads the networks that judge results.

May import: the grounds, `networks` and `checkpoints`.
"""
