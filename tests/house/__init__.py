"""House rules that a machine can check: `tree.py` reads the tree, each test file is one kind.

A rule is a plain function from modules to offences. Each is shown twice: to find nothing in the
real tree, and to find an offence planted in a small tree of its own.
"""
