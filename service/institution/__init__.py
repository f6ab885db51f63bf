"""The institution's process: keys, submissions, answers. The only place where a position is in the clear."""
