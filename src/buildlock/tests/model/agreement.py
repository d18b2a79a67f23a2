#!/usr/bin/env python3
"""Writes agreement.json: what rule_model.py, the first search over the queue's rule, says of each of its casts.

The model in this folder must say the same of every cast, of the rule as it is and with each of the faults seeded.

usage: agreement.py path/to/rule_model.py > agreement.json
"""

import importlib.util, json, sys

FAULTS = [None, "ancestors", "siblings", "strangers", "cross", "cover", "fifo"]
LETTERS = {"ok": ".", "deadlock": "d", "exclusion": "x"}


def notation(cast):
    """The cast as this folder writes it: a process's children in parentheses behind its script."""

    def tree(member):
        script, _ = cast[member]
        children = (f"({tree(c)})" for c, (_, parent) in enumerate(cast) if parent == member)
        return script.rstrip(".") + "".join(children)

    return " ".join(tree(root) for root, (_, parent) in enumerate(cast) if parent is None)


def main():
    spec = importlib.util.spec_from_file_location("rule_model", sys.argv[1])
    rule_model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule_model)
    verdicts = {}
    for cast in rule_model.casts(big=True):
        letters = ""
        for fault in FAULTS:
            rule_model.FAULT = fault
            what, _ = rule_model.search(cast, kills=1)
            letters += LETTERS[what]
        verdicts[notation(cast)] = letters
    print(json.dumps({"faults": FAULTS, "letters": LETTERS, "casts": verdicts}, indent=0))


main()
