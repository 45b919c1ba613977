"""When a room was made: of two rooms of a name the later one is there, and tombstones of nobody's rooms are forgotten.

Revision: 0003
"""

from alembic import op
from sqlalchemy import BigInteger, Column, text

revision = "0003"
down_revision = "0002"

OF_NOBODY = text("session_id IS NULL")


def upgrade() -> None:
    """Add the column. Rooms that are there have no moment; the tombstones among them that are nobody's may go."""
    op.add_column("rooms", Column("created_at", BigInteger(), nullable=True))
    op.create_index(
        "rooms_of_nobody", "rooms", ["created_at"], sqlite_where=OF_NOBODY, postgresql_where=OF_NOBODY
    )
    op.execute("UPDATE rooms SET created_at = 0 WHERE session_id IS NULL")
