"""Who made each change and what it reacted to, and what the components tell of their work: a table
each beside the undo log, for they are kept longer than the bodies of the changes.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def text(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def number_key(name: str, *, counts: bool = False) -> sa.Column:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement=counts)


def upgrade() -> None:
    op.create_table(
        "cause",
        number_key("rv"),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("arrived", sa.BigInteger, nullable=False),
        sa.Column("trace", sa.String(32), nullable=False),
        sa.Column("span", sa.String(16), nullable=False),
        sa.Column("parent", sa.String(16), nullable=False),
        sa.Column("loop", sa.String(64), nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("reacted_to", sa.String(320), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("manager", sa.String(128), nullable=False),
        sa.Column("resource", text(128), nullable=False),
        sa.Column("namespace", text(63), nullable=False),
        sa.Column("name", text(253), nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("subresource", sa.String(32), nullable=False),
        sa.Column("prev_rv", sa.BigInteger),
        sa.Column("spec_rv", sa.BigInteger, nullable=False),
    )
    op.create_index("cause_by_trace", "cause", ["trace"])
    op.create_table(
        "span",
        number_key("id", counts=True),
        sa.Column("trace", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("span_by_trace", "span", ["trace"])


def downgrade() -> None:
    for table in ("span", "cause"):
        op.drop_table(table)
