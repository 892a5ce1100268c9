#!/bin/sh
# A file of the repository, to show that checkout works.
echo "$1 from $2"
