"""Example documents for the API's own documentation: the right form, not real keys or proofs."""

from typing import Any

JsonObject = dict[str, Any]

_KEY, _HASH, _SIGNATURE = "9a" * 32, "4d" * 32, "5c" * 64

BODIES: dict[str, JsonObject] = {
    "agreement-amendment": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "sequence": "1",
        "before": _HASH,
        "agreement": {
            "format": "atomic-margin/collateral-agreement/1",
            "name": "CSA of 2026",
            "threshold": "0",
            "minimum_transfer_amount": "100000",
            "minimum_return_amount": "100000",
            "independent_amount": "250000",
            "rounding": "10000",
            "notification_time": "13:00",
            "settlement_time": "17:00",
            "settlement_days": "0",
            "eligible": ["USDC"],
        },
        "until": "107",
    },
    "share-receipt": {
        "institution": "fund",
        "operator": _KEY,
        "dealing": _HASH,
        "deal": _HASH,
        "point": "1",
        "policy": _HASH,
        "book": _HASH,
        "custodian": _KEY,
        "received_at": "2026-11-20T16:00:00Z",
    },
    "share-complaint": {
        "institution": "fund",
        "operator": _KEY,
        "dealing": _HASH,
        "deal": _HASH,
        "point": "1",
        "custodian": _KEY,
        "reason": "wrong",
        "entry_index": "7",
        "complained_at": "2026-11-20T16:00:00Z",
    },
    "resealed-shares": {
        "institution": "fund",
        "operator": _KEY,
        "dealing": _HASH,
        "deal": _HASH,
        "point": "1",
        "complaint": _HASH,
        "box": "4d" * 163,
    },
    "identity-rotation": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "old": _KEY,
        "new": "01" * 32,
        "possession": _SIGNATURE,
    },
    "price": {
        "rules": _HASH,
        "previous": _HASH,
        "last_market": _HASH,
        "market": {
            "format": "atomic-margin/market/1",
            "sequence": "7",
            "as_of": "2026-11-20T16:00:00Z",
            "rate": "0.0395",
            "underlyings": {
                "BTC": {
                    "spot": "96420.5",
                    "perpetual": "96430.1",
                    "expiries": {
                        "2026-12-25T08:00:00Z": {"forward": "97191.0", "volatilities": {"90000": "0.5016"}},
                    },
                }
            },
            "collateral": {"USDC": "0.9999"},
        },
    },
    "price-rules": {
        "operator": _KEY,
        "previous": _HASH,
        "from_sequence": "8",
        "rules": {
            "format": "atomic-margin/price-rules/1",
            "sources": [_KEY],
            "required": "1",
            "max_skew_seconds": "60",
            "max_age_seconds": "300",
            "outlier": {"price": "0.02", "volatility": "0.05", "rate": "0.01"},
            "move": {"price": "0.5", "volatility": "1", "rate": "0.05"},
        },
    },
    "enrolment": {
        "institution": "fund",
        "operator": _KEY,
        "profile": _HASH,
        "key_sequence": "1",
        "evaluation_keys": _HASH,
        "known_answer_input": _HASH,
        "input_key": ["97" + "f1" * 47],
        "flag_key": ["97" + "f1" * 47],
    },
    "enrolment-confirmation": {
        "institution": "fund",
        "operator": _KEY,
        "evaluation_keys": _HASH,
        "known_answers": "right",
    },
    "submission": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "1",
        "entry": _HASH,
        "nonce": "e1" * 32,
        "randomness": "7b" * 32,
        "profile": _HASH,
        "universe": _HASH,
        "entry_map": _HASH,
        "evaluation_keys": _HASH,
        "key_commitments": _HASH,
        "generators": _HASH,
        "gross_limit": "64000000",
        "bodies": "2a" * 8,
        "ciphertext": _HASH,
        "commitments": ["97" + "f1" * 47],
        "portfolio_proof": "01",
        "encryption_proof": "01",
        "gain": {"price_sequence": "7", "tick": _HASH, "day": "20777", "allowance": "25000"},
        "gain_proof": "01",
    },
    "coverage": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "submission": _HASH,
        "price_sequence": "7",
        "tick": _HASH,
        "posted": {"USDC": "1000000"},
        "instructions": "1",
        "matrix": _HASH,
        "sufficiency_proof": "01",
    },
    "release": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "2",
        "entry": _HASH,
        "submission": _HASH,
        "price_sequence": "7",
        "tick": _HASH,
        "posted": {"USDC": "3000000"},
        "taken": {"USDC": "1000000"},
        "remaining": {"USDC": "2000000"},
        "matrix": _HASH,
        "sufficiency_proof": "01",
    },
    "readers": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "1",
        "entry": _HASH,
        "readers": [{"name": "auditor", "token_sha256": _HASH}],
    },
    "obligation": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "1",
        "entry": _HASH,
        "party": "5493001KJTIIGC8Y1R12",
        "scope": "party",
        "direction": "return",
        "asset": "USDC",
        "quantity": "1000000",
        "settles": "2999-12-31",
    },
    "giving-up": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "submission": _HASH,
        "waiting": _HASH,
        "covered": "6",
        "reason": "the disk with its blindings was lost",
    },
    "dispute": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "1",
        "entry": _HASH,
        "subject": _HASH,
        "number": "12",
        "kind": "amount",
        "amount": "1200",
        "undisputed": "400",
        "price_sequence": "7",
        "tick": _HASH,
        "priced_at": "2026-11-27T12:00:00Z",
        "reason": "the haircut of ETH is 12 %, not 15 %",
    },
    "dispute-withdrawal": {"institution": "fund", "operator": _KEY, "entry": _HASH, "dispute": _HASH},
    "dispute-resolution": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "dispute": _HASH,
        "outcome": "agreed",
        "amount": "800",
        "until": "1007",
        "words": "the haircut was 12 % from tick 5 on",
    },
    "loss-agreement": {
        "institution": "fund",
        "operator": _KEY,
        "entry": _HASH,
        "settlement": _HASH,
        "stages": "2",
        "rules": _HASH,
        "asset": "USDC",
        "loss": "250000000000",
        "reason": "closed at auction",
    },
    "collateral-instruction": {
        "institution": "fund",
        "operator": _KEY,
        "sequence": "1",
        "entry": _HASH,
        "action": "post",
        "asset": "USDC",
        "quantity": "1000000",
    },
    "answer": {
        "run_id": "fund.7",
        "run": _HASH,
        "entry": _HASH,
        "operator": _KEY,
        "institution": "fund",
        "submission": _HASH,
        "price_sequence": "7",
        "outcome": "covered",
        "top_up": "0",
        "top_up_usd": "0",
        "sufficiency_proof": "01",
    },
}


