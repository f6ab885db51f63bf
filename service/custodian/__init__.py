"""A custodian: holds shares of books, and with others opens that of an institution which stays silent.

A party of its own, as a witness is. It holds secrets: command line and tests import it, the operator and verifiers
never. Rooms: `engine` is the joint computation of the present custodians, in a process of its own, which says whether a
row is negative and which; `boxes` opens what shares come in; `folder` and `sealing` are its keys, `store` what it
remembers, `client` its calls on the operator. `receiving` decides about deals and `judging` about openings; what
follows is done by `deals` and `openings`, which `process` drives.
"""
