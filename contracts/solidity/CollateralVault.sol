// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Attestations, PortfolioAttestation, ReleaseAttestation, Signature} from "./Attestations.sol";
import {MatrixOracle} from "./MatrixOracle.sol";
import {HeldToken} from "./HeldToken.sol";

/// Accounts, collateral and runs: what a vault does whichever way a settlement is shown to be right.
///
/// An account has free collateral, which its holder withdraws while no run is open, and posted collateral, which counts
/// in c and comes back by `release`. A run takes a picture of both and of the book, and locks them; it ends by a
/// settlement, by the operator's word that it was answered as covered, or by time. States follow ERC-6123: `Inactive`,
/// `Settled`, `Valuation`, `Terminated`; so do the names of events about runs, where they fit.
abstract contract CollateralVault is HeldToken {
    using Attestations for *;

    enum AccountState {
        Inactive, // no book yet
        Settled, // no run is open
        Valuation, // a run is open: nothing leaves
        Terminated // liquidated, for good
    }

    enum RunState {
        Unknown,
        Valuation,
        Covered,
        Lapsed,
        Challenged, // only where settlements can be challenged
        Settled,
        Terminated
    }

    struct Account {
        uint256 free;
        uint256 posted;
        bytes32 commitments; // hash(V) of the book in force, zero for none
        bytes32 run; // that is open, zero for none
        uint64 sequence; // of the last attested document
        uint64 tick; // of the last run
        AccountState state;
        bool lapsed; // whether that run ended by time alone
        uint64 runs; // so many were opened
    }

    /// What an account had when a run was opened: what its matrices are made for.
    struct Run {
        address account;
        uint64 tick;
        uint64 deadline; // by `clock`
        RunState state;
        bytes32 commitments;
        uint256 free;
        uint256 posted;
    }

    struct Settings {
        address token; // the collateral, one ERC-20
        MatrixOracle oracle;
        address operator; // opens runs and ends covered ones
        address guardian; // pauses
        address waterfall; // takes what a liquidation takes
        uint256 blockCap; // most that settles in one block, and most that one account may hold
        uint64 runSeconds; // how long a run locks an account at most
    }

    uint64 public constant MAX_RUN_SECONDS = 7 days;

    MatrixOracle public immutable oracle;
    address public immutable operator;
    address public immutable guardian;
    address public immutable waterfall;
    uint256 public immutable blockCap;
    uint64 public immutable runSeconds;

    mapping(address => Account) internal _accounts;
    mapping(bytes32 => Run) internal _runs;
    /// Whose book some commitments are: the account that registered them first.
    mapping(bytes32 => address) public holderOf;

    /// When the pause that is on began, zero for none.
    uint64 public pausedSince;
    /// How long the vault was paused before.
    uint64 public pausedSeconds;
    uint256 private _capBlock;
    uint256 private _capUsed;

    event Deposited(address indexed account, address indexed from, uint256 arrived);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event Posted(address indexed account, uint256 amount);
    event Released(address indexed account, bytes32 indexed log, uint256 amount, uint64 sequence);
    event PortfolioRegistered(address indexed account, bytes32 indexed commitments, uint64 sequence);
    event Paused();
    event Unpaused();

    /// A run was opened: these balances are what its matrices have to be made for.
    event SettlementRequested(
        bytes32 indexed run,
        address indexed account,
        uint64 tick,
        bytes32 commitments,
        uint256 free,
        uint256 posted,
        uint64 deadline
    );
    /// A breach and a top-up of `topUp` units of the matrices, `amount` of the token, are shown to be right.
    event SettlementDetermined(
        bytes32 indexed run, address indexed account, bytes32 indexed log, uint256 topUp, uint256 amount
    );
    /// `amount` moved from free to posted.
    event SettlementTransferred(bytes32 indexed run, address indexed account, bytes32 indexed log, uint256 amount);
    /// Free collateral does not reach `amount`; `TradeTerminated` follows.
    event SettlementFailed(
        bytes32 indexed run, address indexed account, bytes32 indexed log, uint256 amount, uint256 free
    );
    /// All that the account had, `seized`, went to the waterfall.
    event TradeTerminated(bytes32 indexed run, address indexed account, bytes32 indexed log, uint256 seized);
    /// A run ended without a settlement: `Covered`, `Lapsed` or `Challenged`.
    event RunEnded(bytes32 indexed run, address indexed account, RunState state);

    error NotOperator(address caller);
    error NotGuardian(address caller);
    error IsPaused();
    error NotPaused();
    error BadSetting(string name);
    error UnknownAccount(address account);
    error AccountTerminated(address account);
    error RunIsOpen(bytes32 run);
    error RunKnown(bytes32 run);
    error RunNotOpen(bytes32 run);
    error RunOver(bytes32 run, uint64 deadline);
    error RunNotOver(bytes32 run, uint64 deadline);
    error StaleTick(uint64 tick, uint64 last);
    error StaleRelease(uint64 attested, uint64 runs);
    error InsufficientFree(uint256 free, uint256 asked);
    error InsufficientPosted(uint256 posted, uint256 asked);
    error VaultFull(uint256 held, uint256 limit);
    error BlockCapReached(uint256 used, uint256 asked, uint256 cap);
    error ForeignVault(address attested);
    error WrongSequence(uint64 attested, uint64 expected);
    error WrongBalances(uint256 attestedFree, uint256 attestedPosted, uint256 free, uint256 posted);
    error NotTheBook(bytes32 commitments, address holder);
    error NoCommitments();
    error CommitmentsTaken(address holder);
    error NotTheHolder(address recovered, address account);

    modifier whenNotPaused() {
        if (pausedSince != 0) revert IsPaused();
        _;
    }

    modifier onlyOperator() {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        _;
    }

    constructor(Settings memory settings) HeldToken(settings.token) {
        if (address(settings.oracle).code.length == 0) revert BadSetting("oracle");
        if (settings.operator == address(0)) revert BadSetting("operator");
        if (settings.guardian == address(0)) revert BadSetting("guardian");
        if (settings.waterfall == address(0) || settings.waterfall == address(this)) revert BadSetting("waterfall");
        if (settings.blockCap == 0) revert BadSetting("blockCap");
        if (settings.runSeconds == 0 || settings.runSeconds > MAX_RUN_SECONDS) revert BadSetting("runSeconds");
        oracle = settings.oracle;
        operator = settings.operator;
        guardian = settings.guardian;
        waterfall = settings.waterfall;
        blockCap = settings.blockCap;
        runSeconds = settings.runSeconds;
    }

    // Collateral

    /// Takes up to `amount` of the token from the caller for an account; what arrives is free collateral.
    ///
    /// Anyone may, at any time: while a run is open too, whose picture it does not enter. It counts when the run
    /// settles, so a call can be met until then.
    function deposit(address account, uint256 amount) external nonReentrant whenNotPaused returns (uint256 arrived) {
        Account storage held = _accounts[account];
        if (held.state == AccountState.Terminated) revert AccountTerminated(account);
        arrived = _take(msg.sender, amount);
        // An account that holds more than may settle in a block could not be liquidated.
        uint256 after_ = held.free + held.posted + arrived;
        if (after_ > blockCap) revert VaultFull(after_, blockCap);
        held.free += arrived;
        emit Deposited(account, msg.sender, arrived);
    }

    /// Gives the caller's free collateral back, while no run of its account is open.
    function withdraw(address to, uint256 amount) external nonReentrant whenNotPaused {
        Account storage held = _accounts[msg.sender];
        _requireNoRun(held);
        if (amount > held.free) revert InsufficientFree(held.free, amount);
        held.free -= amount;
        emit Withdrawn(msg.sender, to, amount);
        _send(to, amount);
    }

    /// Posts the caller's free collateral, while no run of its account is open.
    function post(uint256 amount) external nonReentrant whenNotPaused {
        Account storage held = _accounts[msg.sender];
        _requireNoRun(held);
        if (amount > held.free) revert InsufficientFree(held.free, amount);
        held.free -= amount;
        held.posted += amount;
        emit Posted(msg.sender, amount);
    }

    /// Frees posted collateral that k of n attest may come back. Anyone may bring it, until the account's next run is
    /// opened: what covered an account before is no reason to release after, however that run ended.
    function release(ReleaseAttestation calldata document, Signature[] calldata signatures)
        external
        nonReentrant
        whenNotPaused
    {
        Account storage held = _attested(document.vault, document.account, document.sequence);
        if (document.posted != held.posted) revert WrongBalances(held.free, document.posted, held.free, held.posted);
        if (document.amount > held.posted) revert InsufficientPosted(held.posted, document.amount);
        if (document.runs != held.runs) revert StaleRelease(document.runs, held.runs);
        oracle.checkRelease(document, signatures);
        held.sequence = document.sequence;
        held.posted -= document.amount;
        held.free += document.amount;
        emit Released(document.account, document.log, document.amount, document.sequence);
    }

    // Books

    /// Makes a book the account's: the holder signed or sends it, and k of n attest that its portfolio proof holds.
    ///
    /// Without the holder's word anyone's commitments could liquidate an account; without the attestation a holder
    /// could name a book that it does not have. Not while a run is open: a run is on one book.
    function registerPortfolio(
        PortfolioAttestation calldata document,
        Signature calldata holder,
        Signature[] calldata signatures
    ) external nonReentrant whenNotPaused {
        Account storage held = _attested(document.vault, document.account, document.sequence);
        if (document.commitments == bytes32(0)) revert NoCommitments();
        address taken = holderOf[document.commitments];
        if (taken != address(0) && taken != document.account) revert CommitmentsTaken(taken);
        if (msg.sender != document.account) {
            address recovered = Attestations.signer(oracle.digestOf(document.hash()), holder, 0);
            // An account of nobody would be signed for by any broken signature.
            if (recovered == address(0) || recovered != document.account) {
                revert NotTheHolder(recovered, document.account);
            }
        }
        oracle.checkPortfolio(document, signatures);
        held.sequence = document.sequence;
        held.commitments = document.commitments;
        held.state = AccountState.Settled;
        holderOf[document.commitments] = document.account;
        emit PortfolioRegistered(document.account, document.commitments, document.sequence);
    }

    // Runs

    /// Opens a run on a book of the account: takes the picture and locks what is in it.
    ///
    /// At a later tick than the account's last run, or at the same one if that ended by time alone. The book is one that
    /// the account registered, at any time: whoever answers for a book cannot get rid of it by registering another. That
    /// it is the run's, signers attest.
    ///
    /// `posted` is what c counts, which the account has or more: whoever posts something just before a run is opened
    /// cannot make what was proven be about another balance.
    function openRun(bytes32 run, address account, uint64 tick, bytes32 commitments, uint256 posted)
        external
        nonReentrant
        whenNotPaused
        onlyOperator
    {
        Account storage held = _accounts[account];
        if (held.state == AccountState.Inactive) revert UnknownAccount(account);
        _requireNoRun(held);
        if (held.state == AccountState.Terminated) revert AccountTerminated(account);
        if (run == bytes32(0) || _runs[run].state != RunState.Unknown) revert RunKnown(run);
        if (tick < held.tick || (tick == held.tick && !held.lapsed)) revert StaleTick(tick, held.tick);
        address holder = holderOf[commitments];
        if (holder != account) revert NotTheBook(commitments, holder);
        if (posted > held.posted) revert InsufficientPosted(held.posted, posted);
        uint64 deadline = clock() + runSeconds;
        _runs[run] =
            Run(account, tick, deadline, RunState.Valuation, commitments, held.free, posted);
        held.run = run;
        held.tick = tick;
        held.lapsed = false;
        ++held.runs;
        held.state = AccountState.Valuation;
        emit SettlementRequested(run, account, tick, commitments, held.free, posted, deadline);
    }

    /// Ends a run that was answered as covered.
    function endCovered(bytes32 run) external nonReentrant whenNotPaused onlyOperator {
        _end(run, RunState.Covered);
    }

    /// Ends a run that nothing settled in time. Anyone may.
    function lapse(bytes32 run) external nonReentrant whenNotPaused {
        uint64 deadline = _runs[run].deadline;
        if (_runs[run].state == RunState.Valuation && clock() <= deadline) revert RunNotOver(run, deadline);
        _end(run, RunState.Lapsed);
    }

    // Pause

    /// Stops everything that changes a balance, a book or a run. Time does not run against a run meanwhile.
    function pause() external whenNotPaused {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        pausedSince = uint64(block.timestamp);
        emit Paused();
    }

    /// Lets everything go on.
    function unpause() external {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        if (pausedSince == 0) revert NotPaused();
        pausedSeconds += uint64(block.timestamp) - pausedSince;
        pausedSince = 0;
        emit Unpaused();
    }

    // Views

    /// Returns an account.
    function accountOf(address account) external view returns (Account memory) {
        return _accounts[account];
    }

    /// Returns a run.
    function runOf(bytes32 run) external view returns (Run memory) {
        return _runs[run];
    }

    /// Returns the chain's time less the time that the vault was paused, by which runs are over.
    function clock() public view returns (uint64) {
        uint64 now_ = pausedSince == 0 ? uint64(block.timestamp) : pausedSince;
        return now_ - pausedSeconds;
    }

    // For those that settle

    /// Returns a run that is open and in time.
    function _openRun(bytes32 run) internal view returns (Run storage opened) {
        opened = _runs[run];
        if (opened.state != RunState.Valuation) revert RunNotOpen(run);
        if (clock() > opened.deadline) revert RunOver(run, opened.deadline);
    }

    /// Moves what a run's settlement has to move, by the rule that the operator's hook has too: `amount` from free to
    /// posted if the account has it now, else all that it has to the waterfall.
    function _conclude(bytes32 run, bytes32 log, uint256 topUp, uint256 amount) internal returns (bool liquidated) {
        Run storage opened = _runs[run];
        address account = opened.account;
        Account storage held = _accounts[account];
        uint256 free = held.free;
        liquidated = free < amount;
        uint256 moved = liquidated ? free + held.posted : amount;
        _useCap(moved);
        emit SettlementDetermined(run, account, log, topUp, amount);
        held.run = bytes32(0);
        if (liquidated) {
            opened.state = RunState.Terminated;
            held.state = AccountState.Terminated;
            held.free = 0;
            held.posted = 0;
            emit SettlementFailed(run, account, log, amount, free);
            emit TradeTerminated(run, account, log, moved);
            _send(waterfall, moved);
        } else {
            opened.state = RunState.Settled;
            held.state = AccountState.Settled;
            held.free = free - moved;
            held.posted += moved;
            emit SettlementTransferred(run, account, log, moved);
        }
    }

    /// Ends an open run without a settlement.
    function _end(bytes32 run, RunState state) internal virtual {
        Run storage opened = _runs[run];
        if (opened.state != RunState.Valuation) revert RunNotOpen(run);
        opened.state = state;
        Account storage held = _accounts[opened.account];
        held.run = bytes32(0);
        held.lapsed = state == RunState.Lapsed;
        held.state = AccountState.Settled;
        emit RunEnded(run, opened.account, state);
    }

    function _requireNoRun(Account storage held) private view {
        if (held.state == AccountState.Valuation) revert RunIsOpen(held.run);
    }

    /// Returns the account that a signed document is about, if it is the account's next one and may count now.
    function _attested(address vault, address account, uint64 sequence) private view returns (Account storage held) {
        if (vault != address(this)) revert ForeignVault(vault);
        held = _accounts[account];
        _requireNoRun(held);
        if (held.state == AccountState.Terminated) revert AccountTerminated(account);
        if (sequence != held.sequence + 1) revert WrongSequence(sequence, held.sequence + 1);
    }

    function _useCap(uint256 amount) private {
        uint256 used = _capBlock == block.number ? _capUsed : 0;
        if (used + amount > blockCap) revert BlockCapReached(used, amount, blockCap);
        _capBlock = block.number;
        _capUsed = used + amount;
    }
}
