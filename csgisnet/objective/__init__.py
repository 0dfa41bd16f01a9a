"""What training minimises: the loss terms, and the teachers that some of them ask.

Read in this order: `losses`, `structure`, `contrast`, `teachers`.

May import: both grounds, `networks`, `checkpoints`.
"""
