"""A page on this machine to try every operator and network on a picture.

Read in this order: `methods` says what the page offers and smooths with it, `views` cuts from a
photograph what the page shows, `server` answers the page's requests; page.html, page.css and
page.js are the page itself.

May import: the ground of both packages, `vocsmooth.operators`, `vocsmooth.images`, `networks`,
`checkpoints`, `prediction`.
"""
