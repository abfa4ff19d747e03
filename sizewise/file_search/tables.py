"""Tables of the API's vector stores and the files attached to them: states and times in clear, texts encrypted.

A vector store is a row here and the knowledge base of the same name. An attached file is `queued` until its document is
stored; from then on its status is that of the document.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.erasure import caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
STORES_NAME, ATTACHED_NAME = "vector_stores", "vector_store_files"
"""Ciphertexts are bound to them."""
STORES = Table(
    STORES_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),  # also the name of its knowledge base
    Column("active", BIG_INTEGER, nullable=False),  # unix ms
    Column("days", Integer, nullable=False),  # of inactivity until it expires; 0: never
    Column("expires", BIG_INTEGER),  # unix ms; null: never
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # StoreDescription
)
ATTACHED = Table(
    ATTACHED_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("batch", Text, nullable=False),  # empty: attached alone
    Column("state", Text, nullable=False),  # queued, stored, failed, cancelled
    Column("document", Text, nullable=False),  # id in the knowledge base; empty until it is stored
    Column("usage", BIG_INTEGER, nullable=False),  # bytes of its text
    Column("chunk_tokens", Integer, nullable=False),  # 0: as the knowledge base's settings say
    Column("chunk_overlap", Integer, nullable=False),
    Column("data_class", Text, nullable=False),  # empty: as the settings say
    Column("created", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # AttachedContent
    *caller_columns(),
)
BY_STORE = Index("vector_stores_id", STORES.c.tenant, STORES.c.project, STORES.c.id, unique=True)
BY_FILE = Index(
    "vector_store_files_file",
    *(ATTACHED.c[name] for name in ("tenant", "project", "store", "file")),
    unique=True,
)
BY_BATCH = Index("vector_store_files_batch", ATTACHED.c.batch)

SCHEMA = Migrations(
    "file_search",
    (
        (
            *(CreateTable(table) for table in (STORES, ATTACHED)),
            *(CreateIndex(each) for each in (BY_STORE, BY_FILE, BY_BATCH, caller_index(ATTACHED))),
        ),
    ),
)
SEALED = (EncryptedTable(STORES, ("project", "id")), EncryptedTable(ATTACHED, ("project", "store", "file")))
