"""Solve the linear systems of RTV: pixels coupled to their neighbours, on ever coarser grids.

To read in this order: solver.py has the method, the stop rule and the gradients; cycle.py the line
solves and the V-cycle; coarsening.py the weights and the coarse grids. csrc/ has the same in C.
"""
