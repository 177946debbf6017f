"""The cloud's side of the data loop: what devices captured becomes labelled samples of the data.

pulling.py      takes captures out of an inbox, each as hostile; what is bad or known is listed with its reason
png.py, picture.py    a file down to its picture; its decoding, in a process with limits
pulled.py       the captures that wait for a label
proposals.py    what the FP32 parent takes them for, and which are most worth a look
review_page.py  the page on which a person decides
decisions.py    what was decided, taken as hostile
applying.py, grouping.py    the samples, each in its split
handing_on.py   the same for label-studio, or as a folder
"""
