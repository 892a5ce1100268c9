"""How labels, the administrator's file and GitHub's word of a job become a machine, a refusal or nothing.

It touches nothing but the values that it is given: no clock, no await, no GitHub, no Modal.
"""
