"""A custodian: holds shares of books, and with others opens that of an institution which stays silent.

A party of its own, as a witness is; it holds secrets, and no other party imports it. Rooms: `engine` is the joint
computation of the present custodians, in a process of its own, which says whether a row is negative and which.
"""
