"""What a file may say: columns and where a header puts them, rules for cells, problems and their sentences.

Knows no file, no database and no AWS: everything here is a function of text. The admin's form, the worker and
the command line share it, so that a rule stands once.
"""
