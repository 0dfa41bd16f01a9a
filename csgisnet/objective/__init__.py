"""The objective: what training minimises, and the teachers that it asks.

Read in this order: `config` says which terms count, `losses` is the whole objective, a function
for each term; `structure` (made of `similarity`), `contrast`, `directional` and `regions` are the
larger terms, `forms` names those of the contrast, `authors` has the paper's own, `targets` says
what a segmenter should answer, and `teachers` loads the networks that judge results.

May import: the grounds, `vocsmooth.operators`, `networks` and `checkpoints`.
"""
