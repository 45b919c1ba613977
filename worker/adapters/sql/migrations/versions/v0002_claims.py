"""Who has a duty of which there is one: reconciling, purging.

Revision: 0002
"""

from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Text

revision = "0002"
down_revision = "0001"

KEY = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "claims",
        Column("name", KEY, nullable=False),
        Column("holder", Text(), nullable=False),
        Column("until", BigInteger(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
