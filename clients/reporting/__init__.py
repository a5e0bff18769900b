"""What others read of a run and of clients: the mail, the `--json` report, exports, error files, workbooks.

Knows the tables and the contract; changes nothing but whether a mail has gone out.
"""
