"""Networks: modules that map tensors to tensors and never touch a file.

Read `smoothing` first, the network that the project is about, of the `layers` that it names; as
`csgisnet.SmoothingNetwork` it has `from_pretrained`, `save_pretrained` and `push_to_hub`, which
touch files and so lie higher up, in `checkpoints`. `growing` makes one that is trained larger,
`averaging` makes one of two, `pruning` drops what is idle, `levels` fixes its level, `outside`
makes what surrounds an image grey, `folding` makes it faster, and `quantising` measures what it
needs to run in int8. `symmetry` ties weights so that no colour is special, by what `channels` says.
`segmenter` and `features` are the teachers' networks, which only training needs. `own` gives a
network of somebody else's the face of ours.

May import: the ground, no other wing.
"""
