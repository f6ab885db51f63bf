// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Attestations} from "./Attestations.sol";

/// What is read of the ENS registry (EIP-137).
interface IRegistry {
    function owner(bytes32 node) external view returns (address);
    function isApprovedForAll(address owner, address operator) external view returns (bool);
}

/// What a gateway answers (ERC-3668): ABI-encoded, with a signature of the EIP-712 document `PointerAnswer`.
interface IPointerGateway {
    function pointer(bytes32 node, string calldata key)
        external
        view
        returns (bytes memory value, uint64 expiry, bytes32 r, bytes32 s, uint8 v);
}

/// ERC-3668: the answer has to be fetched, and brought to `callbackFunction`.
error OffchainLookup(address sender, string[] urls, bytes callData, bytes4 callbackFunction, bytes extraData);

/// An ENS resolver from a name to an operator's log: its key, its newest checkpoint, and where a bundle is.
///
/// The owner of the name says which log it is and who publishes; the publisher, an operator's hot key, says the rest.
/// The key of the log is always on the chain, since all else is checked by it. The rest is on the chain too, or, where
/// the owner names a gateway and the key that signs for it, is fetched there.
///
/// Records belong to the owner that made them: a name that is sold starts with none, and its old publisher and gateway
/// have no more say. Who owns a name wrapped by a contract is that contract, which calls nothing here: unwrap it.
contract PointerResolver {
    struct Record {
        string log;
        address publisher;
        string checkpoint;
        string bundle;
        string tiles;
        bytes contenthash;
        address gatewaySigner;
        string[] gateways;
    }

    string public constant NAME = "atomic-margin";
    string public constant LOG = "atomic-margin.log";
    string public constant CHECKPOINT = "atomic-margin.checkpoint";
    string public constant BUNDLE = "atomic-margin.bundle";
    string public constant TILES = "atomic-margin.tiles";
    /// What a gateway is asked for where a client asks for the content hash, which is no text record.
    string public constant CONTENTHASH = "contenthash";

    /// Bytes, at most.
    uint256 public constant MAX_LOG = 256;
    uint256 public constant MAX_CHECKPOINT = 8192;
    uint256 public constant MAX_ADDRESS = 1024;
    uint256 public constant MAX_CONTENTHASH = 64;
    uint256 public constant MAX_GATEWAYS = 4;
    uint256 public constant MAX_NAME = 255;
    /// Seconds that an answer of a gateway may be valid for, so that none that leaks counts for long.
    uint256 public constant MAX_VALIDITY = 1 days;

    bytes32 public constant ANSWER_TYPE =
        keccak256("PointerAnswer(bytes32 node,string key,bytes value,uint64 expiry)");

    bytes4 private constant ERC165 = 0x01ffc9a7;
    bytes4 private constant TEXT = 0x59d1d43c; // EIP-634
    bytes4 private constant CONTENT = 0xbc1c58d1; // EIP-1577
    bytes4 private constant EXTENDED = 0x9061b923; // ENSIP-10

    IRegistry public immutable registry;
    mapping(bytes32 node => mapping(address owner => Record)) private _records;

    event TextChanged(bytes32 indexed node, string indexed indexedKey, string key, string value);
    event ContenthashChanged(bytes32 indexed node, bytes hash);
    event PublisherChanged(bytes32 indexed node, address indexed owner, address publisher);
    event GatewayChanged(bytes32 indexed node, address indexed owner, string[] urls, address signer);

    /// Whoever calls is not the owner of the name, nor approved by it.
    error NotOwner(bytes32 node, address caller);
    /// Nor its publisher.
    error NotPublisher(bytes32 node, address caller);
    error TooLong(string key, uint256 got, uint256 most);
    error TooManyGateways(uint256 got);
    /// Addresses without a signer, or a signer without addresses.
    error HalfAGateway();
    /// The name is not the one that the call is about.
    error OtherNode(bytes32 named, bytes32 asked);
    error NameMalformed();
    /// `resolve` is for text and content hash.
    error UnsupportedCall();
    /// An answer is brought for a name that has no gateway.
    error NoGateway(bytes32 node);
    error AnswerExpired(uint64 expiry, uint256 now_);
    error AnswerValidTooLong(uint64 expiry, uint256 latest);
    error AnswerNotSigned(address recovered, address signer);

    constructor(IRegistry registry_) {
        registry = registry_;
    }

    // What the owner says.

    /// Says which log the name is of: its key, as people hand it on. What was published of another is removed.
    function setLog(bytes32 node, string calldata key) external {
        Record storage record = _ofOwner(node);
        _limit(LOG, bytes(key).length, MAX_LOG);
        record.log = key;
        delete record.checkpoint;
        delete record.bundle;
        delete record.tiles;
        delete record.contenthash;
        emit TextChanged(node, LOG, LOG, key);
    }

    /// Lets a key publish, the zero address nobody.
    function setPublisher(bytes32 node, address publisher_) external {
        _ofOwner(node).publisher = publisher_;
        emit PublisherChanged(node, registry.owner(node), publisher_);
    }

    /// Has all but the log's key fetched from gateways, whose answers one key signs; without any, from here again.
    function setGateway(bytes32 node, string[] calldata urls, address signer) external {
        Record storage record = _ofOwner(node);
        if (urls.length > MAX_GATEWAYS) revert TooManyGateways(urls.length);
        if ((urls.length == 0) != (signer == address(0))) revert HalfAGateway();
        for (uint256 i = 0; i < urls.length; ++i) {
            _limit("gateway", bytes(urls[i]).length, MAX_ADDRESS);
        }
        record.gateways = urls;
        record.gatewaySigner = signer;
        emit GatewayChanged(node, registry.owner(node), urls, signer);
    }

    // What the publisher says, or the owner.

    /// Publishes the newest checkpoint alone.
    function publishCheckpoint(bytes32 node, string calldata checkpoint) external {
        _setCheckpoint(node, _ofPublisher(node), checkpoint);
    }

    /// Publishes checkpoint, address of a bundle, address of the log's tiles, and hash of the bundle; any may be empty.
    function publish(
        bytes32 node,
        string calldata checkpoint,
        string calldata bundle,
        string calldata tiles,
        bytes calldata hash
    ) external {
        Record storage record = _ofPublisher(node);
        _limit(BUNDLE, bytes(bundle).length, MAX_ADDRESS);
        _limit(TILES, bytes(tiles).length, MAX_ADDRESS);
        _limit(CONTENTHASH, hash.length, MAX_CONTENTHASH);
        _setCheckpoint(node, record, checkpoint);
        record.bundle = bundle;
        record.tiles = tiles;
        record.contenthash = hash;
        emit TextChanged(node, BUNDLE, BUNDLE, bundle);
        emit TextChanged(node, TILES, TILES, tiles);
        emit ContenthashChanged(node, hash);
    }

    // What anyone reads.

    /// EIP-634. Empty for what is not set, and for every other key.
    function text(bytes32 node, string calldata key) external view returns (string memory) {
        return string(_text(node, key, this.answered.selector));
    }

    /// EIP-1577.
    function contenthash(bytes32 node) external view returns (bytes memory) {
        return _contenthash(node, this.answered.selector);
    }

    /// ENSIP-10: a call of `text` or `contenthash` about the very name, not about names below it.
    function resolve(bytes calldata name, bytes calldata data) external view returns (bytes memory) {
        if (name.length > MAX_NAME) revert NameMalformed();
        bytes4 selector = bytes4(data);
        if (selector == TEXT) {
            (bytes32 node, string memory key) = abi.decode(data[4:], (bytes32, string));
            _require(name, node);
            return abi.encode(_text(node, key, this.resolveAnswered.selector));
        }
        if (selector == CONTENT) {
            bytes32 node = abi.decode(data[4:], (bytes32));
            _require(name, node);
            return abi.encode(_contenthash(node, this.resolveAnswered.selector));
        }
        revert UnsupportedCall();
    }

    /// ERC-3668: takes what a gateway answered where `text` or `contenthash` asked for it. It returns bytes, which are
    /// encoded as the text is.
    function answered(bytes calldata response, bytes calldata extraData) external view returns (bytes memory) {
        return _answered(response, extraData);
    }

    /// The same where `resolve` asked.
    function resolveAnswered(bytes calldata response, bytes calldata extraData) external view returns (bytes memory) {
        return abi.encode(_answered(response, extraData));
    }

    /// Returns who publishes for the owner of a name.
    function publisher(bytes32 node) external view returns (address) {
        return _ofName(node).publisher;
    }

    /// Returns the gateways of a name and who signs for them.
    function gateway(bytes32 node) external view returns (string[] memory urls, address signer) {
        Record storage record = _ofName(node);
        return (record.gateways, record.gatewaySigner);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == ERC165 || id == TEXT || id == CONTENT || id == EXTENDED;
    }

    // Records.

    function _ofName(bytes32 node) private view returns (Record storage) {
        return _records[node][registry.owner(node)];
    }

    function _ofOwner(bytes32 node) private view returns (Record storage) {
        address owner = registry.owner(node);
        if (!_speaksFor(owner)) revert NotOwner(node, msg.sender);
        return _records[node][owner];
    }

    function _ofPublisher(bytes32 node) private view returns (Record storage) {
        address owner = registry.owner(node);
        Record storage record = _records[node][owner];
        // Nobody calls as the zero address, so a name without publisher or owner has nobody here.
        if (record.publisher != msg.sender && !_speaksFor(owner)) revert NotPublisher(node, msg.sender);
        return record;
    }

    function _speaksFor(address owner) private view returns (bool) {
        return owner == msg.sender || (owner != address(0) && registry.isApprovedForAll(owner, msg.sender));
    }

    function _setCheckpoint(bytes32 node, Record storage record, string calldata checkpoint) private {
        _limit(CHECKPOINT, bytes(checkpoint).length, MAX_CHECKPOINT);
        record.checkpoint = checkpoint;
        emit TextChanged(node, CHECKPOINT, CHECKPOINT, checkpoint);
    }

    function _limit(string memory key, uint256 got, uint256 most) private pure {
        if (got > most) revert TooLong(key, got, most);
    }

    // Values.

    function _text(bytes32 node, string memory key, bytes4 callback) private view returns (bytes memory) {
        Record storage record = _ofName(node);
        bytes32 asked = keccak256(bytes(key));
        if (asked == keccak256(bytes(LOG))) return bytes(record.log);
        if (asked == keccak256(bytes(CHECKPOINT))) {
            _lookUp(record, node, key, callback);
            return bytes(record.checkpoint);
        }
        if (asked == keccak256(bytes(BUNDLE))) {
            _lookUp(record, node, key, callback);
            return bytes(record.bundle);
        }
        if (asked == keccak256(bytes(TILES))) {
            _lookUp(record, node, key, callback);
            return bytes(record.tiles);
        }
        return "";
    }

    function _contenthash(bytes32 node, bytes4 callback) private view returns (bytes memory) {
        Record storage record = _ofName(node);
        _lookUp(record, node, CONTENTHASH, callback);
        return record.contenthash;
    }

    /// Reverts with where to ask, if the name has a gateway.
    function _lookUp(Record storage record, bytes32 node, string memory key, bytes4 callback) private view {
        if (record.gatewaySigner == address(0)) return;
        bytes memory call = abi.encodeCall(IPointerGateway.pointer, (node, key));
        revert OffchainLookup(address(this), record.gateways, call, callback, abi.encode(node, key));
    }

    /// Returns what a gateway answered. Node and key come from the caller: what is signed names them, so that an answer
    /// to another question, of another contract or of another chain is none.
    function _answered(bytes calldata response, bytes calldata extraData) private view returns (bytes memory) {
        (bytes32 node, string memory key) = abi.decode(extraData, (bytes32, string));
        (bytes memory value, uint64 expiry, bytes32 r, bytes32 s, uint8 v) =
            abi.decode(response, (bytes, uint64, bytes32, bytes32, uint8));
        address signer = _ofName(node).gatewaySigner;
        if (signer == address(0)) revert NoGateway(node);
        if (block.timestamp > expiry) revert AnswerExpired(expiry, block.timestamp);
        if (expiry > block.timestamp + MAX_VALIDITY) {
            revert AnswerValidTooLong(expiry, block.timestamp + MAX_VALIDITY);
        }
        _limit(key, value.length, MAX_CHECKPOINT);
        bytes32 document =
            keccak256(abi.encode(ANSWER_TYPE, node, keccak256(bytes(key)), keccak256(value), uint256(expiry)));
        address recovered = ecrecover(Attestations.digest(Attestations.domain(NAME, address(this)), document), v, r, s);
        // The second form of a signature says the same: nothing here is counted, so it does no harm.
        if (recovered != signer) revert AnswerNotSigned(recovered, signer);
        return value;
    }

    // Names.

    function _require(bytes calldata name, bytes32 node) private pure {
        bytes32 named = _namehash(name, 0);
        if (named != node) revert OtherNode(named, node);
    }

    /// Returns the node (EIP-137) of a DNS-encoded name, from a place in it on.
    function _namehash(bytes calldata name, uint256 at) private pure returns (bytes32) {
        if (at >= name.length) revert NameMalformed();
        uint256 length = uint8(name[at]);
        if (length == 0) {
            if (at + 1 != name.length) revert NameMalformed();
            return bytes32(0);
        }
        if (at + 1 + length > name.length) revert NameMalformed();
        return keccak256(abi.encodePacked(_namehash(name, at + 1 + length), keccak256(name[at + 1:at + 1 + length])));
    }
}
