"""How many rounds of a duty are done: whose turn it is in the next one follows from it, whoever makes it.

Revision: 0004
"""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column. A worker of before, which does not know it, takes a duty and counts no round."""
    op.add_column("claims", Column("rounds", BigInteger(), nullable=False, server_default="0"))
