"""FHE programs over the margin rows A z + c, the profiles that fix their parameters, and what is pinned about them.

`profile`, `layout`, `reference` and `clear_inputs` need no FHE library; `programs` and `compiling` do.
"""
