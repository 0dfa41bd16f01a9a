"""Image files: found, read, smoothed and written.

Read in this order: `finding` says which files a user means, `reading` turns a file into a picture,
with `depth` for more than 8 bits and `pillow_limit` for the limit on its size, `writing` is the way
back, `destinations` plans which result goes where, and `folders` runs a whole plan.

May import the ground and `workers`.
"""
