"""What all data models have in common, and the one way from JSON data to a model.

Three manners: `Wire` is what June sends (readers ignore fields they do not know, so that fields can be
added); `Message` is a `Wire` with a type of its own; `Incoming` is what others send, where null is absent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, to_json

from schemas.envelope import SOURCE, SPECVERSION, format_sequence
from schemas.errors import FieldProblem, MessageInvalid, printable
from schemas.times import format_time

_MOST_PROBLEMS = 32
_PLAIN = {
    "missing": "is required",
    "string_type": "must be a string",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be an array",
}


class Wire(BaseModel):
    """A piece of what June sends. Built from trusted values, read leniently."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, every field there, in the contract's order."""
        return self.model_dump(mode="json")


class Message(Wire):
    """The data of a message that June publishes."""

    TYPE: ClassVar[str]


class Incoming(BaseModel):
    """A piece of what others send: an explicit null for a known field is the same as leaving it out."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {
            name: value for name, value in data.items() if value is not None or name not in cls.model_fields
        }


def session_message(
    data: Message,
    *,
    id: str,  # noqa: A002 # the envelope's own word
    time: datetime,
    session_id: str,
    room_name: str,
    sequence: int,
    traceparent: str | None = None,
) -> bytes:
    """One message about a session: `sequence` is the session's running number of messages.

    The same bytes as `encode` makes of such an envelope, without the way over dictionaries.
    """
    head = to_json(
        {
            "specversion": SPECVERSION,
            "id": id,
            "source": SOURCE,
            "type": data.TYPE,
            "subject": session_id,
            "time": format_time(time),
            "datacontenttype": "application/json",
            "partitionkey": room_name,
            "sequence": format_sequence(sequence),
            "traceparent": traceparent,
        }
    )
    return b'%b,"data":%b}' % (head[:-1], data.__pydantic_serializer__.to_json(data))


_M = TypeVar("_M", bound=BaseModel)


def read_data(model: type[_M], type_: str, data: Mapping[str, Any]) -> _M:
    """`data` as a `model`. Raises MessageInvalid that names each field (at most 32 of them) and its rule."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [_problem(model, type_, detail) for detail in details[:_MOST_PROBLEMS]]
        raise MessageInvalid(f"the data of {type_} breaks its rules", problems) from error


def _problem(model: type[BaseModel], type_: str, detail: ErrorDetails) -> FieldProblem:
    path = detail["loc"]
    field = ".".join(printable(str(part)) for part in path)
    if detail["type"] == "extra_forbidden":
        known = ", ".join(_fields_beside(model, path))
        return FieldProblem(field, f"is not a field of {type_}; the fields here are {known}")
    return FieldProblem(field, _PLAIN.get(detail["type"], detail["msg"]))


def _fields_beside(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields of the (nested) model in which the last step of `path` is not known."""
    for step in path[:-1]:
        if isinstance(step, str):
            annotation = model.model_fields[step].annotation
            candidates = (annotation, *get_args(annotation))
            model = next(
                kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
    return list(model.model_fields)