def signed_json(kind: str) -> JsonObject:
    """Describe a request whose body is a signed document."""
    example = _signed(kind)
    content = {"schema": _signed_schema(kind), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def price_set() -> JsonObject:
    """Describe a request whose body is what sources signed for one tick."""
    example = {"format": "atomic-margin/prices/2", "sequence": "7", "prices": [_signed("price")]}
    properties: JsonObject = {
        "format": {"const": example["format"]},
        "sequence": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,17})$"},
        "prices": {"type": "array", "items": _signed_schema("price"), "maxItems": 64},
    }
    return _described(properties, example)


def rules_change() -> JsonObject:
    """Describe a request whose body is a change of price rules."""
    signed = {"type": "array", "items": _signed_schema("price-rules"), "minItems": 1, "maxItems": 64}
    return _described({"signed": signed}, {"signed": [_signed("price-rules")]})


def _described(properties: JsonObject, example: JsonObject) -> JsonObject:
    schema = {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _signed_schema(kind: str) -> JsonObject:
    """Return the schema of a signed document; what its fields may hold is in docs/protocol.md."""
    body = BODIES[kind]
    types: dict[Any, str] = {str: "string", dict: "object", list: "array"}
    fields = {name: _shape(value, types[type(value)]) for name, value in body.items()}
    hex_ = {"type": "string"}
    return {
        "type": "object",
        "required": ["type", "body", "signer", "signature"],
        "properties": {
            "type": {"const": kind},
            "body": {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False},
            "signer": {**hex_, "pattern": "^[0-9a-f]{64}$"},
            "signature": {**hex_, "pattern": "^[0-9a-f]{128}$"},
        },
        "additionalProperties": False,
    }


def _shape(value: object, kind: str) -> JsonObject:
    if kind == "string":
        return {"type": kind, "pattern": "^[0-9a-f]{64}$"} if value in (_HASH, _KEY) else {"type": kind}
    held: JsonObject = {"$ref": "#/components/schemas/Value"}
    return {"type": kind, "items": held} if kind == "array" else {"type": kind, "additionalProperties": held}


def _signed(kind: str) -> JsonObject:
    return {"type": kind, "body": BODIES[kind], "signer": _KEY, "signature": _SIGNATURE}
