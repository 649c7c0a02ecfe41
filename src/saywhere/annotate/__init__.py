"""The annotator: a page in the browser, and the server behind it. Imports point downwards in this list.

web/            server: address, token, browser; connections: time limits; app and its routes; responses; security: who
                may ask
static/         the page: plain ES modules and a canvas
service.py      what the routes call: one annotation project
editing.py      one action, from the request to the committed event
exports/        which images are exported, and their files; stats.py: interactions and time by object
inference/      the queue of the network's work, cached segmenters, candidate masks that differ, proposals, learning
                from accepted masks
images.py       images of the project, loaded; thumbnails.py
db/             database, tables, the store that queries them, edit locks; projects and renames: what belongs to a
                folder whose place or files have other names now
image_folder.py which files are images, safely read; picture.py: crops, JPEG, PNG
events.py       an image's state is the replay of its events, undo and redo among them
region.py       masks as small rectangles and run lengths; brush.py: strokes; corrections.py: lasso, holes, crumbs;
                rings.py: outlines and what they enclose
actions.py      what a person can do to an image: the input of the API
"""
