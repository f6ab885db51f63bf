"""What both HTTP faces share: problem documents, limits on bodies, bearer tokens, JSON from outside.

Beside `protocol` and independent of parties; operator, institution and command line import it. It decides nothing about
margin.
"""
