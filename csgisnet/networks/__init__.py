"""Networks: modules that map tensors to tensors and never touch a file.

Read `smoothing` first, the network that the project is about; `growing` adds parts to one that is
trained, and `folding` makes it faster; `segmenter` and `features` are the teachers' networks, which
only training needs. `own` gives a network of somebody else's the face of ours.

May import: the ground, no other wing.
"""
