"""The verbs of the command line: a verb is a function and its arguments are its options (`simmim.__main__`)."""
