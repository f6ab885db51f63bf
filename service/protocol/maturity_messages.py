"""Bodies of the operator's HTTP interface about collateral that matures; see `messages` for their rules."""

from pydantic import Field

from atomic_margin.service.protocol.messages import RequestBody, ResponseBody


class Matured(RequestBody):
    """The cash of an asset that has matured came in."""

    asset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["TBILL-2027-02"])


class MaturedPool(ResponseBody):
    """What was booked of one pool of one account, or why it waits.

    Attributes:
        institution: whose account.
        pool: posted or free.
        quantity: of the matured asset, smallest units.
        cash: asset that came in.
        paid: of it, smallest units.
        waits: why nothing was booked yet; absent where it was.
    """

    institution: str
    pool: str
    quantity: str
    cash: str
    paid: str
    waits: str | None = None


class MaturedPools(ResponseBody):
    """Every account and pool that had some of it."""

    matured: list[MaturedPool]
