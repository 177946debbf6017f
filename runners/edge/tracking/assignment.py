"""Which box belongs to which track: the assignment of least total cost (Kuhn 1955, Munkres 1957).

Most tracks have one box near them and most boxes one track, so the pairs fall into small groups that have nothing to
do with each other. Each group is solved for itself, by shortest augmenting paths (Jonker and Volgenant 1987). Must run
on Python 3.6 without SciPy.
"""

from typing import Dict, Iterable, List, Set, Tuple

Pair = Tuple[int, int]


def assign(costs: Dict[Pair, float], miss: float) -> Dict[int, int]:
    """The column of each row that has one, such that the sum of costs is least. A row without costs `miss`.

    `costs` has the possible pairs (row, column) only.
    """
    found: Dict[int, int] = {}
    for group in groups(costs):
        if len(group) == 1:
            if costs[group[0]] < miss:
                found[group[0][0]] = group[0][1]
            continue
        rows, columns = sorted({row for row, _ in group}), sorted({column for _, column in group})
        # A column of its own for each row lets it go without.
        table = [[costs.get((row, column), 1e6) for column in columns] + [miss] * len(rows) for row in rows]
        for row, place in zip(rows, solve(table)):
            if place < len(columns):
                found[row] = columns[place]
    return found


def groups(pairs: Iterable[Pair]) -> List[List[Pair]]:
    """The pairs in groups that share no row and no column."""
    found: List[Tuple[Set[int], Set[int], List[Pair]]] = []
    for row, column in sorted(pairs):
        touched = [group for group in found if row in group[0] or column in group[1]]
        found = [group for group in found if group not in touched]
        merged = [(row, column)] + [pair for group in touched for pair in group[2]]
        found.append(({pair[0] for pair in merged}, {pair[1] for pair in merged}, merged))
    return [group[2] for group in found]


def solve(table: List[List[float]]) -> List[int]:
    """The column of each row of a full table of costs, no more rows than columns."""
    columns = len(table[0])
    owner = [-1] * columns  # the row that has a column
    row_price, column_price = [0.0] * len(table), [0.0] * columns
    for start in range(len(table)):
        shortest, before, seen = [float("inf")] * columns, [-1] * columns, [False] * columns
        row, last, reached = start, -1, 0.0
        while True:
            for column in range(columns):
                if not seen[column]:
                    length = reached + table[row][column] - row_price[row] - column_price[column]
                    if length < shortest[column]:
                        shortest[column], before[column] = length, last
            last = min((column for column in range(columns) if not seen[column]), key=shortest.__getitem__)
            seen[last], reached = True, shortest[last]
            if owner[last] < 0:
                break
            row = owner[last]
        row_price[start] += reached
        for column in range(columns):
            if seen[column] and owner[column] >= 0 and column != last:
                row_price[owner[column]] += reached - shortest[column]
            if seen[column]:
                column_price[column] -= reached - shortest[column]
        while last >= 0:  # hand the columns on along the path
            owner[last] = owner[before[last]] if before[last] >= 0 else start
            last = before[last]
    place = {row: column for column, row in enumerate(owner) if row >= 0}
    return [place[row] for row in range(len(table))]
