"""Where photographs come from: a VOC tree of the user's, or one that this project writes.

Read in this order: `ids` and `listing` hold photographs in columns, `voc` finds a tree and lists
its photographs, `masks` reads their masks, `tree` writes a tree. Two kinds are written: `bundled`
takes the photographs of scikit-image (their places and licences are in `photographs`, their masks
come from `outlines`), and `scenes` draws pictures of the kinds in `families`: `drawing` composes
them from the objects in `shapes`, `materials` for textures by class; `ragged`, `printed` and
`posterise` make what drawn objects lack.

May import the ground, `workers`, `operators` and `images`.
"""
