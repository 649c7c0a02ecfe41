"""The annotator: a page in the browser, and the server behind it.

actions.py      what a person can do to a photograph: the contract's input
state.py        photograph = replay of its events, undo and redo among them
masks.py        pixels to COCO run lengths and back; brush strokes
tables.py       the tables; store.py: what is asked of them; leases.py: who works on what
photos.py       the folder: which files are photographs, safely read; crops and thumbnails
desk.py         who is served next: the latest of each client, fairly among clients
segmenters.py       photographs with their features, and Segmenters that stand where a prompt stands
proposals.py    where the next object of a label may be; learning.py: from what was accepted
work.py         one action from request to committed answer
app.py          routes; answers.py: what they give; security.py: who may ask
stats.py        how long it took; export.py: files of masks
server.py       start, address, browser
static/         the page: plain ES modules and a canvas
"""
