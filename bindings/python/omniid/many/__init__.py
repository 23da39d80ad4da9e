"""Photos of very many people to identities: by processes on one machine, or by Ray on a cluster (`omniid.ray`).

    python -m omniid.many photos --out identities

Photos come from folders (one per person), tables with a person and a path or URL in each row (Parquet, CSV, JSON
lines), or WebDataset shards. The output is one Parquet file for every chunk of people, with tokens, a report and a
fingerprint; `.omniid` files besides, if asked for. A job that was stopped or killed goes on where it was: a file is
there whole or not at all, and its people are not done again. Needs `pip install omniid[many]`, which adds pyarrow.

    from omniid import many

    def main():
        left_out = []
        items = many.items_of(["photos", "more.parquet"], lambda what, why: left_out.append((what, why)))
        print(many.encode_many(many.Job("identities"), items))
        for row in many.read("identities"):
            print(row.person, row.tokens.shape if row.tokens is not None else row.error)
"""

from .chunks import Chunk, Item, Photo, chunks_of, items_of
from .encode import encode_chunk
from .job import Job, Progress, Summary
from .local import encode_many
from .output import Row, read, summarise

__all__ = [
    "Chunk",
    "Item",
    "Job",
    "Photo",
    "Progress",
    "Row",
    "Summary",
    "chunks_of",
    "encode_chunk",
    "encode_many",
    "items_of",
    "read",
    "summarise",
]
