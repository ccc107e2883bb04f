"""The documents of the Open Container Initiative, as this project reads and writes them.

Words: a *descriptor* names a blob by media type, digest and size; a *manifest* lists the blobs of one image
for one platform; an *index* lists manifests; an image *config* says how to run it and which layers make its
root file system; a *spec* is what an OCI runtime is told to run. `image` and `platforms` are about images,
`spec` and its neighbours about what runs.
"""
