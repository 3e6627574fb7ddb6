"""The issuer of tokens: its published keys, and the token that was given to be examined."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nl_forensics.connect.http import JsonLink, base_of
from nl_forensics.errors import BadAnswer
from nl_forensics.inputs.platform import Budget, IdentityEndpoint
from nl_forensics.redact import excerpt

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

MAX_BYTES = 1_000_000  # of a key set; real ones have a few kB
EXAMPLE = "https://auth.example.com/.well-known/jwks.json"


def connect(
    address: str, endpoint: IdentityEndpoint, budget: Budget, forward: "Forward | None" = None
) -> "IdentityLink":
    """Read the keys of one issuer."""
    return IdentityLink(base_of(address, "an issuer", EXAMPLE), endpoint, budget, forward)


class IdentityLink(JsonLink):
    """The published keys of one issuer, read only.

    keys       as published (JWK), at most `MAX_BYTES` of them
    endpoint   what a token must fulfil
    token      the token to examine; "" if none was given
    """

    def __init__(self, url: str, endpoint: IdentityEndpoint, budget: Budget, forward: "Forward | None"):
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        budget = budget.model_copy(update={"answer_bytes": min(budget.answer_bytes, MAX_BYTES)})
        super().__init__("the issuer", self._origin, budget, forward)
        path = url.removeprefix(self._origin)
        published = self.get(path)
        self.identity = {"issuer": self._issuer_in(published)}
        self.keys = self._keys_in(published)
        self.clock = self.measured_clock(path)
        self.endpoint, self.token = endpoint, endpoint.token
        self.settle(budget)

    def now(self) -> datetime:
        """By the clock of the issuer, which decides when a token expires; by ours where it shows none."""
        return datetime.now(UTC) + timedelta(seconds=self.clock.offset_s if self.clock else 0.0)

    def _issuer_in(self, published: Any) -> str:
        return excerpt(str(published.get("issuer", "")), 200) if isinstance(published, dict) else ""

    def _keys_in(self, published: Any) -> list[dict]:
        """A discovery document names the address of the keys; one on another host is not followed."""
        if isinstance(published, dict) and "keys" not in published and "jwks_uri" in published:
            there = str(published["jwks_uri"])
            if not there.startswith(f"{self._origin}/"):
                remedy = "set the variable of this endpoint to the address of the keys, its `jwks_uri`"
                raise BadAnswer("the discovery document names an address on another host", remedy)
            published = self.get(there.removeprefix(self._origin))
        keys = published.get("keys") if isinstance(published, dict) else None
        if not isinstance(keys, list):
            raise BadAnswer("the JSON is not a key set", f"check the address: {EXAMPLE}")
        return [key for key in keys if isinstance(key, dict)]
