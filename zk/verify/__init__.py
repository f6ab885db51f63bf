"""The verifier's side: one module per statement. Returning means the proof holds; everything else is an exception.

Anyone may import it; it never imports `zk.prove`.
"""
