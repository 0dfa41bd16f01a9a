"""Image files: found, read, smoothed and written.

Read in this order: `finding` says which files a user means, `reading` turns a file into a picture,
with `depth` for more than 8 bits and `pillow_limit` for the limit on its size, `writing` is the way
back, `videos` does both for videos, `destinations` plans which result goes where, and `folders`
runs a whole plan of pictures.

May import the ground and `workers`.
"""
