"""What runs on an EVM chain, and what turns our proofs into its calldata. The service and tests may import it.

`solidity/` has the sources and `compiled/` what the compiler makes of them, so that nobody needs node to use them.
`calldata` and `generator_blocks` need nothing but `zk`; `deploy` and `local_chain` need web3, and nobody imports them
who does not speak to a chain. docs/chain.md says what is verified there, and how.
"""
