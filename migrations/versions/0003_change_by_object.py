"""An index for time travel: an object's changes in order, and those of a page of names, without
reading past the changes of everything else.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("change_by_object", "change", ["resource", "namespace", "name", "rv"])


def downgrade() -> None:
    op.drop_index("change_by_object", "change")
