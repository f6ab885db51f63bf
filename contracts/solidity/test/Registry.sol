// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// A registry of names as EIP-137 has it, for local chains alone: owners and resolvers, without time to live.
contract Registry {
    mapping(bytes32 node => address) public owner;
    mapping(bytes32 node => address) public resolver;
    mapping(address owner => mapping(address operator => bool)) public isApprovedForAll;

    event NewOwner(bytes32 indexed node, bytes32 indexed label, address owner);
    event Transfer(bytes32 indexed node, address owner);
    event NewResolver(bytes32 indexed node, address resolver);
    event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

    error NotAuthorised(bytes32 node, address caller);

    modifier authorised(bytes32 node) {
        address holder = owner[node];
        if (holder != msg.sender && !isApprovedForAll[holder][msg.sender]) revert NotAuthorised(node, msg.sender);
        _;
    }

    constructor() {
        owner[0] = msg.sender;
    }

    function setOwner(bytes32 node, address holder) external authorised(node) {
        owner[node] = holder;
        emit Transfer(node, holder);
    }

    function setSubnodeOwner(bytes32 node, bytes32 label, address holder) external authorised(node) returns (bytes32) {
        bytes32 below = keccak256(abi.encodePacked(node, label));
        owner[below] = holder;
        emit NewOwner(node, label, holder);
        return below;
    }

    function setResolver(bytes32 node, address resolver_) external authorised(node) {
        resolver[node] = resolver_;
        emit NewResolver(node, resolver_);
    }

    function setApprovalForAll(address operator, bool approved) external {
        isApprovedForAll[msg.sender][operator] = approved;
        emit ApprovalForAll(msg.sender, operator, approved);
    }
}
