"""What an operator is shown: `status`, `explain`, the doctor, and the tables of the docs.

It reads from every room below, and changes nothing.
"""
