"""`replace` for the dataclasses of the model, as `dataclasses.replace` and an eighth of its time.

Promises: a copy that differs in the fields named. Needs: frozen dataclasses without `__slots__` and `__post_init__`,
as the model's are; with twenty fields and some changes for each event, the standard library's way was a tenth of all
that an event cost. Refuses (as a type checker sees it): fields that the dataclass does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["replace", "restore"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """The value with these fields."""
        copy = object.__new__(type(value))
        # A dictionary that is copied whole is a memory block; one that is filled is not.
        object.__setattr__(copy, "__dict__", value.__dict__ | changes)
        return copy


def restore(kind: type[T], fields: dict[str, Any]) -> T:
    """A value of all its fields, as it was when they were read from it. The dictionary is the value's from now on."""
    value = object.__new__(kind)
    object.__setattr__(value, "__dict__", fields)
    return value
