"""Upload a file as whoever writes their own client would: declare it, then send its bytes."""

import hashlib

import httpx


def upload(institution: str, data: bytes, auth: httpx.Auth) -> httpx.Response | None:
    """Bring a file to an institution's address; return the answer that refuses it, if one does."""
    sha256 = hashlib.sha256(data).hexdigest()
    declared = httpx.post(f"{institution}/uploads", json={"sha256": sha256, "size": str(len(data))}, auth=auth)
    if declared.is_error:
        return declared
    offset = int(declared.json()["offset"])
    if offset < len(data):
        headers = {"Upload-Offset": str(offset)}
        taken = httpx.patch(
            f"{institution}/uploads/{sha256}", content=data[offset:], headers=headers, timeout=60, auth=auth
        )
        return taken if taken.is_error else None
    return None
