"""An index to find the trace of an object that is gone, by its name. It holds deletions only, so
that no other write pays for it.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_deletion = sa.text("type = 'DELETED'")
    op.create_index(
        "cause_of_deleted", "cause", ["resource", "namespace", "name", "rv"],
        sqlite_where=is_deletion, postgresql_where=is_deletion,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("cause_of_deleted", "cause")
