"""The joint computation by which custodians open a silent institution's book; touches secrets. Custodians alone enter.

Each present custodian calls `run.run_engine` with its shares of the rows (`zk.sharing.open_row.share_row`), which
starts a process of this opening alone. The processes compute with MPyC, over TLS. What leaves them is whether any
maintenance row is negative and, only then, the index of the least maintenance row and that of the least initial row. Of
models with slack that is also which pieces, or moves, certify the two: signs of parts of the book (`slack`).

    task         what all must have alike, and what is one custodian's own
    run          for the custodian's process: start, time limit, verdict or named error
    credentials  keys of one opening, certified by identities of the trust file
    connecting   who listens, who dials, who is refused
    channel      frames between two processes, within bounds
    guarded      MPyC without what would run code of a peer
    comparing    signs and least rows of shared numbers
    opening      the computation from row shares to verdict
    slack        the same for rows of models with slack: active pieces, tails
    shapes       what a task says of slack, within bounds
    process      the engine's process itself

**What deviating reaches.** The computation is secure against custodians that look, not against ones that deviate.
Fewer than the threshold learn nothing but the verdict by looking at what they receive. One that deviates can end it,
for all, by a named error within the time limit; it can also make a covered book look breached, or a breached one
covered, by changing its part of any product or output. An invented breach ends at the next step, where shares of the
named row are held against the deal (`zk.sharing.rows`). A denied one does not: whoever signs "covered" relies on every
custodian that took part. What deviating tells of rows through the bit and the indexes is not bounded by a proof. Shares
of other rows or of another deal, put in by mistake, are noticed before anything is compared. None of it runs code on
another's machine.
"""
