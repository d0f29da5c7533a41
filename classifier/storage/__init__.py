"""Results, kept for a while in a folder or an object store, which any number of machines may share.

`stores` and `object_store` hold named bytes. `kept` knows that a result is a picture and an answer, and bounds their
age and size. `feedback` adds what visitors say about them.
"""
