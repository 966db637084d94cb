"""What a Parquet file says of its values, held against the values: statistics of column chunks and of pages, places of
pages, counts, sizes, encodings."""

import bisect
import struct

import pyarrow as pa
import pyarrow.compute as pc

from . import thrift

PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY = 0, 2, 3, 4, 8
# What every reader knows.
OLD = {PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY}
BYTES, DOUBLE, LONG, BOOLEAN = 6, 5, 2, 0


class Leaf:
    """The slots of a leaf column: rows of those that are null, rows and values of the others."""

    def __init__(self):
        self.null_rows, self.rows, self.values = [], [], []

    def add(self, array, rows):
        valid = pc.is_valid(array)
        self._nulls(rows.filter(pc.invert(valid)))
        self.rows.append(rows.filter(valid))
        self.values.append(array.filter(valid))

    def _nulls(self, rows):
        self.null_rows.append(rows)

    def close(self):
        self.values = pa.concat_arrays(self.values)
        self.null_rows = sorted(pa.concat_arrays(self.null_rows).to_pylist())
        self.rows = pa.concat_arrays(self.rows).to_pylist()
        return self


def leaves(column, first=0):
    """{path below the column: Leaf} of an array. Rows count from `first`."""
    found = {}
    rows = pa.array(range(first, first + len(column)), pa.int64())
    _walk(column, rows, pa.array([], pa.int64()), (), found)
    return {path: leaf.close() for path, leaf in found.items()}


def _walk(array, rows, nulls, path, found):
    """`nulls` are the rows of slots that ended above."""
    kind = array.type
    if pa.types.is_struct(kind):
        valid = pc.is_valid(array)
        nulls = pa.concat_arrays([nulls, rows.filter(pc.invert(valid))])
        array, rows = array.filter(valid), rows.filter(valid)
        for at in range(kind.num_fields):
            _walk(array.field(at), rows, nulls, (*path, kind.field(at).name), found)
    elif pa.types.is_list(kind) or pa.types.is_map(kind):
        is_map = pa.types.is_map(kind)
        if is_map:
            inner = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
            array = pa.array([None if v is None else [dict(zip(("key", "value"), p, strict=True)) for p in v] for v in array.to_pylist()], inner)
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        nulls = pa.concat_arrays([nulls, rows.filter(pc.equal(lengths, 0))])
        rows = rows.take(pc.list_parent_indices(array))
        items = pc.list_flatten(array)
        if is_map:
            for at, name in enumerate(("key", "value")):
                _walk(items.field(at), rows, nulls, (*path, "key_value", name), found)
        else:
            _walk(items, rows, nulls, (*path, "list", "element"), found)
    else:
        leaf = found.setdefault(path, Leaf())
        leaf._nulls(nulls)
        leaf.add(array, rows)


def decoded(data, kind):
    if kind == BYTES:
        return data
    return struct.unpack({LONG: "<q", DOUBLE: "<d", BOOLEAN: "<?"}[kind], data)[0]


def in_order(values):
    """The values of a leaf as numbers or bytes."""
    kind = values.type
    if pa.types.is_string(kind):
        return [text.encode() for text in values.to_pylist()]
    if pa.types.is_timestamp(kind):
        return values.cast(pa.int64()).to_pylist()
    return values.to_pylist()


def check_bounds(least, most, values, exact, where, near=True):
    """Bounds hold all values; with `near`, they are values where nothing was cut off."""
    low, high = min(values), max(values)
    assert least <= low and high <= most, f"{where}: {least!r} to {most!r} for {low!r} to {high!r}"
    if not near:
        return
    if isinstance(low, bytes):
        assert low.startswith(least), f"{where}: {least!r} is no beginning of {low!r}"
        assert most == high or len(most) <= len(high), f"{where}: {most!r} is longer than {high!r}"
        if exact is not None:
            assert exact == (least == low, most == high), f"{where}: said to be exact: {exact}"
    else:
        assert (least, most) == (low, high), f"{where}: {least!r} to {most!r} for {low!r} to {high!r}"


