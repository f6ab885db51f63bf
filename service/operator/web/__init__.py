"""The operator's HTTP face: endpoints, what they show, and the examples in their documentation.

For the command line, which serves it. It parses and shows; what a call does is in `accounts`, `runs` and `settlement`.
"""
