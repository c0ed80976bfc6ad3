"""The labelling page of `foveate studio`: label, train, review and export in the browser, on one machine.

LabelMe JSON files are the truth; index masks are derived from them. `folder` finds the images, `document` and `layers`
turn a JSON file into what the page edits and back, `store` keeps revisions, `jobs` runs trainings beside it, and `app`
answers HTTP.
"""
