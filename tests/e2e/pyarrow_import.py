"""What `import` is measured against: pyarrow from NDJSON to Parquet with zstd, in its own process.

python pyarrow_import.py FILE.ndjson OUT.parquet
"""

import sys

import pyarrow.json
import pyarrow.parquet

table = pyarrow.json.read_json(sys.argv[1], read_options=pyarrow.json.ReadOptions(block_size=16 << 20))
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd")