class File:
    """A file, and the table that it has to hold (in its order). `near`: bounds of pages are values of the page."""

    def __init__(self, path, table, near=True):
        self.near = near
        self.data = memoryview(path.read_bytes())
        self.footer = thrift.footer(self.data)
        self.table = table.combine_chunks()
        self.encodings, self.indexed, self.bounded = set(), 0, 0

    def check(self):
        assert self.footer[3] == self.table.num_rows
        first = 0
        for number, group in enumerate(self.footer[4]):
            self._group(number, group, first)
            first += group[3]
        assert first == self.table.num_rows
        return self

    def _group(self, number, group, first):
        chunks = {}
        for chunk in group[1]:
            path = tuple(part.decode() for part in chunk[3][3])
            chunks.setdefault(path[0], {})[path[1:]] = chunk
        for name, of_name in chunks.items():
            if name not in self.table.column_names:
                continue
            # A copy without an offset: its children begin where it begins.
            part = self.table[name].combine_chunks().slice(first, group[3])
            part = pa.concat_arrays([part.take(pa.array(range(len(part)), pa.int64()))])
            found = leaves(part)
            assert found.keys() == of_name.keys(), name
            for path, chunk in of_name.items():
                where = f"row group {number}, {'.'.join((name, *path))}"
                self._chunk(chunk, found[path], group[3], where)

    def _chunk(self, chunk, leaf, rows, where):
        said = chunk[3]
        kind, values = said[1], in_order(leaf.values)
        slots = len(values) + len(leaf.null_rows)
        self.encodings |= set(said[2])
        assert said[5] == slots, f"{where}: {said[5]} values for {slots}"
        statistics = said.get(12, {})
        if 3 in statistics:
            assert statistics[3] == len(leaf.null_rows), f"{where}: {statistics[3]} nulls for {len(leaf.null_rows)}"
        if 4 in statistics:
            assert statistics[4] == len(set(values)), where
        if 5 in statistics or 6 in statistics:
            self.bounded += 1
            exact = (statistics[8], statistics[7]) if 7 in statistics and 8 in statistics else None
            check_bounds(decoded(statistics[6], kind), decoded(statistics[5], kind), values, exact, where)
        if 16 in said:
            self._sizes(said[16], values, kind, slots, rows, where)
        if 4 in chunk:
            self._pages(chunk, kind, leaf, values, rows, where)

    def _sizes(self, sizes, values, kind, slots, rows, where):
        if 1 in sizes and kind == BYTES:
            assert sizes[1] == sum(map(len, values)), where
        if sizes.get(2):
            assert sum(sizes[2]) == slots and sizes[2][0] == rows, f"{where}: {sizes[2]}"
        if sizes.get(3):
            assert sum(sizes[3]) == slots and sizes[3][-1] == len(values), f"{where}: {sizes[3]}"

    def _pages(self, chunk, kind, leaf, values, rows, where):
        places = thrift.structure(self.data, chunk[4])
        assert places[1] - chunk[4] == chunk[5], where
        pages = [(place[1], place[2], place[3]) for place in places[0][1]]
        index = thrift.structure(self.data, chunk[6])[0] if 6 in chunk else None
        self.indexed += index is not None
        assert pages[0][2] == 0 and all(one[2] < two[2] for one, two in zip(pages, pages[1:])), f"{where}: {pages}"
        least, most = [], []
        for at, (offset, size, first) in enumerate(pages):
            here = f"{where}, page {at}"
            end = pages[at + 1][2] if at + 1 < len(pages) else rows
            low, high = bisect.bisect_left(leaf.rows, first), bisect.bisect_left(leaf.rows, end)
            nulls = bisect.bisect_left(leaf.null_rows, end) - bisect.bisect_left(leaf.null_rows, first)
            head, behind = thrift.structure(self.data, offset)
            assert behind - offset + head[3] == size, f"{here}: {head} at {offset}, of {size}"
            of_page = head[5] if 5 in head else head[8]
            assert of_page[1] == high - low + nulls, f"{here}: {of_page[1]} values for {high - low + nulls}"
            if at:
                assert sum(pages[at - 1][:2]) == offset, f"{here}: at {offset}, not behind the page before"
            if index is None:
                continue
            assert index[1][at] == (low == high), f"{here}: null page"
            if 5 in index:
                assert index[5][at] == nulls, f"{here}: {index[5][at]} nulls for {nulls}"
            if low < high:
                bounds = decoded(index[2][at], kind), decoded(index[3][at], kind)
                check_bounds(*bounds, values[low:high], None, here, self.near)
                least.append(bounds[0])
                most.append(bounds[1])
        start = chunk[3].get(11) or chunk[3][9]
        assert sum(pages[-1][:2]) - start == chunk[3][7], f"{where}: {chunk[3][7]} bytes compressed"
        if index is not None and index[4]:
            for bounds in (least, most):
                assert bounds == sorted(bounds, reverse=index[4] == 2), f"{where}: pages are not in order"
