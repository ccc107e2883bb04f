"""Events: what happened, to whom it may concern.

Words: an *envelope* is an event with its time, namespace and topic; the *exchange* fans envelopes out to its
*subscriptions*, each with filters and a queue of its own. Nothing is kept for those who come later.
"""
