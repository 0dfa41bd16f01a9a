"""Run tasks: in processes of this machine, or on a Dask cluster.

Read `processes` first; then `child`, a process that a thread keeps to itself, and `cluster`, which
runs every task in one. May import the ground.
"""
