// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Attestations, Signature} from "./Attestations.sol";
import {CollateralVault} from "./CollateralVault.sol";

/// What the agent says it verified: breach and top-up of one run.
/// Every field is static, so its ABI encoding is its EIP-712 encoding.
struct AgentAttestation {
    uint256 chain;
    address vault;
    address account;
    bytes32 run; // hash of the run's record
    uint64 tick;
    bytes32 log; // root of the cosigned checkpoint that holds the run's entry
    bytes32 commitments; // hash(V)
    uint256 free; // balances when the run was opened, in the token's smallest unit
    uint256 posted;
    uint256 topUp; // X in units of the matrices
    uint256 amount; // X in the token's smallest unit
    uint64 expiry;
}

/// Settles on an agent's word, after a time in which it can be challenged: for chains without the precompiles that
/// `Vault` needs. **This contract verifies no proof.** It is cheaper and weaker, and says so in its name.
///
/// A settlement that the agent attested waits for `challengeSeconds`. Any signer of the oracle's set in force, each of
/// which can verify proofs and recompute matrices by itself, ends the run by a challenge until it is executed; so does
/// the guardian. One honest signer that is awake can stop what was never proven, and one dishonest signer can stop every
/// settlement. But k signers replace the others at once, by a rotation: agent and k signers can settle what was never
/// proven if the guardian sleeps.
contract AttestedVault is CollateralVault {
    struct Proposal {
        uint256 topUp;
        uint256 amount;
        bytes32 log;
        uint64 executableFrom; // by `clock`, zero for no proposal
    }

    uint64 public constant MAX_CHALLENGE_SECONDS = 7 days;
    bytes32 private constant AGENT_TYPE = keccak256(
        "AgentAttestation(uint256 chain,address vault,address account,bytes32 run,uint64 tick,bytes32 log,"
        "bytes32 commitments,uint256 free,uint256 posted,uint256 topUp,uint256 amount,uint64 expiry)"
    );

    address public immutable agent;
    uint64 public immutable challengeSeconds;
    mapping(bytes32 => Proposal) public proposals;

    event SettlementProposed(
        bytes32 indexed run, address indexed account, bytes32 indexed log, uint256 amount, uint64 executableFrom
    );

    error NotAgent(address recovered);
    error NotAChallenger(address caller);
    error ForeignChain(uint256 attested, uint256 here);
    error Expired(uint64 expiry, uint256 now_);
    error OtherRun(bytes32 run);
    error NoTopUp();
    error ProposalPending(bytes32 run);
    error NoProposal(bytes32 run);
    error StillChallengeable(uint64 executableFrom, uint64 now_);

    constructor(Settings memory settings, address agent_, uint64 challengeSeconds_) CollateralVault(settings) {
        if (agent_ == address(0)) revert BadSetting("agent");
        if (challengeSeconds_ == 0 || challengeSeconds_ > MAX_CHALLENGE_SECONDS) revert BadSetting("challengeSeconds");
        agent = agent_;
        challengeSeconds = challengeSeconds_;
    }

    /// Brings what the agent attested of an open run. Anyone may; once a run.
    function propose(AgentAttestation calldata attestation, Signature calldata signature)
        external
        nonReentrant
        whenNotPaused
    {
        bytes32 id = attestation.run;
        Run storage run = _openRun(id);
        if (proposals[id].executableFrom != 0) revert ProposalPending(id);
        if (attestation.vault != address(this)) revert ForeignVault(attestation.vault);
        if (attestation.chain != block.chainid) revert ForeignChain(attestation.chain, block.chainid);
        if (block.timestamp > attestation.expiry) revert Expired(attestation.expiry, block.timestamp);
        if (
            attestation.account != run.account || attestation.tick != run.tick
                || attestation.commitments != run.commitments
        ) revert OtherRun(id);
        if (attestation.free != run.free || attestation.posted != run.posted) {
            revert WrongBalances(attestation.free, attestation.posted, run.free, run.posted);
        }
        if (attestation.topUp == 0 || attestation.amount == 0) revert NoTopUp();
        address recovered = Attestations.signer(digestOf(attestation), signature, 0);
        if (recovered != agent) revert NotAgent(recovered);
        uint64 executableFrom = clock() + challengeSeconds;
        proposals[id] = Proposal(attestation.topUp, attestation.amount, attestation.log, executableFrom);
        emit SettlementProposed(id, run.account, attestation.log, attestation.amount, executableFrom);
    }

    /// Ends a run whose proposal is wrong: a signer of the oracle, or the guardian.
    function challenge(bytes32 run) external nonReentrant whenNotPaused {
        if (msg.sender != guardian && !oracle.isSigner(msg.sender)) revert NotAChallenger(msg.sender);
        if (proposals[run].executableFrom == 0) revert NoProposal(run);
        _end(run, RunState.Challenged);
    }

    /// Settles what nobody challenged in time. Anyone may. Free collateral that arrived meanwhile counts.
    function execute(bytes32 run) external nonReentrant whenNotPaused returns (bool liquidated) {
        Proposal storage proposal = proposals[run];
        if (proposal.executableFrom == 0) revert NoProposal(run);
        if (_runs[run].state != RunState.Valuation) revert RunNotOpen(run);
        if (clock() < proposal.executableFrom) revert StillChallengeable(proposal.executableFrom, clock());
        liquidated = _conclude(run, proposal.log, proposal.topUp, proposal.amount);
    }

    /// Returns what the agent signs.
    function digestOf(AgentAttestation calldata attestation) public view returns (bytes32) {
        bytes32 document = keccak256(abi.encode(AGENT_TYPE, attestation));
        return Attestations.digest(Attestations.domain("atomic-margin", address(this)), document);
    }

    /// A run that has a proposal ends by that, or by a challenge.
    function _end(bytes32 run, RunState state) internal override {
        bool pending = _runs[run].state == RunState.Valuation && proposals[run].executableFrom != 0;
        if (pending && state != RunState.Challenged) revert ProposalPending(run);
        super._end(run, state);
    }
}
