"""The shape of label selectors and of the rules of network policies, as a case records them."""

from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter

Labels = dict[str, str]


class _Expression(BaseModel):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class _Selector(BaseModel):
    labels: Labels | None = Field(None, alias="matchLabels")
    expressions: list[_Expression] | None = Field(None, alias="matchExpressions")


class _Block(BaseModel):
    cidr: str
    holes: list[str] | None = Field(None, alias="except")


class _Peer(BaseModel):
    block: _Block | None = Field(None, alias="ipBlock")
    namespaces: _Selector | None = Field(None, alias="namespaceSelector")
    pods: _Selector | None = Field(None, alias="podSelector")


class _Port(BaseModel):
    protocol: str = "TCP"
    port: int | str | None = None
    last: int | None = Field(None, alias="endPort")


class _Rule(BaseModel):
    sources: list[_Peer] | None = Field(None, alias="from")
    targets: list[_Peer] | None = Field(None, alias="to")
    ports: list[_Port] | None = None


SELECTOR: TypeAdapter = TypeAdapter(_Selector)
RULES: TypeAdapter = TypeAdapter(list[_Rule])
