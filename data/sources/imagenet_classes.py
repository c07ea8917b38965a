#!/usr/bin/env python3
"""imagenet_classes.py TEXT: the rows of imagenet_classes.txt as those of a table of C."""
import sys

for line in open(sys.argv[1], encoding='ascii'):
    if not line.startswith('#'):
        wnid, number, name = line.rstrip('\n').split(' ', 2)
        print('{"%s", %s, "%s"},' % (wnid, number, name))
