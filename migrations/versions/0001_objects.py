"""The first tables: objects, their undo log, the revision counter that orders both, and the times
that revisions were reached.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def text(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def revision_key(name: str) -> sa.Column:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("k", text(32), primary_key=True),
        sa.Column("v", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO meta (k, v) VALUES ('rv', 1), ('compact_rv', 0)")
    op.create_table(
        "object",
        sa.Column("resource", text(128), primary_key=True),
        sa.Column("namespace", text(63), primary_key=True),
        sa.Column("name", text(253), primary_key=True),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("rv", sa.BigInteger, nullable=False),
        sa.Column("created_rv", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "change",
        revision_key("rv"),
        sa.Column("resource", text(128), nullable=False),
        sa.Column("namespace", text(63), nullable=False),
        sa.Column("name", text(253), nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("prev_rv", sa.BigInteger),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("prev", sa.LargeBinary),
    )
    op.create_index("change_by_resource", "change", ["resource", "rv"])
    op.create_table("moment", revision_key("at"), sa.Column("rv", sa.BigInteger, nullable=False))


def downgrade() -> None:
    for table in ("moment", "change", "object", "meta"):
        op.drop_table(table)
